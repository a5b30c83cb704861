// What has been in a passing state for too long: each row of each machine that is past its declared deadline, or past a
// time that the caller names. The worst first.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { statementOf } from '../db/prepared.ts'
import { machines } from '../lifecycle/machines.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

export interface StuckRow {
  readonly entity: string
  readonly id: string
  readonly state: string
  readonly since: Date
}

const literal = (name: string) => sql.raw(quoted([name]))

const passing = machines.flatMap((machine) =>
  Object.entries(machine.states).flatMap(([state, declared]) =>
    declared.kind === 'passing' ? [{ machine, state, deadlineMs: declared.deadlineMs }] : [],
  ),
)

const overdue = sql.join(
  passing.map(({ machine, state, deadlineMs }) => {
    const own = machine.table === 'team' ? sql`id` : sql`team_id`
    const limitMs = sql`coalesce(${textParam('olderThanMs')}::float8, ${sql.raw(String(deadlineMs))})`
    return sql`select ${literal(machine.entity)} as entity, id, state, state_changed_at from ${sql.identifier(machine.table)}
      where ${own} = ${textParam('teamId')} and state = ${literal(state)}
        and state_changed_at < clock_timestamp() - ${limitMs} * interval '1 millisecond'`
  }),
  sql` union all `,
)

/** The `limit` rows of the team that are stuck for longest. Without `olderThanMs` each state's own deadline counts. */
export async function stuck(
  db: Database,
  teamId: string,
  olderThanMs: number | null,
  limit: number,
): Promise<StuckRow[]> {
  const statement = statementOf(db, 'read:stuck', () =>
    db
      .select({
        entity: sql<string>`s.entity`,
        id: sql<string>`s.id`,
        state: sql<string>`s.state`,
        since: sql<Date>`s.state_changed_at`.mapWith((text: string) => new Date(text)),
      })
      .from(sql`(${overdue}) s`)
      .orderBy(sql`s.state_changed_at`, sql`s.id`)
      .limit(sql.placeholder('limit'))
      .prepare('read:stuck'),
  )
  return statement.execute({ teamId, olderThanMs: olderThanMs === null ? null : String(olderThanMs), limit })
}
