// The calm after it all: nothing goes wrong any more, and within a bounded time no work is left, nothing is on its way anywhere but
// what waits for people, what the rows say is what there is, no lock is old, and every replica is ready. Waits that Pawl declares
// (back-offs, intervals between questions) are cut short by SQL: a soak has not got the minutes that they may take.
import type { ResourceRef } from '../../../src/drivers/provision/driver.ts'
import { machines } from '../../../src/lifecycle/machines.ts'
import { pause, untilEmpty } from './pace.ts'
import type { Stage } from './stage.ts'

/** Passing states that last until somebody decides. */
const forPeople = new Set([
  'PromotionApproval PENDING',
  'PromotionApproval APPROVED',
  'Invitation PENDING',
  'Team DELETION_REQUESTED',
])
const passing = machines.flatMap(({ entity, table, states }) =>
  Object.entries(states)
    .filter(([state, { kind }]) => kind === 'passing' && !forPeople.has(`${entity} ${state}`))
    .map(([state]) => ({ entity, table, state })),
)

const askedSeldom = "runtime <> 'EXTERNAL' and state in ('STARTING', 'ONLINE', 'DEGRADED')"

/** Lets apps be asked about at once, over and over, until the signal: Pawl asks each of them twice a minute. */
export async function hurry({ sql }: Stage, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sql`update instance set asked_at = now() - interval '1 hour' where id in
      (select id from instance where ${sql.unsafe(askedSeldom)} for no key update skip locked)`.catch(() => {})
    await pause(everyMs, signal)
  }
}

/** What waits for its next try need not wait. */
async function retryNow({ sql }: Stage): Promise<void> {
  await sql`update instance set restart_due_at = now() where id in (select id from instance
    where restart_due_at > now() for no key update skip locked)`
  await sql`update operation set due_at = now() where id in (select id from operation
    where state in ('PENDING', 'UNKNOWN') and due_at > now() for no key update skip locked)`
  await sql`update webhook_delivery set due_at = now() where id in (select id from webhook_delivery
    where state = 'PENDING' and due_at > now() for no key update skip locked)`
}

const toldOf = ({ kind, subject_id, attempt, failures, outcome, due_at }: Readonly<Record<string, unknown>>) =>
  ` (${kind} of ${subject_id}, attempt ${attempt}, ${failures} failures, due at ${(due_at as Date).toISOString()}: ${outcome})`

/** What is not at rest yet, in words; empty once everything is. */
export async function unrest(stage: Stage): Promise<string[]> {
  const { sql, replicas } = stage
  await retryNow(stage)
  const left: string[] = []
  for (const { entity, table, state } of passing) {
    const more = entity === 'Instance' ? sql`and runtime <> 'EXTERNAL'` : sql``
    const rows = await sql`select * from ${sql(table)} where state = ${state} ${more} limit 5`
    left.push(...rows.map((row) => `${entity} ${row.id} is ${state}${entity === 'Operation' ? toldOf(row) : ''}`))
  }
  const [unplaced] = await sql`select count(*)::int as n from event where position is null`
  if (unplaced?.n > 0) left.push(`${unplaced?.n} events have no position`)
  const behind = await sql`select w.id from webhook w where w.state = 'ACTIVE'
    and exists (select 1 from event e where e.team_id = w.team_id and e.position > w.cursor)`
  left.push(...behind.map(({ id }) => `the webhook ${id} was not told of everything`))
  const held =
    await sql`select pid, left(query, 80) as query from pg_stat_activity where backend_type = 'client backend'
    and pid <> pg_backend_pid() and state <> 'idle' and xact_start < now() - interval '1 second'`
  left.push(...held.map(({ pid, query }) => `the backend ${pid} is at it for over a second: ${query}`))
  for (const [n, replica] of replicas.entries()) {
    const ready = replica && (await fetch(replica.graphql.replace(/graphql$/, 'readyz')).catch(() => null))
    if (ready?.status !== 200) left.push(`replica ${n} is not ready`)
    await ready?.text()
  }
  return [...left, ...(await untrue(stage))]
}

/** Where the rows say something else than the world. */
async function untrue({ sql, fleet }: Stage): Promise<string[]> {
  const { runtime, postgres, redis } = fleet.outside
  const left: string[] = []
  const running = await sql`select id, subject_id, incarnation, instance_id, state from instance
    where runtime <> 'EXTERNAL' and state in ('ONLINE', 'DEGRADED')`
  const known = new Set(running.map(({ instance_id }) => instance_id))
  for (const row of running) {
    const run = runtime.liveRun({ subjectId: row.subject_id, incarnation: row.incarnation })
    if (run?.instanceId !== row.instance_id) left.push(`Instance ${row.id} is ${row.state}, and its run is not there`)
  }
  const lost = await sql`select id from deployment d where state = 'HEALTHY' and not exists
    (select 1 from instance i where i.subject_id = d.id and i.state in ('ONLINE', 'DEGRADED') and i.generation = d.generation)`
  left.push(...lost.map(({ id }) => `Deployment ${id} is HEALTHY, and nothing of it runs`))
  const over = await sql`select id, state from deployment where state in ('STOPPED', 'DELETED')
    union all select id, state from stack where state = 'DELETED'`
  const ended = new Map(over.map(({ id, state }) => [id, state]))
  for (const { subjectId, run } of runtime.liveRuns())
    if (ended.has(subjectId) && !known.has(run.instanceId))
      left.push(`${subjectId} is ${ended.get(subjectId)}, and ${run.instanceId} runs`)
  const resources =
    await sql`select id, type, state, incarnation from resource where state in ('ACTIVE', 'PAUSED', 'DELETED')`
  for (const { id, type, state, incarnation } of resources) {
    const ref: ResourceRef = { subjectId: id, incarnation }
    const isThere = (type === 'POSTGRES' ? postgres : redis).world.exists(ref)
    if (isThere !== (state !== 'DELETED')) left.push(`Resource ${id} is ${state}, and is ${isThere ? '' : 'not '}there`)
  }
  return left
}

/** Waits until all is at rest; answers what is left when the time is over, and how long it took. */
export async function calm(
  stage: Stage,
  withinMs: number,
): Promise<{ readonly left: readonly string[]; readonly tookMs: number }> {
  const begunAt = performance.now()
  const left = await untilEmpty(
    () => unrest(stage).catch((error: unknown) => [`it cannot be found out: ${error}`]),
    withinMs,
  )
  return { left, tookMs: performance.now() - begunAt }
}
