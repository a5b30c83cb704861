// Which runs are to be asked about next, and what is noted of the answers. What is captured here travels with the question and
// is repeated in the move that follows from its answer, so that a run that has been replaced meanwhile is never taken for the
// one that was asked about. The notes are bookkeeping: no state, no event.
import { type SQL, sql } from 'drizzle-orm'
import { quoted, stateIn } from '../db/columns.ts'
import { instance } from '../db/instance.ts'
import type { InstanceState } from '../lifecycle/instance.ts'
import { maxRecentRestarts, recentOf } from './instance-rule.ts'
import type { Database } from './transition.ts'

export { maxRecentRestarts }

/** A run as it was when it was taken to be asked about. */
export interface Askable {
  /** Of the instance. */
  readonly id: string
  readonly teamId: string
  readonly state: InstanceState
  readonly subjectType: 'Deployment' | 'Stack'
  readonly subjectId: string
  readonly service: string | null
  readonly incarnation: string
  /** The provider's id of the very run. */
  readonly instanceId: string
  readonly generation: number
  /** How often it was started again since it last stayed up for long. */
  readonly recentRestarts: number
  /** When it was taken, and when the time before: to give it back unasked. As the database writes them. */
  readonly askedAt: string
  readonly askedBefore: string | null
}

const running: readonly InstanceState[] = ['STARTING', 'ONLINE', 'DEGRADED']
const waiting: readonly InstanceState[] = ['OFFLINE', 'STARTING']

/** Searched for in two steps, each a condition of the index: with an OR the pass that finds nothing more would read every row. */
const askable = (which: SQL, limit: SQL) => sql`select id, asked_at from instance
      where runtime <> 'EXTERNAL' and ${stateIn(running)} and instance_id <> '' and ${which}
      order by asked_at nulls first limit ${limit} for no key update skip locked`

/**
 * Takes up to `limit` runs that were not asked about for `everyMs`, longest ago first; others leave them alone then. The stamp
 * is the claim: no row stays locked while drivers are asked.
 */
export async function takeAskable(db: Database, everyMs: number, limit: number): Promise<Askable[]> {
  return [
    ...(await db.execute<Askable & Record<string, unknown>>(sql`/* takeAskable */ with
    never as (${askable(sql`asked_at is null`, sql`${limit}::int`)}),
    older as (${askable(
      sql`asked_at < now() - ${everyMs}::float8 * interval '1 millisecond'`,
      sql`${limit}::int - (select count(*) from never)`,
    )}),
    due as (select * from never union all select * from older),
    taken as (update ${instance} set asked_at = now() from due where ${instance.id} = due.id
      returning ${instance.id} as id, team_id as "teamId", state, subject_type as "subjectType", subject_id as "subjectId", service,
        incarnation, instance_id as "instanceId", generation, ${recentOf(instance)} as "recentRestarts",
        ${instance.askedAt}::text as "askedAt", due.asked_at as before)
    select *, before::text as "askedBefore" from taken order by before nulls first`)),
  ]
}

/** What was taken and not asked about has its old place in the order again, unless somebody else has taken it meanwhile. */
export async function giveBackAskable(db: Database, taken: readonly Askable[]): Promise<void> {
  const rows = taken.map(({ id, askedAt, askedBefore }) => ({ id, askedAt, askedBefore }))
  await db.execute(sql`/* giveBackAskable */ with taken as (
      select * from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as t(id text, "askedAt" timestamptz, "askedBefore" timestamptz)),
    held as (select i.id, t."askedBefore" from instance i join taken t on t.id = i.id and i.asked_at = t."askedAt"
      for no key update of i skip locked)
    update instance i set asked_at = held."askedBefore" from held where i.id = held.id`)
}

export interface Note {
  readonly id: string
  readonly instanceId: string
  readonly state: InstanceState
  readonly healthy: boolean
}
export interface Noted {
  readonly id: string
  readonly state: InstanceState
  /** Health checks in a row that failed, or, negative, that passed. */
  readonly failedChecks: number
}
/** Far beyond what anything is decided by. */
const maxCounted = sql.raw('1000')

/**
 * Notes answers about runs that live. One that has moved or has another run is left out; so is one that somebody else holds,
 * unless `held` says to wait for it.
 */
export async function noteAnswers(db: Database, notes: readonly Note[], held: 'skip' | 'wait'): Promise<Noted[]> {
  return [
    ...(await db.execute<Noted & Record<string, unknown>>(sql`/* noteAnswers */ with told as (
      select * from jsonb_to_recordset(${JSON.stringify(notes)}::text::jsonb) as t(id text, "instanceId" text, state text, healthy boolean)),
    held as (select i.id, t.healthy from instance i join told t on t.id = i.id and t."instanceId" = i.instance_id and t.state = i.state
      order by i.id for no key update of i ${sql.raw(held === 'skip' ? 'skip locked' : '')})
    update instance i set checked_at = clock_timestamp(), failed_checks = case when held.healthy
        then greatest(least(i.failed_checks, 0) - 1, -${maxCounted}) else least(greatest(i.failed_checks, 0) + 1, ${maxCounted}) end
      from held where i.id = held.id returning i.id, i.state, i.failed_checks as "failedChecks"`)),
  ]
}

export interface ToBeStarted {
  readonly service: string | null
  readonly state: InstanceState
  readonly recentRestarts: number
  /** 0 when it is due, or on its way already. */
  readonly dueInMs: number
}

/** What is to be started again of that subject at its generation, or is on its way; what runs already is left alone. */
export async function toBeStarted(
  db: Database,
  { id, generation }: { readonly id: string; readonly generation: number },
): Promise<ToBeStarted[]> {
  return [
    ...(await db.execute<ToBeStarted & Record<string, unknown>>(sql`/* read:toBeStarted */ select service, state,
      recent_restarts as "recentRestarts",
      greatest(0, coalesce(extract(epoch from restart_due_at - clock_timestamp()) * 1000, 0))::float8 as "dueInMs"
      from instance where subject_id = ${id} and generation = ${generation} and runtime <> 'EXTERNAL'
        and state in (${sql.raw(quoted(waiting))}) and (restart_due_at is not null or (${stateIn(['STARTING'] satisfies InstanceState[])} and instance_id is null))`)),
  ]
}
