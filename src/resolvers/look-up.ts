// Rows of a team by their ids, many in one statement: what every loader and every single read goes through.
import { and, eq, sql } from 'drizzle-orm'
import type { PgColumn, PgTable } from 'drizzle-orm/pg-core'
import { statementOf } from '../db/prepared.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

interface Source {
  readonly table: PgTable & { readonly id: PgColumn; readonly teamId?: PgColumn }
  readonly columns: Readonly<Record<string, PgColumn>>
}

/**
 * The rows of the team in the order of `ids`, null where there is none or where it is another team's: the two cannot be
 * told apart. `ids` have passed `entityOfId`, so none holds a comma.
 */
export async function lookUp<R extends { readonly id: string }>(
  db: Database,
  name: `read:${string}`,
  { table, columns }: Source,
  teamId: string,
  ids: readonly string[],
): Promise<(R | null)[]> {
  const statement = statementOf(db, name, () =>
    db
      .select(columns as Record<string, PgColumn>)
      .from(table as PgTable)
      // A team is its own team.
      .where(and(eq(table.teamId ?? table.id, textParam('teamId')), sql`${table.id} = any(${listParam('ids')})`))
      .prepare(name),
  )
  const rows = (await statement.execute({ teamId, ids: ids.join(',') })) as unknown as R[]
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.map((id) => byId.get(id) ?? null)
}
