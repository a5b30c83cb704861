// What the dispatcher looks for: which kinds have work that may begin, and which operations are outdated and stand in its way.
// It looks at the head of each kind's queue alone, so that a pass costs the same however much is queued: whatever waits further
// back could not begin yet anyway. What it finds is a hint; the moves that follow repeat their reasons under the lock.
import { type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { operation } from '../db/operation.ts'
import { statementOf } from '../db/prepared.ts'
import { liveOperationStates } from '../lifecycle/operation.ts'
import { type SubjectType, stateIs, subjects } from './operation-rule.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'

/** How many operations of each kind are looked at, oldest due first: more than a process takes up at once. */
const head = sql.raw('50')

export interface DueWork {
  /** Ids of those that may be claimed, by kind. */
  readonly ready: ReadonlyMap<string, readonly string[]>
  /** Ids of operations whose subject has a newer wish, by the type of the subject. */
  readonly outdated: ReadonlyMap<SubjectType, readonly string[]>
}

const live = (state: SQLWrapper) => stateIs(state, ...liveOperationStates)
const generationOf = sql.join(
  Object.entries(subjects).map(
    ([type, table]) =>
      sql`when ${sql.raw(quoted([type]))} then (select ${table.generation} from ${table} where ${table.id} = o.subject_id)`,
  ),
  sql.raw(' '),
)

/**
 * The head of the queue. Left out is what waits for other work that is not outdated, or that a worker has at this moment: it may
 * wait for long, and must not hide what comes after it. What makes an operation wait is said in full in `claimOperation`.
 */
const due = sql`select o.* from unnest(${listParam('kinds')}) k(kind) cross join lateral (
  select o.id, o.kind, o.subject_type, o.subject_id, o.generation, o.state from ${operation} o
  where o.kind = k.kind and ${live(sql`o.state`)} and o.due_at <= now() and not exists (
    select 1 from ${operation} p where p.subject_id = o.subject_id and ${live(sql`p.state`)} and p.id <> o.id
      and (p.generation >= o.generation or (${stateIs(sql`p.state`, 'RUNNING')} and p.due_at > now()))
      and (not ${stateIs(sql`p.state`, 'PENDING')} or ((p.generation, p.id) < (o.generation, o.id) and (p.attempt > 0 or p.due_at <= now()))))
  order by o.due_at limit ${head}) o`

/** What is due itself, and what of an older wish its subject still has, due or not. The bounds also tell the planner how little it is. */
const seen = sql`select o.kind, o.subject_type, o.id, o.state,
    o.generation < (case o.subject_type ${generationOf} end) as outdated from due o
  union select p.* from due o cross join lateral (
    select p.kind, p.subject_type, p.id, p.state, true from ${operation} p where p.subject_id = o.subject_id and p.generation < o.generation
      and ${live(sql`p.state`)} and (not ${stateIs(sql`p.state`, 'RUNNING')} or p.due_at <= now())
      and p.kind = any(${listParam('kinds')}) limit ${head}) p`

/** One cheap statement; all that an idle poll costs. */
export async function dueWork(db: Database, kinds: readonly string[]): Promise<DueWork> {
  const name = 'read:isAnythingDue'
  const statement = statementOf(db, name, () =>
    db
      .select({
        kind: sql<string>`w.kind`,
        subjectType: sql<SubjectType>`w.subject_type`,
        outdatedIds: sql<string | null>`string_agg(w.id, ',') filter (where w.ends)`,
        readyIds: sql<string | null>`string_agg(w.id, ',') filter (where not w.ends)`,
      })
      .from(
        sql`(with due as (${due}), seen as (${seen})
          select s.*, coalesce(s.outdated, false) and not ${stateIs(sql`s.state`, 'UNKNOWN')} as ends from seen s) w`,
      )
      .groupBy(sql`w.kind, w.subject_type`)
      .prepare(name),
  )
  const found = await statement.execute({ kinds: kinds.join(',') })
  const ready = new Map<string, string[]>()
  const outdated = new Map<SubjectType, string[]>()
  for (const { kind, subjectType, outdatedIds, readyIds } of found) {
    if (readyIds) ready.set(kind, readyIds.split(','))
    if (outdatedIds) outdated.set(subjectType, [...(outdated.get(subjectType) ?? []), ...outdatedIds.split(',')])
  }
  return { ready, outdated }
}
