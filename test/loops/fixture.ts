// A stage for the loops: a database with a team, one world of fake workloads, and any number of replicas on both, each with
// a pool, a worker id and a script of its own. Nothing here waits for time: tests wait for what they want to see.
import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { expect } from 'vitest'
import { openPool, type Pool, type PoolOptions } from '../../src/db/client.ts'
import { newId } from '../../src/db/id.ts'
import { createFakeDriver, type FakeDriver, type FakeDriverOptions } from '../../src/drivers/runtime/fake.ts'
import type { Log, LogFields } from '../../src/log.ts'
import type { Timing } from '../../src/loops/claim.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { type Dispatcher, startDispatcher } from '../../src/loops/dispatch.ts'
import type { Effect } from '../../src/loops/effect.ts'
import { createMetrics, type Metrics } from '../../src/metrics.ts'
import { type DeploymentPayload, deploy } from '../../src/resolvers/deployment.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import { createTestDatabase, patient } from '../database.ts'
import { ownerActor, putOwner } from '../owner.ts'
import { contextFor, testSealing } from '../row.ts'
import { until } from '../until.ts'

export interface Replica {
  readonly dispatcher: Dispatcher
  readonly driver: FakeDriver
  readonly pool: Pool
  readonly workerId: string
  /** Lines of its log, as `level message field=value …`. */
  readonly lines: readonly string[]
  readonly metrics: Metrics
}
export interface ReplicaOptions {
  readonly timing?: Partial<Timing>
  readonly wrap?: PoolOptions['wrap']
  readonly slots?: number
  readonly lockTimeoutMs?: number
  /** Instead of the usual effects, or made of them. */
  readonly effects?: (db: Database, driver: FakeDriver, usual: Effect[]) => Effect[]
}
export interface OperationSeen {
  readonly id: string
  readonly subjectId: string
  readonly kind: string
  readonly state: string
  readonly generation: number
  readonly attempt: number
  readonly failures: number
  readonly outcome: string | null
  readonly claimedBy: string | null
  readonly dueInMs: number
}
export interface DeploymentSeen {
  readonly id: string
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly incarnation: string
  readonly url: string | null
  readonly instanceId: string | null
}

export { until }

/** A log that keeps its lines. */
export function keepingLog(lines: string[]): Log {
  const line =
    (level: string) =>
    (message: string, fields: LogFields = {}) => {
      const parts = Object.entries(fields).map(([key, value]) => `${key}=${value}`)
      lines.push([level, message, ...parts].join(' '))
    }
  const log: Log = {
    fatal: line('fatal'),
    error: line('error'),
    warn: line('warn'),
    info: line('info'),
    debug: line('debug'),
    trace: line('trace'),
    with: () => log,
  }
  return log
}

export type Stage = Awaited<ReturnType<typeof openStage>>

/** Opens a stage; `close` drains every replica that is left and removes everything. */
export async function openStage(options: FakeDriverOptions = {}) {
  const database = await createTestDatabase()
  const sql = postgres(database.url, { max: 6, onnotice: () => {} })
  const driver = createFakeDriver(options)
  const pools: Pool[] = []
  const replicas: Replica[] = []
  const teamId = newId('Team')
  await sql`insert into team (id, state, name) values (${teamId}, 'ACTIVE', 'stage')`
  await putOwner(sql, teamId, 1_000_000)

  const open = (more: Partial<PoolOptions> = {}): Pool => {
    const given = { url: database.url, purpose: 'worker' as const, slots: 4, ...patient, ...more }
    const pool = openPool(given)
    pools.push(pool)
    return pool
  }
  const actor = ownerActor(newId('ApiToken'), teamId)
  const context = contextFor(open({ purpose: 'api' }).db, actor)
  const operations = (subjectId?: string) => sql<OperationSeen[]>`
    select id, subject_id as "subjectId", kind, state, generation, attempt, failures, outcome, claimed_by as "claimedBy",
      (extract(epoch from due_at - now()) * 1000)::float8 as "dueInMs"
    from operation where subject_id = ${subjectId ?? null} or ${subjectId ?? null}::text is null order by subject_id, generation, id`
  const deployment = async (id: string): Promise<DeploymentSeen> => {
    const [row] = await sql<DeploymentSeen[]>`
      select id, state, state_reason as "stateReason", generation, incarnation, url, instance_id as "instanceId"
      from deployment where id = ${id}`
    if (!row) throw new Error(`${id} is gone`)
    return row
  }
  return {
    url: database.url,
    /** Sessions of a superuser, beside all pools. */
    sql,
    teamId,
    driver,
    context,
    open,
    operations,
    deployment,
    replica(more: ReplicaOptions = {}): Replica {
      const { slots = 4, lockTimeoutMs = 3_000, wrap } = more
      const own = driver.another()
      const pool = open({ slots, lockTimeoutMs, ...(wrap ? { wrap } : {}) })
      const lines: string[] = []
      const usual = deploymentEffects(pool.db, own, testSealing)
      const workerId = `worker-${replicas.length + 1}`
      const metrics = createMetrics({ strict: true })
      const dispatcher = startDispatcher(more.effects?.(pool.db, own, usual) ?? usual, {
        db: pool.db,
        metrics,
        log: keepingLog(lines),
        workerId,
        timing: { pollMs: 50, ...more.timing },
      })
      const replica = { dispatcher, driver: own, pool, workerId, lines, metrics }
      replicas.push(replica)
      return replica
    },
    async deploy(input: { name?: string; image?: string; ttlHours?: number } = {}, asked = context): Promise<string> {
      const name = input.name ?? `d${randomBytes(5).toString('hex')}`
      const answer = await deploy(asked, { image: 'hello', ...input, name })
      expect(answer).not.toHaveProperty('refusal')
      return (answer as DeploymentPayload).deployment.id
    },
    /** Until the deployment is in that state. */
    reaches: (id: string, state: string): Promise<DeploymentSeen> =>
      until(async () => {
        const row = await deployment(id)
        expect(row.state).toBe(state)
        return row
      }),
    /** Until the newest operation of the subject is in that state. */
    work: (subjectId: string, state: string): Promise<OperationSeen> =>
      until(async () => {
        const row = (await operations(subjectId)).at(-1)
        expect(row?.state).toBe(state)
        return row as OperationSeen
      }),
    /** Changes rows past the triggers, for what no caller can bring about. */
    async beneath(work: (session: postgres.ReservedSql) => Promise<unknown>): Promise<void> {
      const session = await sql.reserve()
      try {
        await session`set session_replication_role = replica`
        await work(session)
      } finally {
        await session`reset session_replication_role`
        session.release()
      }
    },
    /** Makes everything that waits due, whatever its back-off. */
    dueNow: () => sql`update operation set due_at = now() where state in ('PENDING', 'UNKNOWN')`,
    async close() {
      driver.clear()
      for (const each of replicas) each.driver.clear()
      await Promise.all(replicas.map((each) => each.dispatcher.drain(0)))
      await Promise.all(pools.map((pool) => pool.close({ timeoutMs: 0 })))
      await sql.end({ timeout: 1 })
      await database.drop()
    },
  }
}

/** How often the workload was started, as the world remembers. */
export const startsOf = (driver: FakeDriver, subjectId: string): number =>
  driver
    .log()
    .filter(({ ref }) => ref?.subjectId === subjectId)
    .flatMap(({ effects }) => effects)
    .filter(({ effect }) => effect === 'started').length
