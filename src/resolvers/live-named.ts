// Who holds a name in an environment: at most one live row of a kind, by its unique index.
import { and, eq, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { deployment } from '../db/deployment.ts'
import { DatabaseFault } from '../db/fault.ts'
import { statementOf } from '../db/prepared.ts'
import type { resource } from '../db/resource.ts'
import type { stack } from '../db/stack.ts'
import type { Database, Row } from './transition.ts'
import { textParam } from './transition-statement.ts'

type NamedTable = typeof deployment | typeof resource | typeof stack

/** The look-up of the live row of a name, in one named statement; null when nobody holds the name. */
export const liveNamed =
  <T extends NamedTable>(word: string, table: T, live: readonly string[]) =>
  async (db: Database, teamId: string, environment: string, name: string): Promise<Row<T> | null> => {
    const statement = statementOf(db, `read:${word}.liveNamed`, () =>
      db
        .select()
        .from(table as never)
        .where(
          and(
            eq(table.teamId, textParam('teamId')),
            eq(table.environment, textParam('environment')),
            eq(table.name, textParam('name')),
            sql`${table.state} in (${sql.raw(quoted(live))})`,
          ),
        )
        .prepare(`read:${word}.liveNamed`),
    )
    const [row] = (await statement.execute({ teamId, environment, name })) as Row<T>[]
    return row ?? null
  }

/** The name that a decision was about changed hands between two of its statements. */
export class NameMoved extends Error {
  override readonly name = 'NameMoved'
}
const decidedAtMost = 3

/** Decides again when the name changed hands meanwhile; only after a few times the caller is told to come back. */
export async function whileNameMoves<R>(decide: () => Promise<R>, atMost = decidedAtMost): Promise<R> {
  for (let times = 1; ; times++) {
    try {
      return await decide()
    } catch (error) {
      if (!(error instanceof NameMoved)) throw error
      if (times === atMost) throw new DatabaseFault('busy', 'the name changes hands all the time')
    }
  }
}
