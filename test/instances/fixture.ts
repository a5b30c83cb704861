// Instances on the stage of the loops: what is stored of those of a subject, a deployment that is up, passes of the loop, and time
// that is moved by hand.
import type postgres from 'postgres'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import type { Told } from '../../src/loops/count.ts'
import { reconcileInstancesLoop } from '../../src/loops/reconcile-instances.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import type { Stage } from '../loops/fixture.ts'

export type Asked = Pick<RuntimeDriver, 'observeInstance'>

export interface InstanceSeen {
  readonly id: string
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly service: string | null
  readonly instanceId: string | null
  readonly url: string | null
  readonly failedChecks: number
  readonly restarts: number
  readonly recentRestarts: number
  /** From now, in ms; null when nothing is to be done. */
  readonly dueInMs: number | null
}

/** The instances of a subject, oldest generation first. */
export async function instancesOf(sql: postgres.Sql, subjectId: string): Promise<InstanceSeen[]> {
  return sql<
    InstanceSeen[]
  >`select id, state, state_reason as "stateReason", generation, service, instance_id as "instanceId", url,
      failed_checks as "failedChecks", restarts, recent_restarts as "recentRestarts",
      (extract(epoch from restart_due_at - now()) * 1000)::float8 as "dueInMs"
    from instance where subject_id = ${subjectId} order by generation, service nulls first, id`
}

/** The one that is not removed. */
export async function instanceOf(sql: postgres.Sql, subjectId: string): Promise<InstanceSeen> {
  const live = (await instancesOf(sql, subjectId)).filter(({ state }) => state !== 'REMOVED')
  if (live.length !== 1) throw new Error(`${subjectId} has ${live.length} instances that are not removed`)
  return live[0] as InstanceSeen
}

/** One pass of the loop, in its own time or in that of a cycle that the test cuts off. */
export const passOf = (
  db: Database,
  driver: Asked,
  signal: AbortSignal = new AbortController().signal,
  told: Told = () => {},
) => reconcileInstancesLoop(db, driver, told).pass(signal)

/** Whatever was asked about may be asked about again; of one subject, where it is named. */
export const askAgain = (stage: Pick<Stage, 'beneath'>, subjectId: string | null = null) =>
  stage.beneath(
    (sql) => sql`update instance set asked_at = null where ${subjectId}::text is null or subject_id = ${subjectId}`,
  )

/** Every restart is due now, its work and its instance. */
export const restartsDue = (stage: Pick<Stage, 'beneath' | 'dueNow'>) =>
  stage.beneath(async (sql) => {
    await sql`update instance set restart_due_at = now() where restart_due_at > now()`
    await sql`update operation set due_at = now() where state = 'PENDING'`
  })

/** A HEALTHY deployment with a run, and the workload behind it. */
export async function healthyDeployment(stage: Stage): Promise<{ id: string; ref: WorkloadRef }> {
  const id = await stage.deploy()
  const { incarnation } = await stage.reaches(id, 'HEALTHY')
  return { id, ref: { subjectId: id, incarnation } }
}

/** The events of a subject or an instance, oldest first. */
export const eventsOf = async (sql: postgres.Sql, id: string): Promise<string[]> =>
  (await sql<{ kind: string }[]>`select kind from event where subject_id = ${id} order by id`).map(({ kind }) => kind)
