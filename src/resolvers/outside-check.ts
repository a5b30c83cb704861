// What rows say of the outside, for whoever compares it with what drivers have: workloads and resources as they are now, whether
// work is under way for them, and whether they have been looked after lately.
import { type SQL, sql } from 'drizzle-orm'
import { type DeploymentState, deploymentMachine } from '../lifecycle/deployment.ts'
import type { InstanceState } from '../lifecycle/instance.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { liveOperationStates } from '../lifecycle/operation.ts'
import { type ResourceState, resourceMachine } from '../lifecycle/resource.ts'
import { stackMachine } from '../lifecycle/stack.ts'
import { allOf, names } from './check.ts'
import type { Owners } from './orphan.ts'
import type { Database } from './transition.ts'

/** One thing outside, as its row has it. */
export interface OutsideRow {
  readonly subjectId: string
  /** As the driver knows it. */
  readonly incarnation: string
  /** In which type of a driver, where there are several. */
  readonly type: string | null
  readonly state: string
  readonly generation: number
  /** Counts every change of the row. */
  readonly version: number
  /** Its row has come to its end: nothing of it is to be there. */
  readonly ended: boolean
  /** Work of it is live: what is there may differ from the row until it is done. */
  readonly busy: boolean
  /** Nothing of it is to run, or nobody is to reach it. */
  readonly still: boolean
  /** It is to be there; of a workload the run that is to live is `instanceId`. */
  readonly there: boolean
  readonly instanceId: string | null
  /** So long nothing was heard of the run, that what looks after it would have seen its end by now. */
  readonly unheard: boolean
}

const runs = names(['ONLINE', 'DEGRADED'] satisfies InstanceState[])
/** `reconcile-instances` asks about each run once a minute; this is three times as long. */
const lately = sql.raw("interval '3 minutes'")
const busy = (id: SQL) =>
  sql`exists (select 1 from operation o where o.subject_id = ${id} and o.state in (${names(liveOperationStates)}))`
const row = (
  entity: string,
  more: SQL,
  ended: SQL,
  from: SQL,
) => sql`select s.id as "subjectId", s.state, s.generation, s.version,
  ${busy(sql`s.id`)} as busy, ${ended} as ended, ${more} from ${sql.identifier(entity)} s ${from}`
const unit = sql`i.id is not null as there, i.instance_id as "instanceId",
  coalesce(greatest(i.checked_at, i.started_at, i.state_changed_at) < now() - ${lately}, false) as unheard`
const unitOf = (service: SQL) => sql`left join instance i on i.subject_id = s.id and i.generation = s.generation
  and i.runtime <> 'EXTERNAL' and i.state in (${runs}) and i.service is not distinct from ${service}`

const over = (machine: Parameters<typeof statesOfKind>[0]) =>
  sql`s.state in (${names(statesOfKind(machine, 'terminal'))})`
const open = ['ACTIVE', 'SUSPENDED'] satisfies ResourceState[]
const shut = ['PAUSED'] satisfies ResourceState[]

const queries: Readonly<Record<Owners, SQL>> = {
  workload: allOf([
    row(
      'deployment',
      sql`s.incarnation, null::text as type, s.state in (${names(['STOPPED'] satisfies DeploymentState[])}) as still, ${unit}`,
      over(deploymentMachine),
      unitOf(sql`null::text`),
    ),
    row(
      'stack',
      sql`s.incarnation || '-' || n.name as incarnation, null::text as type, false as still, ${unit}`,
      over(stackMachine),
      sql`cross join lateral (select jsonb_object_keys(s.placed) union select e ->> 'name' from jsonb_array_elements(s.services) e) n(name)
        ${unitOf(sql`n.name`)}`,
    ),
  ]),
  resource: row(
    'resource',
    sql`s.incarnation, s.type, s.state in (${names(shut)}) as still, s.state in (${names([...open, ...shut])}) as there,
      null::text as "instanceId", false as unheard`,
    over(resourceMachine),
    sql``,
  ),
}

/** All that has not ended; or, of these subjects, what has ended, too. One statement: it sees one moment. */
export async function outsideRows(
  db: Database,
  owners: Owners,
  subjectIds: readonly string[] | null = null,
): Promise<OutsideRow[]> {
  const which =
    subjectIds === null
      ? sql`not ended`
      : sql`"subjectId" in (select jsonb_array_elements_text(${JSON.stringify(subjectIds)}::text::jsonb))`
  return db.execute<OutsideRow & Record<string, unknown>>(
    sql`/* read:check.outside */ select * from (${queries[owners]}) r where ${which} order by "subjectId", incarnation`,
  )
}

/** Of operations that a driver was given, those of which neither a row nor an event tells; the log is asked for what was trimmed. */
export async function unknownOperations(db: Database, ids: readonly string[]): Promise<string[]> {
  const rows = await db.execute<{ id: string }>(sql`/* read:check.operations */ select id
    from jsonb_array_elements_text(${JSON.stringify(ids)}::text::jsonb) given (id)
    where not exists (select 1 from operation o where o.id = given.id) and not exists (select 1 from event e where e.subject_id = given.id)`)
  return rows.map(({ id }) => id)
}

/** Since when the log is whole: nothing of before is kept for certain. Null: it was never trimmed. */
export async function wholeSince(db: Database): Promise<Date | null> {
  const [row] = await db.execute<{ since: string | null }>(sql`/* read:check.whole */ select
    case when trimmed_through > 0 then coalesce((select occurred_at from event where position > trimmed_through order by position limit 1), now()) end::text as since
    from event_horizon`)
  return row?.since ? new Date(row.since) : null
}
