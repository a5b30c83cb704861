// One call's connection to the PostgreSQL that holds the resources: opened for the call, never mended, ended with it or
// with its signal. Locks live as long as it does, so what runs on it runs under them or not at all. What fails becomes
// an outcome built from codes and our own words: messages of the server are never passed on.
import { type Outcome, refused, unknown, unreachable } from '../outcome.ts'

/** One connection that ends for good when it is lost; `Slot` of the database client is one. */
export interface Session {
  run(statement: { sql: string; params: unknown[]; prepare: boolean; arrayMode: boolean }): Promise<unknown[]>
  /** Ends it: politely when idle, at once when `hard`. Never rejects. */
  retire(hard: boolean): Promise<void>
}

/** Connects to PostgreSQL itself (no pooler), as a role that may make databases and roles; bounded in time. */
export type Connect = (url: string) => Promise<Session>

export type Row = Readonly<Record<string, unknown>>

/** Ends a call early with an outcome that is already known. */
export class Ended extends Error {
  readonly outcome: Exclude<Outcome<never>, { kind: 'done' }>

  constructor(outcome: Exclude<Outcome<never>, { kind: 'done' }>) {
    super(outcome.kind)
    this.outcome = outcome
  }
}

export const givenUp = () => unreachable('Given up before anything was done')

/** The statements of one call, each with a name for outcomes; knows whether anything may have been changed. */
export class Line {
  readonly #session: Session
  readonly #signal: AbortSignal
  /** A statement that changes a resource has been sent. */
  changed = false
  at = 'connecting'

  constructor(session: Session, signal: AbortSignal) {
    this.#session = session
    this.#signal = signal
  }

  /** Runs a statement that changes no resource. */
  async ask(name: string, sql: string, params: unknown[] = []): Promise<readonly Row[]> {
    this.#signal.throwIfAborted()
    this.at = name
    return (await this.#session.run({ sql: `/* ${name} */ ${sql}`, params, prepare: false, arrayMode: false })) as Row[]
  }

  /** Runs a statement that changes a resource. */
  async change(name: string, sql: string): Promise<readonly Row[]> {
    this.#signal.throwIfAborted()
    this.changed = true
    return this.ask(name, sql)
  }
}

/** Opens a connection, gives it to `work`, ends it. Answers for whatever is thrown; connecting alone may throw. */
export async function onSession<T>(
  connect: Connect,
  url: string,
  signal: AbortSignal,
  work: (line: Line) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const session = await connect(url)
  const cut = () => void session.retire(true)
  signal.addEventListener('abort', cut, { once: true })
  const line = new Line(session, signal)
  try {
    return await work(line)
  } catch (error) {
    return failed(error, line, signal)
  } finally {
    signal.removeEventListener('abort', cut)
    await session.retire(signal.aborted)
  }
}

/** SQLSTATE, a code of Node's, or the kind of error: never its message. */
export function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return typeof code === 'string' && /^\w{1,40}$/.test(code) ? code : String(name ?? typeof error)
}

function failed(error: unknown, line: Line, signal: AbortSignal): Outcome<never> {
  if (error instanceof Ended) return error.outcome
  const code = codeOf(error)
  const state = /^[0-9FHPX][0-9A-Z]{4}$/.test(code) ? code : null
  const lost = state === null || /^(57P0|25P0|08|40003)/.test(state)
  if (lost && line.changed) return unknown(`The connection was lost at "${line.at}" (${code})`)
  if (signal.aborted) return givenUp()
  if (lost) return unreachable(`The connection to PostgreSQL was lost at "${line.at}" (${code})`)
  if (state === '55P03') return unreachable('Another call holds the resource')
  if (state === '42501') {
    return refused(
      `PostgreSQL does not let the role of PAWL_PROVISION_POSTGRES_URL do "${line.at}": it may do too little`,
    )
  }
  return unreachable(`PostgreSQL answered ${state} at "${line.at}"`)
}
