// Instances in any state, past the triggers, and a look at what is stored of one.
import { randomBytes } from 'node:crypto'
import type postgres from 'postgres'
import { newId } from '../../src/db/id.ts'
import type { InstanceRuntime } from '../../src/db/instance.ts'
import { type InstanceState, liveInstanceStates } from '../../src/lifecycle/instance.ts'
import { type Where, withTriggersOff } from '../row.ts'

export interface InstanceFacts {
  readonly teamId: string
  readonly state: InstanceState
  readonly runtime?: InstanceRuntime
  readonly name?: string
  readonly environment?: string
  readonly instanceId?: string | null
  /** What it is part of: its id, and for a stack the service. */
  readonly subjectId?: string | null
  readonly service?: string | null
  readonly generation?: number
  readonly heartbeatSeconds?: number
  /** When the last heartbeat came, in seconds; null for never. */
  readonly heardSecondsAgo?: number | null
  /** Since when it is in its state, in seconds. */
  readonly sinceSecondsAgo?: number
}

/** An instance in any state; returns its id. A live EXTERNAL one counts against the plan. */
export async function putInstance(where: Where, facts: InstanceFacts): Promise<string> {
  const id = newId('Instance')
  const { teamId, state, runtime = 'EXTERNAL', subjectId = null, service = null, generation = 1 } = facts
  const { name = 'unit', environment = 'development', instanceId = randomBytes(8).toString('hex') } = facts
  const { heartbeatSeconds = 30, heardSecondsAgo = 0, sinceSecondsAgo = 0 } = facts
  const external = runtime === 'EXTERNAL'
  const subjectType = subjectId === null ? null : subjectId.startsWith('stk_') ? 'Stack' : 'Deployment'
  await withTriggersOff(where, async (sql) => {
    await sql`insert into instance (id, state, state_changed_at, generation, team_id, environment, name, runtime, subject_type,
        subject_id, service, incarnation, instance_id, heartbeat_at, heartbeat_seconds)
      values (${id}, ${state}, now() - ${sinceSecondsAgo}::float8 * interval '1 second', ${generation}, ${teamId}, ${environment},
        ${name}, ${runtime}, ${subjectType}, ${subjectId}, ${service}, ${external ? null : id}, ${instanceId},
        now() - ${external ? heardSecondsAgo : null}::float8 * interval '1 second', ${external ? heartbeatSeconds : null})`
    if (external && liveInstanceStates.includes(state))
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'instances'`
  })
  return id
}

export interface StoredInstance {
  readonly state: InstanceState
  readonly reason: string | null
  readonly version: number
  readonly heartbeatAt: Date | null
  readonly startedAt: Date | null
  readonly stateChangedAt: Date
}

export async function storedInstance(sql: postgres.Sql, id: string): Promise<StoredInstance> {
  const [row] = await sql<
    StoredInstance[]
  >`select state, state_reason as reason, version, heartbeat_at as "heartbeatAt",
    started_at as "startedAt", state_changed_at as "stateChangedAt" from instance where id = ${id}`
  if (!row) throw new Error(`${id} is gone`)
  return row
}

/** How many EXTERNAL instances the plan says are there, and how many are. */
export async function countedInstances(sql: postgres.Sql, teamId: string): Promise<{ used: number; live: number }> {
  const [row] = await sql<{ used: number; live: number }[]>`select used, (select count(*)::int from instance i
      where i.team_id = ${teamId} and i.runtime = 'EXTERNAL' and i.state = any(${[...liveInstanceStates]})) as live
    from plan_usage where team_id = ${teamId} and kind = 'instances'`
  if (!row) throw new Error('the team has no plan')
  return row
}
