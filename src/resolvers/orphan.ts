// What drivers have and no living row owns: noted with the moment of its first sight, and claimed for its removal when its time
// of grace is over, by the database's clock. The table outlives restarts and is one for all replicas.
import { type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { type Machine, statesOf } from '../lifecycle/machine.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import { stackMachine } from '../lifecycle/stack.ts'
import type { Database } from './transition.ts'

/** What a driver has: of which subject, made as which incarnation, and the generation that it told. */
export interface Held {
  readonly subjectId: string
  readonly incarnation: string
  readonly generation: number
}

/** A right to remove one of them, until the claim is over. */
export interface OrphanClaim {
  readonly subjectId: string
  readonly incarnation: string
  /** When the claim is over; names it. */
  readonly claim: string
}

export type Owners = 'workload' | 'resource'

/** How long it must have been seen without an owner, by any replica, before it is removed. */
const grace = sql.raw("interval '1 hour'")
/** Longer than a pass and shorter than the time between two: what could not be removed is tried again by the next one. */
const claimed = sql.raw("interval '10 minutes'")
const batch = 2_000

const living = (machine: Machine<string, string>) =>
  sql.raw(quoted(statesOf(machine).filter((state) => machine.states[state]?.kind !== 'terminal')))

/** Whether a living row is what was made; of a stack, each of its services and each that its row still names. */
const owned: Readonly<Record<Owners, SQL>> = {
  workload: sql`(exists (select 1 from deployment d where d.id = h.subject_id and d.incarnation = h.incarnation
      and d.state in (${living(deploymentMachine)}))
    or exists (select 1 from stack s where s.id = h.subject_id and s.state in (${living(stackMachine)})
      and (h.incarnation in (select s.incarnation || '-' || name from jsonb_object_keys(s.placed) name)
        or h.incarnation in (select s.incarnation || '-' || (e ->> 'name') from jsonb_array_elements(s.services) e))))`,
  resource: sql`exists (select 1 from resource r where r.id = h.subject_id and r.incarnation = h.incarnation
    and r.state in (${living(resourceMachine)}))`,
}

/** The database's clock, as text that it reads again exactly. */
export async function databaseNow(db: Database): Promise<string> {
  const [row] = await db.execute<{ now: string }>(sql`/* databaseNow */ select now()::text as now`)
  return String(row?.now)
}

/**
 * Notes which of all that the driver has is owned by nobody, and forgets what was noted and is owned again, or gone: what was not
 * seen since `since`. For a whole list only. Returns how many were seen, and
 * how many of these for the first time. A later sight changes one moment
 * that only goes up, so the upsert hides no race.
 */
export async function noteOrphans(
  db: Database,
  driver: string,
  owners: Owners,
  held: readonly Held[],
  since: string,
): Promise<{ readonly fresh: number; readonly seen: number }> {
  let [fresh, seen] = [0, 0]
  for (let from = 0; from < held.length; from += batch) {
    const part = JSON.stringify(
      held.slice(from, from + batch).map(({ subjectId, incarnation, generation }) => ({
        subject_id: subjectId,
        incarnation,
        generation,
      })),
    )
    const rows = await db.execute<{ fresh: boolean }>(sql`/* noteOrphans */
      insert into orphan (driver, subject_id, incarnation, generation, first_seen_at, last_seen_at)
      select ${driver}::text, h.subject_id, h.incarnation, h.generation, now(), now()
      from jsonb_to_recordset(${part}::text::jsonb) as h(subject_id text, incarnation text, generation int)
      where not ${owned[owners]} order by h.subject_id, h.incarnation
      on conflict (driver, subject_id, incarnation) do update set last_seen_at = greatest(orphan.last_seen_at, excluded.last_seen_at)
      returning first_seen_at = last_seen_at as fresh`)
    fresh += rows.filter((row) => row.fresh).length
    seen += rows.length
  }
  await db.execute(sql`/* forgetOrphans */ delete from orphan
    where driver = ${driver}::text and last_seen_at < ${since}::text::timestamptz`)
  return { fresh, seen }
}

/** Takes up to `limit` whose grace is over, seen since `since` and still owned by nobody; one replica has each. */
export async function claimOrphans(
  db: Database,
  driver: string,
  owners: Owners,
  since: string,
  limit: number,
): Promise<OrphanClaim[]> {
  const free = sql`(h.claimed_until is null or h.claimed_until <= now())`
  return [
    ...(await db.execute<OrphanClaim & Record<string, unknown>>(sql`/* claimOrphans */ with due as (
      select h.driver, h.subject_id, h.incarnation from orphan h
      where h.driver = ${driver}::text and h.first_seen_at <= now() - ${grace}
        and h.last_seen_at >= ${since}::text::timestamptz and ${free} and not ${owned[owners]}
      order by h.first_seen_at limit ${limit}::int for update skip locked)
      update orphan o set claimed_until = clock_timestamp() + ${claimed} from due
      where o.driver = due.driver and o.subject_id = due.subject_id and o.incarnation = due.incarnation
      returning o.subject_id as "subjectId", o.incarnation, o.claimed_until::text as claim`)),
  ]
}

/** Stores what has become of a claimed one: forgotten when it is removed, else what the driver said. */
export async function settleOrphan(
  db: Database,
  driver: string,
  { subjectId, incarnation, claim }: OrphanClaim,
  outcome: string | null,
): Promise<void> {
  const mine = sql`driver = ${driver}::text and subject_id = ${subjectId}::text and incarnation = ${incarnation}::text
    and claimed_until = ${claim}::text::timestamptz`
  await db.execute(
    outcome === null
      ? sql`/* orphanRemoved */ delete from orphan where ${mine}`
      : sql`/* orphanLeft */ update orphan set outcome = ${outcome}::text where ${mine}`,
  )
}
