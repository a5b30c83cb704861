// Reading teams: many by id, and what of their plan is in use. A caller sees the one that it acts for.
import { and, eq, getTableColumns, sql } from 'drizzle-orm'
import { statementOf } from '../db/prepared.ts'
import { planUsage, team, type UsageKind, usageKinds } from '../db/team.ts'
import { lookUp } from './look-up.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

export type Team = typeof team.$inferSelect
const source = { table: team, columns: getTableColumns(team) }

/** Teams by id, in the order asked for; null for what is not there or not `own`. */
export const teamsById = (db: Database, own: string, ids: readonly string[]) =>
  lookUp<Team>(db, 'read:team.byId', source, own, ids)

export interface Usage {
  readonly kind: UsageKind
  readonly used: number
  readonly cap: number
}

/** What is in use of the plans of teams, in the order of `ids`; nothing of another team than `own`. */
export async function usagesOf(db: Database, own: string, ids: readonly string[]): Promise<Usage[][]> {
  const statement = statementOf(db, 'read:team.usage', () =>
    db
      .select()
      .from(planUsage)
      .where(and(eq(planUsage.teamId, textParam('own')), sql`${planUsage.teamId} = any(${listParam('ids')})`))
      .prepare('read:team.usage'),
  )
  const rows = await statement.execute({ own, ids: ids.join(',') })
  const place = (usage: Usage) => usageKinds.indexOf(usage.kind)
  return ids.map((id) => rows.filter(({ teamId }) => teamId === id).sort((a, b) => place(a) - place(b)))
}
