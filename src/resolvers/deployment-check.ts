// Which runs are to be asked about next. The captured ids travel with the question and are repeated in the move that follows
// from its answer, so that a run that has been replaced meanwhile is never taken for the one that was asked about.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { DeploymentState } from '../lifecycle/deployment.ts'
import type { Database } from './transition.ts'

export interface Checkable {
  readonly id: string
  readonly teamId: string
  readonly incarnation: string
  readonly instanceId: string
  readonly generation: number
}

const running: readonly DeploymentState[] = ['HEALTHY']

/** Takes up to `limit` deployments that were not asked about for `everyMs`, longest ago first; others leave them alone then. */
export async function takeCheckable(db: Database, everyMs: number, limit: number): Promise<Checkable[]> {
  return [
    ...(await db.execute<Checkable & Record<string, unknown>>(sql`/* takeCheckable */ with due as (
      select id from deployment where state in (${sql.raw(quoted(running))}) and instance_id is not null
        and (checked_at is null or checked_at < now() - ${everyMs}::int * interval '1 millisecond')
      order by checked_at nulls first limit ${limit} for no key update skip locked)
      update deployment d set checked_at = now() from due where d.id = due.id
      returning d.id, d.team_id as "teamId", d.incarnation, d.instance_id as "instanceId", d.generation`)),
  ]
}
