// What must be true of the fleet after a simulation, asked of the database and of the world's own log, each told as a sentence
// when it is not. Nothing here knows how the loop works.
import type postgres from 'postgres'
import type { FakeDriver, FakeLogEntry } from '../../src/drivers/runtime/fake.ts'

/** How many of a kind of flaw are told by name. */
const shown = 3

/** What is wrong with the rows, their events and the counters; empty when all is well. */
export const storedFlaws = (sql: postgres.Sql) => sql<{ flaw: string }[]>`
  with e as materialized (
    select *, lag(to_state) over w as before, lag(version) over w as version_before, row_number() over newest as from_end
    from event window w as (partition by subject_id order by id), newest as (partition by subject_id order by id desc)),
  r as (
    select id, state, version from deployment union all select id, state, version from instance
    union all select id, state, version from operation)
  select 'the chain of ' || subject_id || ' is broken at ' || kind as flaw from e
    where case when before is null then from_state is not null else from_state is distinct from before or version <= version_before end
  union all select 'the last event of ' || r.id || ' is not of the row' from r join e on e.subject_id = r.id and from_end = 1
    where e.to_state <> r.state
  union all select id || ' is ' || state from deployment where state <> 'HEALTHY'
  union all select id || ' is ' || state from instance where state <> 'ONLINE'
  union all select d.id || ' and its instance name different runs' from deployment d join instance i on i.subject_id = d.id
    where i.instance_id is distinct from d.instance_id
  union all select id || ' is still ' || state from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN')
  union all select 'the plan of ' || team_id || ' counts ' || used from plan_usage
    where used <> (select count(*) from deployment d where d.team_id = plan_usage.team_id)`

/** How often each instance did what, of those that did anything, as the events have it; and what its row says. */
interface Told {
  readonly subjectId: string
  readonly instanceId: string
  readonly restarts: number
  readonly gone: number
  readonly begun: number
  readonly online: number
  readonly degraded: number
  readonly asked: number
  readonly given: number
}

export interface Restarts {
  /** Instances that were restarted although they lived. */
  readonly ofLiving: number
  /** How often each dead one was restarted, by the world's log and by the events: least and most. */
  readonly byWorld: readonly [least: number, most: number]
  readonly byEvents: readonly [least: number, most: number]
  readonly flaws: readonly string[]
}

/** Compares what the world has seen started since `since` with what the events and the rows say. */
export async function restartsOf(
  sql: postgres.Sql,
  driver: FakeDriver,
  since: readonly FakeLogEntry[],
  dead: ReadonlySet<string>,
): Promise<Restarts> {
  const started = new Map<string, number>()
  for (const { ref, effects } of since) {
    const count = effects.filter(({ effect }) => effect === 'started').length
    if (ref && count > 0) started.set(ref.subjectId, (started.get(ref.subjectId) ?? 0) + count)
  }
  const rows = await sql<Told[]>`
    with e as (select subject_id as id, kind, count(*)::int as n from event where actor_id <> 'simulation' and subject_type <> 'Operation' group by 1, 2),
    n as (select id, jsonb_object_agg(kind, n) as kinds from e group by id)
    select i.subject_id as "subjectId", i.instance_id as "instanceId", i.restarts,
      coalesce((ni.kinds -> 'offlineInstance')::int, 0) as gone, coalesce((ni.kinds -> 'restartInstance')::int, 0) as begun,
      coalesce((ni.kinds -> 'markInstanceOnline')::int, 0) as online, coalesce((ni.kinds -> 'degradeInstance')::int, 0) as degraded,
      coalesce((nd.kinds -> 'restartDeployment')::int, 0) as asked, coalesce((nd.kinds -> 'markDeploymentRestarted')::int, 0) as given
    from instance i left join n ni on ni.id = i.id left join n nd on nd.id = i.subject_id`
  const flaws: string[] = []
  const runs = new Map(driver.liveRuns().map(({ subjectId, run }) => [subjectId, run.instanceId]))
  let ofLiving = 0
  const counts = { world: [] as number[], events: [] as number[] }
  for (const row of rows) {
    const world = started.get(row.subjectId) ?? 0
    const { gone, begun, online, asked, given, restarts, degraded } = row
    const events = [gone, begun, online, asked, given, restarts]
    if (runs.get(row.subjectId) !== row.instanceId) flaws.push(`${row.subjectId} does not name the run that lives`)
    if (degraded > 0) flaws.push(`${row.subjectId} was told to be ill`)
    if (dead.has(row.subjectId)) {
      counts.world.push(world)
      counts.events.push(...events)
      if (world !== 1) flaws.push(`${row.subjectId} died and was started ${world} times`)
      if (events.some((n) => n !== 1)) flaws.push(`${row.subjectId} died, and its events say ${events}`)
    } else if (world > 0 || events.some((n) => n > 0)) {
      ofLiving++
      flaws.push(`${row.subjectId} lived, was started ${world} times, and its events say ${events}`)
    }
  }
  const span = (all: readonly number[]) =>
    all.length === 0
      ? ([0, 0] as const)
      : ([all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] as const)
  return { ofLiving, byWorld: span(counts.world), byEvents: span(counts.events), flaws }
}

/** The first flaws of a list, and how many more there are. */
export const summed = (flaws: readonly string[]): string[] =>
  flaws.length <= shown ? [...flaws] : [...flaws.slice(0, shown), `and ${flaws.length - shown} more like these`]
