// One connection of a task, and the gate on it: every statement parks before it is sent and once more before it commits, so
// that its locks are held while others run. Statements go as the product sends them, inside a transaction that only adds the
// stop before the commit; what holds no lock has nothing to commit. Faults are told by the product's own table.
import { AsyncLocalStorage } from 'node:async_hooks'
import postgres from 'postgres'
import type { Channel, Database, Statement } from '../../src/db/client.ts'
import { ruleFor, toFault } from '../../src/db/fault.ts'
import { databaseOver, statementName } from '../../src/db/session.ts'
import { encodeParameter, replaceDriverTypes } from '../../src/db/wire-type.ts'

/** Where a task stops: resolves when it is let go on. */
export interface Gate {
  (label: string): Promise<void>
  /** Whether it stops at that label; what does not stop there holds nothing while others run. */
  readonly stops: (label: string) => boolean
}

/** The gate of the task that is running: how a driver that all tasks share knows whose call it is. */
export const inTask = new AsyncLocalStorage<Gate>()

/** The hook of the fake drivers: parks the call of a task before it acts, and after it has acted. */
export const parkCall = async (when: 'before' | 'after', { call }: { readonly call: string }): Promise<void> =>
  inTask.getStore()?.(`${when === 'before' ? 'call' : 'answer'} ${call}`)

/** What the seat has sent and not had an answer to, and what its transaction holds. */
export interface Doing {
  readonly inFlight: boolean
  readonly holds: boolean
}

export interface Seat {
  readonly pid: number
  readonly db: Database
  /** What it is doing now. */
  doing(): Doing
  /** Resolves when what it has sent is answered. */
  answered(): Promise<void>
  /** Ends the wait for a lock, as `lock_timeout` would: PostgreSQL takes the same way out for both. */
  timeOut(): Promise<void>
  close(): Promise<void>
}

/** Conflicts that PostgreSQL reports are repeated as often as the product's client does. */
const repeatsAtMost = 3
const isRead = (sql: string) =>
  /^\s*(\/\*[^*]*\*\/\s*)?select\b/i.test(sql) && !/\bfor (no key )?(update|share)\b/i.test(sql)

/** Opens a seat; `wrap` stands between the gate and the connection, and may rewrite statements. */
export async function openSeat(
  url: string,
  control: postgres.Sql,
  wrap: (channel: Channel) => Channel = (channel) => channel,
): Promise<Seat> {
  // Nothing but the schedule ends a wait: neither a timeout nor the deadlock detector. A statement is planned once, and not each time.
  const patient = { lock_timeout: 0, statement_timeout: 0, deadlock_timeout: 600_000 }
  const connection = { application_name: 'explore', plan_cache_mode: 'force_generic_plan', ...patient }
  const client = postgres(url, { max: 1, fetch_types: false, max_lifetime: null, onnotice: () => {}, connection })
  replaceDriverTypes(client.options)
  const [{ pid } = { pid: '0' }] = await client`select pg_backend_pid() as pid`
  let doing: Doing = { inFlight: false, holds: false }
  let answered = Promise.withResolvers<void>()
  const does = (now: Doing) => {
    doing = now
    if (now.inFlight) return
    answered.resolve()
    answered = Promise.withResolvers<void>()
  }
  let timedOut = false

  const send = ({ sql, params, prepare, arrayMode }: Statement): Promise<unknown[]> => {
    const query = client.unsafe(sql, params.map(encodeParameter), {
      prepare,
      simple: false,
    } as postgres.UnsafeQueryOptions)
    // Sent at once, so that what is asked after it is answered after it.
    return (arrayMode ? query.values() : query).execute() as unknown as Promise<unknown[]>
  }
  const wrapped = wrap({ run: send })

  /** One attempt, up to its commit. */
  async function attempt(statement: Statement, label: string, gate: Gate): Promise<unknown[]> {
    does({ inFlight: true, holds: false })
    if (isRead(statement.sql) || !gate.stops(label)) return wrapped.run(statement)
    client.unsafe('begin').catch(() => {})
    const answer = wrapped.run(statement)
    const held = client.unsafe('select pg_current_xact_id_if_assigned() is not null as holds').catch(() => [])
    const rows = await answer
    const [{ holds } = { holds: false }] = await held
    if (holds) {
      does({ inFlight: false, holds: true })
      await gate(`${label} commit`)
    }
    does({ inFlight: true, holds })
    await client.unsafe('commit')
    return rows
  }

  async function run(statement: Statement): Promise<unknown[]> {
    const gate = inTask.getStore()
    if (!gate) return wrapped.run(statement).catch((error) => Promise.reject(toFault(error, true)))
    const name = statementName(statement.sql) ?? statement.sql.slice(0, 40)
    const label = isRead(statement.sql) ? `look ${name}` : name
    for (let repeats = 0; ; repeats++) {
      await gate(label)
      try {
        return await attempt(statement, label, gate)
      } catch (error) {
        if (!isRead(statement.sql) && gate.stops(label)) await client.unsafe('rollback')
        if (timedOut)
          Object.assign(error as object, { code: '55P03', message: 'canceling statement due to lock timeout' })
        timedOut = false
        const rule = ruleFor(error, { sent: true, read: false })
        if (rule.repeat !== 'conflict' || repeats === repeatsAtMost) throw toFault(error, true, { statement: name })
      } finally {
        does({ inFlight: false, holds: false })
      }
    }
  }

  // One statement at a time, in the order in which they come: a pool of one connection.
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = (statement: Statement): Promise<unknown[]> => {
    const turn = last.then(() => run(statement))
    last = turn.catch(() => {})
    return turn
  }
  return {
    pid: Number(pid),
    db: databaseOver({ run: inTurn }),
    doing: () => doing,
    answered: () => answered.promise,
    async timeOut() {
      timedOut = true
      await control`select pg_cancel_backend(${Number(pid)})`
    },
    close: () => client.end({ timeout: 1 }),
  }
}
