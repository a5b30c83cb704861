// Which stacks are to be asked about next, and by which runs their services are known. The captured ids travel with the
// question and are repeated in the move that follows from its answer.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { PlacedService, StackService } from '../db/stack.ts'
import type { StackState } from '../lifecycle/stack.ts'
import type { Database } from './transition.ts'

export interface CheckableStack {
  readonly id: string
  readonly teamId: string
  readonly incarnation: string
  readonly generation: number
  readonly services: readonly StackService[]
  readonly placed: Readonly<Record<string, PlacedService>>
}

const running: readonly StackState[] = ['HEALTHY']

/** Takes up to `limit` stacks that were not asked about for `everyMs`, longest ago first; others leave them alone then. */
export async function takeCheckableStacks(db: Database, everyMs: number, limit: number): Promise<CheckableStack[]> {
  return [
    ...(await db.execute<CheckableStack & Record<string, unknown>>(sql`/* takeCheckableStacks */ with due as (
      select id from stack where state in (${sql.raw(quoted(running))})
        and (checked_at is null or checked_at < now() - ${everyMs}::int * interval '1 millisecond')
      order by checked_at nulls first limit ${limit} for no key update skip locked)
      update stack s set checked_at = now() from due where s.id = due.id
      returning s.id, s.team_id as "teamId", s.incarnation, s.generation, s.services, s.placed`)),
  ]
}
