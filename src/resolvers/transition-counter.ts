// What a move takes of a plan and gives back: guarded counters, changed only in the statement of the move itself. They are
// last in the order of locks, and locked in the order of their keys; the bounds are checked on the row as it is under the lock.
import { type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { planUsage, type UsageKind } from '../db/team.ts'

/** One counter that changes with a row: up or down by one for each row `r` of `source`, where `when` holds for it. */
export interface Count {
  /** The CTE that yields the rows, with their `team_id`. */
  readonly source: string
  /** The CTE that yields the same rows as they were: `b` in `when`. */
  readonly before?: string
  readonly kind: UsageKind
  readonly by: 1 | -1
  readonly when?: SQL | undefined
}

const literal = (name: string) => sql.raw(quoted([name]))

/**
 * The CTEs that change the counters; beyond the cap they abort by `plan_cap`, below one owner by `last_owner`, which a team
 * whose plan is closed needs no more.
 */
export function countSteps(counts: readonly Count[]): [string, SQL][] {
  if (counts.length === 0) return []
  const each = counts.map(
    ({ source, before, kind, by, when }) => sql`select r.team_id, ${literal(kind)} as kind, ${sql.raw(String(by))} as n
      from ${sql.identifier(source)} r${when && before ? sql` join ${sql.identifier(before)} b on b.id = r.id` : sql``}${when ? sql` where ${when}` : sql``}`,
  )
  return [
    [
      'counted',
      sql`select c.team_id, c.kind, sum(c.n)::int as n from (${sql.join(each, sql` union all `)}) c group by 1, 2`,
    ],
    [
      'counters',
      sql`select u.team_id, u.kind, u.used, u.cap from ${planUsage} u where (u.team_id, u.kind) in (select c.team_id, c.kind from counted c)
        order by u.team_id, u.kind for no key update`,
    ],
    [
      'counts',
      // What has no counter, as a team of a release that did not count it, takes nothing: nothing is ever without its bound.
      sql`select c.team_id, c.kind, u.cap, case when u.kind is null and c.n > 0
          then pawl_refuse('plan_cap', 'the plan has no counter of it') else u.used end as used
        from counted c left join counters u using (team_id, kind)`,
    ],
    [
      'changed',
      // From the row that the lock yields, at its newest: the updated row itself is first taken as the snapshot has it, and a
      // refusal there would speak of what was.
      sql`update ${planUsage} t set used = case
          when c.n > 0 and u.used + c.n > u.cap then pawl_refuse('plan_cap', 'the plan has no room')
          when c.n < 0 and u.kind = 'owners' and u.used + c.n < 1 and u.cap > 0 then pawl_refuse('last_owner', 'no owner would be left')
          else u.used + c.n end
        from counted c join counts u using (team_id, kind) where t.team_id = u.team_id and t.kind = u.kind`,
    ],
  ]
}

/** What a new team may have, and what of it is in use from the start. */
export interface Cap {
  readonly cap: SQL
  readonly used?: number
}

export const capStep = (
  caps: Readonly<Record<UsageKind, Cap>>,
): SQL => sql`insert into ${planUsage} (team_id, kind, cap, used)
  select moved.id, c.kind, c.cap, c.used from moved, (values ${sql.join(
    Object.entries(caps).map(([kind, { cap, used }]) => sql`(${literal(kind)}, ${cap}, ${sql.raw(String(used ?? 0))})`),
    sql.raw(', '),
  )}) as c(kind, cap, used)`

/** Takes all room away from the teams of the CTE `moved`: whatever is born into them later, however long ago it was asked for, aborts. */
export const closeStep = (): SQL => sql`update ${planUsage} u set cap = 0 from (
    select l.team_id, l.kind from ${planUsage} l where l.team_id in (select m.id from moved m) order by l.team_id, l.kind
    for no key update) c where u.team_id = c.team_id and u.kind = c.kind`
