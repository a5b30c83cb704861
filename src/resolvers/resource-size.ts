// Sizes of resources: which are to be measured next, and what was found. No state moves here, so nothing is recorded; what
// follows from a size is a move of its own, with the size repeated under the lock.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { resource } from '../db/resource.ts'
import type { ResourceState } from '../lifecycle/resource.ts'
import { releaseResource, suspendResource } from './resource-rule.ts'
import { type Cause, type Database, type Rule, transition } from './transition.ts'

export interface Measurable {
  readonly id: string
  readonly teamId: string
  readonly type: (typeof resource.$inferSelect)['type']
  readonly incarnation: string
  readonly generation: number
}

const measured: readonly ResourceState[] = ['ACTIVE', 'SUSPENDED']

/** Takes up to `limit` resources that were not measured for `everyMs`, longest ago first; others leave them alone then. */
export async function takeMeasurable(db: Database, everyMs: number, limit: number): Promise<Measurable[]> {
  return [
    ...(await db.execute<Measurable & Record<string, unknown>>(sql`/* takeMeasurable */ with due as (
      select id from resource where state in (${sql.raw(quoted(measured))})
        and (measured_at is null or measured_at < now() - ${everyMs}::int * interval '1 millisecond')
      order by measured_at nulls first limit ${limit} for no key update skip locked)
      update resource r set measured_at = now() from due where r.id = due.id
      returning r.id, r.team_id as "teamId", r.type, r.incarnation, r.generation`)),
  ]
}

/**
 * Stores a size, while the resource is still the one that was asked about, and makes the move that follows from it: above
 * its limit it is suspended, clearly below it released. Returns the rule that moved it.
 */
export async function judgeSize(
  db: Database,
  { id, teamId, generation }: Measurable,
  sizeBytes: number,
  cause: Cause,
): Promise<Rule | null> {
  const rows = await db.execute<{ state: ResourceState }>(sql`/* storeSize */ update resource
    set size_bytes = ${sizeBytes}::bigint where id = ${id} and generation = ${generation}::int returning state`)
  const rule = rows[0]?.state === 'ACTIVE' ? suspendResource : rows[0]?.state === 'SUSPENDED' ? releaseResource : null
  if (!rule) return null
  const { kind } = await transition(db, rule, { ...cause, values: { id, teamId } })
  return kind === 'moved' ? (rule as unknown as Rule) : null
}
