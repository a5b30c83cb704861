// What is on its way and since when, and what runs and when it was last heard of: for the gauges, so that nothing in a passing
// state outlives its deadline unseen, and no instance its checks.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { instance } from '../db/instance.ts'
import { liveInstanceStates, watchedInstanceStates } from '../lifecycle/instance.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { machines } from '../lifecycle/machines.ts'
import type { Database } from './transition.ts'

export interface OldestRow {
  readonly entity: string
  readonly state: string
  /** How long the oldest row of that state has been in it; 0 when there is none. */
  readonly ageMs: number
}

const passing = machines.flatMap((machine) => statesOfKind(machine, 'passing').map((state) => ({ machine, state })))

const oldest = sql.join(
  passing.map(({ machine, state }) => {
    const [entity, name] = [sql.raw(quoted([machine.entity])), sql.raw(quoted([state]))]
    return sql`select ${entity} as entity, ${name} as state, coalesce(extract(epoch from now() - min(state_changed_at)) * 1000, 0)::float8 as "ageMs"
      from ${sql.identifier(machine.table)} where state = ${name}`
  }),
  sql` union all `,
)

/** The age of the oldest row of every passing state of every entity, by the database's clock. */
export const oldestPassing = async (db: Database): Promise<OldestRow[]> => [
  ...(await db.execute<OldestRow & Record<string, unknown>>(sql`/* read:oldestPassing */ ${oldest}`)),
]

/** How many operations of each kind are in each state that is not ended. */
export const operationCounts = async (db: Database) => [
  ...(await db.execute<{ kind: string; state: string; count: number }>(sql`/* read:operationCounts */
    select kind, state, count(*)::int as count from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN') group by kind, state`)),
]

const inState = (states: readonly string[]) => sql`state in (${sql.raw(quoted(states))})`

export interface InstanceCount {
  readonly runtime: string
  readonly state: string
  readonly count: number
  /**
   * How long ago the one that was not heard of for longest was, by an answer of its driver; of EXTERNAL, for how long the heartbeat
   * that was promised is overdue, so that one which promises few does not look lost. Null where nobody waits for that.
   */
  readonly unheardMs: number | null
}

/** How many instances of each runtime are in each state that is not ended: reads all of them, once for all that is told of them. */
export const instanceCounts = async (db: Database): Promise<InstanceCount[]> => [
  ...(await db.execute<InstanceCount & Record<string, unknown>>(sql`/* read:instanceCounts */
    select runtime, state, count(*)::int as count,
      (max(greatest(0, extract(epoch from now() - coalesce(checked_at, heartbeat_at, state_changed_at)) - coalesce(heartbeat_seconds, 0)))
        filter (where ${inState(watchedInstanceStates)} and instance_id <> '') * 1000)::float8 as "unheardMs"
    from ${instance} where ${inState(liveInstanceStates)} group by runtime, state`)),
]
