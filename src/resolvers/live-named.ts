// Who holds a name in an environment: at most one live row of a kind, by its unique index.
import { and, eq, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { deployment } from '../db/deployment.ts'
import { DatabaseFault } from '../db/fault.ts'
import { statementOf } from '../db/prepared.ts'
import type { resource } from '../db/resource.ts'
import type { stack } from '../db/stack.ts'
import { planUsage, type UsageKind } from '../db/team.ts'
import type { Database, Row } from './transition.ts'
import { textParam } from './transition-statement.ts'

type NamedTable = typeof deployment | typeof resource | typeof stack

const holds = (table: NamedTable, live: readonly string[]) =>
  and(
    eq(table.teamId, textParam('teamId')),
    eq(table.environment, textParam('environment')),
    eq(table.name, textParam('name')),
    sql`${table.state} in (${sql.raw(quoted(live))})`,
  )

/** The look-up of the live row of a name, in one named statement; null when nobody holds the name. */
export const liveNamed =
  <T extends NamedTable>(word: string, table: T, live: readonly string[]) =>
  async (db: Database, teamId: string, environment: string, name: string): Promise<Row<T> | null> => {
    const statement = statementOf(db, `read:${word}.liveNamed`, () =>
      db
        .select()
        .from(table as never)
        .where(holds(table, live))
        .prepare(`read:${word}.liveNamed`),
    )
    const [row] = (await statement.execute({ teamId, environment, name })) as Row<T>[]
    return row ?? null
  }

/** What leads on from something that has ended: the id of the live one that holds its name by now, and room for a new one. */
export interface Succession {
  readonly heir: string | null
  readonly hasRoom: boolean
}

/** The look-up of that, in one named statement; `kind` is the counter of the plan that a new one would take of. */
export const successionOf =
  (word: string, table: NamedTable, live: readonly string[], kind: UsageKind) =>
  async (db: Database, { teamId, environment, name }: Row<NamedTable>): Promise<Succession> => {
    const room = and(eq(planUsage.teamId, textParam('teamId')), eq(planUsage.kind, kind))
    const statement = statementOf(db, `read:${word}.succession`, () =>
      db
        .select({
          heir: sql<string | null>`(select ${table.id} from ${table} where ${holds(table, live)})`,
          hasRoom: sql<boolean>`exists (select from ${planUsage} where ${room} and ${planUsage.used} < ${planUsage.cap})`,
        })
        .from(sql`(values (1)) as one`)
        .prepare(`read:${word}.succession`),
    )
    const [found] = await statement.execute({ teamId, environment, name })
    return found ?? { heir: null, hasRoom: false }
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
