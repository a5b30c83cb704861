// One connection to PostgreSQL, made once and never mended: when anything is doubtful it is retired and another
// slot takes its place. The socket is ours, not the driver's, so that it can be destroyed at once, so that the
// driver cannot reconnect behind our back, and so that we know whether a statement left this process at all.

import type { Socket } from 'node:net'
import postgres from 'postgres'
import { ConnectionLost, DatabaseFault } from './fault.ts'
import { type Address, dial, type Target } from './socket.ts'
import { encodeParameter, replaceDriverTypes } from './wire-type.ts'

export interface Statement {
  sql: string
  params: unknown[]
  /** Keep it prepared on the server, under a name. */
  prepare: boolean
  /** Rows as arrays instead of objects. */
  arrayMode: boolean
}

/** Where statements go. Tests wrap it, to park a statement or to make it fail. */
export interface Channel {
  run(statement: Statement): Promise<unknown[]>
}

export interface SlotOptions {
  readonly target: Target
  readonly applicationName: string
  /** Server settings sent as startup parameters. */
  readonly settings: Record<string, string>
  readonly connectTimeoutMs: number
  /** The caller is freed after that long, whatever the server does. */
  readonly deadlineMs: number
  readonly preparedStatements: boolean
  /** Called once, when the connection has ended or was retired. */
  readonly onGone?: () => void
  readonly onNotify?: (payload: string) => void
}

export interface Slot extends Channel {
  /** Process id of the server's backend. */
  readonly pid: number
  readonly openedAtMs: number
  readonly alive: boolean
  /** Whether the last statement has left this process to be executed. Reset it before each statement. */
  sent: boolean
  /** Ends the connection: politely when idle, at once when `hard`. Resolves when it is closed; never rejects. */
  retire(hard: boolean): Promise<void>
}

const POLITE_END_SECONDS = 1
/** Commands that would change what the next statement on this connection means. */
const STATEFUL = new Set(['BEGIN', 'START TRANSACTION', 'SET', 'PREPARE'])

/** Connects and greets; rejects with the driver's error, or `ConnectionLost` after `connectTimeoutMs`. */
export async function openSlot(options: SlotOptions): Promise<Slot> {
  const line = new Line(options)
  try {
    await line.greet()
    return line
  } catch (error) {
    await line.retire(true)
    throw error
  }
}

class Line implements Slot {
  pid = 0
  alive = true
  sent = false
  readonly openedAtMs = Date.now()
  readonly #options: SlotOptions
  readonly #client: postgres.Sql
  #socket: Socket | undefined
  #bytesBefore = 0
  #ended: Promise<void> | undefined
  /** Frees whoever waits for an answer. */
  #abort: (why: ConnectionLost) => void = () => {}

  constructor(options: SlotOptions) {
    this.#options = options
    const { target, onNotify, settings, applicationName } = options
    // `socket` and `onnotify` are options of the driver that its types leave out.
    const own = {
      socket: (to: Address) => this.#dial(to),
      onnotify: (_: string, payload: string) => onNotify?.(payload),
    }
    this.#client = postgres(target.url, {
      ...own,
      max: 1,
      ssl: false,
      fetch_types: false,
      max_lifetime: null,
      connect_timeout: 0,
      onnotice: () => {},
      onclose: () => this.#gone(),
      connection: { ...settings, application_name: applicationName },
    })
    replaceDriverTypes(this.#client.options)
  }

  async greet(): Promise<void> {
    const greeting = this.#client.unsafe('SELECT pg_backend_pid() AS pid').execute()
    const [row] = await this.#within(this.#options.connectTimeoutMs, greeting)
    this.pid = Number(row?.pid)
  }

  async run(statement: Statement): Promise<unknown[]> {
    this.sent = false
    if (!this.alive) throw new ConnectionLost('CONNECTION_LOST')
    const { sql, params, arrayMode } = statement
    this.#bytesBefore = this.#socket?.bytesWritten ?? 0
    const query = this.#client.unsafe(sql, params.map(encodeParameter), {
      prepare: statement.prepare && this.#options.preparedStatements,
      simple: false,
    } as postgres.UnsafeQueryOptions)
    const answer = arrayMode ? query.values() : query.execute()
    try {
      const rows = await this.#within(this.#options.deadlineMs, answer as PromiseLike<postgres.RowList<postgres.Row[]>>)
      this.sent = true
      if (STATEFUL.has(rows.command)) throw this.#stateful(rows.command)
      return rows
    } catch (error) {
      const wrote = (this.#socket?.bytesWritten ?? 0) > this.#bytesBefore
      this.sent ||= wrote && !isBeingParsed(query)
      throw error
    }
  }

  retire(hard: boolean): Promise<void> {
    this.#gone()
    if (hard) this.#socket?.destroy()
    this.#ended ??= this.#client
      .end({ timeout: hard ? 0 : POLITE_END_SECONDS })
      .catch(() => {})
      .then(() => void this.#socket?.destroy())
    return this.#ended
  }

  #stateful(command: string): DatabaseFault {
    void this.retire(true)
    return new DatabaseFault(
      'bug',
      `${command} would outlive its statement; no transaction is held open from the client`,
    )
  }

  #gone(): void {
    if (!this.alive) return
    this.alive = false
    this.#abort(new ConnectionLost('CONNECTION_LOST'))
    this.#options.onGone?.()
  }

  /** The answer, or `ConnectionLost` as soon as the connection is gone or the time is up. */
  async #within<T>(timeoutMs: number, answer: PromiseLike<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const interrupted = new Promise<never>((_, reject) => {
      this.#abort = reject
      timer = setTimeout(() => reject(new ConnectionLost('DEADLINE')), timeoutMs)
      timer.unref()
    })
    try {
      return await Promise.race([answer, interrupted])
    } finally {
      clearTimeout(timer)
      this.#abort = () => {}
    }
  }

  /** The driver asks here for a connected socket; it gets one, once. */
  async #dial(to: Address): Promise<Socket> {
    if (this.#socket !== undefined || !this.alive) throw new ConnectionLost('CONNECTION_LOST')
    const socket = await dial(this.#options.target, to, (made) => {
      this.#socket = made
    })
    socket.on('close', () => {
      this.#gone()
      // The driver removes all listeners at this moment; a late error must still find one.
      process.nextTick(() => socket.on('error', () => {}))
    })
    return socket
  }
}

/** A statement with parameters is parsed first, and sent for execution when the types are known: one round trip later. */
function isBeingParsed(query: object): boolean {
  return Boolean((query as { describeFirst?: unknown }).describeFirst)
}
