// Forces an order on statements that race. A stranger's transaction holds a row (or the key that a statement must insert),
// contenders queue behind it one by one, each seen waiting through pg_blocking_pids, and are let go; gates park a statement
// of a given name in the client; a mutant is the real statement with one guard rewritten, on the wire of one pool.
import type postgres from 'postgres'
import type { Channel } from '../src/db/client.ts'
import { statementName } from '../src/db/session.ts'
import { until } from './until.ts'

export interface Hold {
  /** The stranger's own backend. */
  readonly pid: number
  /** Another statement in the stranger's transaction. */
  run(statement: string): Promise<void>
  /** Commits: whoever waits goes on. */
  release(): Promise<void>
  /** Undoes what the stranger did: whoever waits goes on. */
  undo(): Promise<void>
}

/** Opens a stranger's transaction with a statement that takes locks, and leaves it open. */
export async function hold(stranger: postgres.Sql, statement: string): Promise<Hold> {
  const session = await stranger.reserve()
  const end = async (how: 'commit' | 'rollback') => {
    await session.unsafe(how)
    session.release()
  }
  await session.unsafe('begin')
  try {
    const [{ pid } = { pid: 0 }] = await session<{ pid: number }[]>`select pg_backend_pid() as pid`
    await session.unsafe(statement)
    return {
      pid,
      run: async (more) => void (await session.unsafe(more)),
      release: () => end('commit'),
      undo: () => end('rollback'),
    }
  } catch (error) {
    await end('rollback')
    throw error
  }
}

/** Holds the row of that id. */
export const holdRow = (stranger: postgres.Sql, table: string, id: string): Promise<Hold> =>
  hold(stranger, `select 1 from "${table}" where id = '${id}' for update`)

/** Holds a team's counters: whoever takes or gives back waits with its subject moved and locked. */
export const holdCounters = (stranger: postgres.Sql, teamId: string): Promise<Hold> =>
  hold(stranger, `select 1 from plan_usage where team_id = '${teamId}' for update`)

/** Holds the team's row: whoever queues an operation waits, at its foreign key, with its subject moved and locked. */
export const holdQueue = (stranger: postgres.Sql, teamId: string): Promise<Hold> =>
  hold(stranger, `select 1 from team where id = '${teamId}' for update`)

/** Takes an idempotency key, not yet committed: who uses it waits with its subject moved and locked. `undo` it. */
export const holdKey = (stranger: postgres.Sql, actorId: string, mutation: string, key: string): Promise<Hold> =>
  hold(
    stranger,
    `insert into idempotency_key (actor_id, mutation, key, input_hash, subject_id, created_at)
      values ('${actorId}', '${mutation}', '${key}', 'stranger', 'stranger', now())`,
  )

/** Waits until so many backends that run a statement of this name are seen waiting for a lock; returns their pids. */
export function untilBlocked(stranger: postgres.Sql, name: string, count = 1): Promise<number[]> {
  return until(async () => {
    const rows = await stranger<{ pid: number }[]>`
      select pid from pg_stat_activity where datname = current_database() and state = 'active'
        and query like ${`/* ${name} */%`} and cardinality(pg_blocking_pids(pid)) > 0 order by query_start`
    if (rows.length !== count) throw new Error(`${rows.length} of ${count} statements ${name} wait for a lock`)
    return rows.map((row) => row.pid)
  })
}

/** A call that goes on while the test does other things: should it fail, it fails where it is awaited. */
export function underWay<T>(call: Promise<T>): Promise<T> {
  call.catch(() => {})
  return call
}

export interface Gate {
  /** Settles when the statement has come to the gate. */
  readonly reached: Promise<void>
  release(): void
}

export interface Gates {
  readonly wrap: (channel: Channel) => Channel
  /** Parks the n-th statement of that name from now on: before it is sent, or after its answer has come. */
  park(name: string, options?: { nth?: number; when?: 'before' | 'after' }): Gate
  /** Names of the statements that were run, in order. */
  readonly ran: string[]
}

/** Gates for the `wrap` option of a pool. */
export function createGates(): Gates {
  const parked = new Set<{ name: string; left: number; when: 'before' | 'after'; arrive: () => Promise<void> }>()
  const ran: string[] = []
  const pass = async (name: string, when: 'before' | 'after') => {
    for (const gate of parked) {
      if (gate.name !== name || gate.when !== when || --gate.left > 0) continue
      parked.delete(gate)
      await gate.arrive()
    }
  }
  return {
    ran,
    wrap: (channel) => ({
      async run(statement) {
        const name = statementName(statement.sql) ?? ''
        ran.push(name)
        await pass(name, 'before')
        const rows = await channel.run(statement)
        await pass(name, 'after')
        return rows
      },
    }),
    park(name, { nth = 1, when = 'before' } = {}) {
      const reached = Promise.withResolvers<void>()
      const released = Promise.withResolvers<void>()
      const arrive = () => {
        reached.resolve()
        return released.promise
      }
      parked.add({ name, left: nth, when, arrive })
      return { reached: reached.promise, release: () => released.resolve() }
    },
  }
}

/** One rewriting of the statement of that name. */
export interface Mutation {
  readonly name: string
  readonly from: string
  readonly to: string
}

/** Rewrites statements on their way, for the `wrap` option of a pool; throws where there is nothing to rewrite. */
export const mutating =
  (...mutations: Mutation[]) =>
  (channel: Channel): Channel => ({
    run(statement) {
      let { sql } = statement
      for (const { name, from, to } of mutations) {
        if (statementName(sql) !== name) continue
        if (!sql.includes(from)) throw new Error(`the mutant of ${name} finds nothing to rewrite: ${from}`)
        sql = sql.replaceAll(from, to)
      }
      return channel.run({ ...statement, sql })
    },
  })

/**
 * Makes a batch statement of that name wait between its snapshot and its first look at a row: for whoever holds the
 * advisory lock `key`. What commits meanwhile is newer than what the statement sees.
 */
export const stalling = (name: string, table: string, key: number): Mutation[] => [
  {
    name,
    from: 'with "found" as (',
    to: `with "stall" as materialized (select pg_advisory_xact_lock(${key})), "found" as (`,
  },
  { name, from: ` from "${table}" where `, to: ` from "${table}" where (select count(*) from stall) > 0 and ` },
]
