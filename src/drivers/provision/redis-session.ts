// One call's connection to the Redis that holds the resources: opened for the call, never reconnected, ended with it or with
// its signal, so that what it watches is watched by this call alone. What fails becomes an outcome built from the first
// word of the server's answer and our own words.
import { createClient } from '@redis/client'
import { type Outcome, refused, unknown, unreachable } from '../outcome.ts'

export type Reply = string | number | null | readonly Reply[]
export type Command = readonly [string, ...string[]]

/** Ends a call early with an outcome that is already known. */
export class Ended extends Error {
  readonly outcome: Exclude<Outcome<never>, { kind: 'done' }>

  constructor(outcome: Exclude<Outcome<never>, { kind: 'done' }>) {
    super(outcome.kind)
    this.outcome = outcome
  }
}

const CONNECT_TIMEOUT_MS = 3_000
/** Without a byte from the server for that long, the connection is taken for lost. */
const SILENCE_MS = 8_000

/** Never connected itself: each call connects a duplicate, which costs little; to make one takes 30 ms. */
export type Client = ReturnType<typeof clientFor>

/** Tests come in between: called with each command before it is sent. */
export type BeforeCommand = (command: Command) => void | Promise<void>

export class RedisLine {
  readonly #client: Client
  readonly #signal: AbortSignal
  readonly #before: BeforeCommand | undefined
  /** A transaction that changes a resource has been sent. */
  changed = false
  at = 'connecting'

  constructor(client: Client, signal: AbortSignal, before?: BeforeCommand) {
    this.#client = client
    this.#signal = signal
    this.#before = before
  }

  async ask(...command: Command): Promise<Reply> {
    await this.#before?.(command)
    this.#signal.throwIfAborted()
    this.at = nameOf(command)
    return (await this.#client.sendCommand([...command])) as Reply
  }

  /** Reads all of it at one moment. Ends what is watched. */
  async snapshot(commands: readonly Command[]): Promise<readonly Reply[]> {
    return (await this.#together(commands)) ?? []
  }

  /** All of it at one moment, or nothing: null when a watched key has changed. Throws what any of its commands answered. */
  async transaction(commands: readonly Command[]): Promise<readonly Reply[] | null> {
    for (const command of commands) await this.#before?.(command)
    await this.#before?.(['EXEC'])
    this.#signal.throwIfAborted()
    this.changed = true
    return this.#together(commands)
  }

  async #together(commands: readonly Command[]): Promise<readonly Reply[] | null> {
    this.#signal.throwIfAborted()
    this.at = commands.map(nameOf).join(', ')
    const all: Command[] = [['MULTI'], ...commands, ['EXEC']]
    const answers = await Promise.allSettled(all.map((command) => this.#client.sendCommand([...command])))
    const last = answers.at(-1)
    if (last?.status !== 'fulfilled') throw last?.reason
    const replies = last.value as unknown as readonly Reply[] | null
    if (replies === null) return null
    const failure = (replies as readonly unknown[]).find((reply) => reply instanceof Error)
    if (failure !== undefined) throw failure
    return replies
  }
}

const nameOf = ([name, sub]: Command): string => (/^(ACL|CLIENT|MEMORY)$/.test(name) ? `${name} ${sub}` : name)

/** A client of that server, which connects to nothing yet. */
export const clientFor = (url: string) =>
  createClient({
    url,
    RESP: 2,
    name: 'pawl-provision',
    disableClientInfo: true,
    maintNotifications: 'disabled',
    socket: { reconnectStrategy: false, connectTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_MS },
  })

/** Opens a connection, gives it to `work`, ends it. Never throws. */
export async function onRedis<T>(
  template: Client,
  signal: AbortSignal,
  before: BeforeCommand | undefined,
  work: (line: RedisLine) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  if (signal.aborted) return givenUp
  const client = template.duplicate()
  // Each command hears of it; without a listener the process would end.
  client.on('error', () => {})
  const cut = () => client.destroy()
  signal.addEventListener('abort', cut, { once: true })
  const line = new RedisLine(client, signal, before)
  try {
    await client.connect()
    return await work(line)
  } catch (error) {
    return failed(error, line, signal)
  } finally {
    signal.removeEventListener('abort', cut)
    if (client.isOpen) client.destroy()
  }
}

const givenUp = unreachable('Given up before anything was done')
const TRANSIENT = /^(LOADING|BUSY|MISCONF|OOM|READONLY|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|UNKILLABLE)$/

/** The first word of an answer such as `NOPERM …`; null for what is none. The rest may quote what was sent. */
export function wordOf(error: unknown): string | null {
  return /^([A-Z]{2,20})(?: |$)/.exec(error instanceof Error ? error.message : '')?.[1] ?? null
}

function failed(error: unknown, line: RedisLine, signal: AbortSignal): Outcome<never> {
  if (error instanceof Ended) return error.outcome
  const word = wordOf(error)
  if (word === 'NOPERM')
    return refused(`The user of PAWL_REDIS_URL may not do ${line.at}: give it all commands and keys`)
  // A transaction that the server refused as a whole has done nothing.
  if (word === 'EXECABORT') return unreachable(`Redis refused ${line.at}`)
  if (word === null && line.changed) return unknown(`The connection was lost at ${line.at}`)
  if (signal.aborted) return givenUp
  if (word === null) return unreachable(`Redis cannot be reached (${codeOf(error)})`)
  if (TRANSIENT.test(word)) return unreachable(`Redis answered ${word} to ${line.at}`)
  return unreachable(`Redis refused ${line.at} (${word})`)
}

function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return typeof code === 'string' && /^\w{1,40}$/.test(code) ? code : String(name ?? typeof error)
}
