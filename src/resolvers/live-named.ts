// Who holds a name in an environment: at most one live row of a kind, by its unique index.
import DataLoader from 'dataloader'
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

/** What leads on from something that has ended: the id of the live one that holds its name by now, and room for a new one. */
export interface Succession {
  readonly heir: string | null
  readonly hasRoom: boolean
}

/**
 * The look-up of that: one named statement for all who ask in one moment, as those do who were refused together. `kind` is the
 * counter of the plan that a new one would take of.
 */
export const successionOf = (word: string, table: NamedTable, live: readonly string[], kind: UsageKind) => {
  const name = `read:${word}.succession`
  const statement = (db: Database) =>
    db
      .select({
        heir: sql<
          string | null
        >`(select ${table.id} from ${table} where ${table.teamId} = s.team_id and ${table.environment} = s.environment
        and ${table.name} = s.name and ${table.state} in (${sql.raw(quoted(live))}))`,
        hasRoom: sql<boolean>`exists (select from ${planUsage} where ${planUsage.teamId} = s.team_id and ${eq(planUsage.kind, kind)}
        and ${planUsage.used} < ${planUsage.cap})`,
      })
      .from(sql`json_to_recordset(${textParam('ended')}::json) s(nth int, team_id text, environment text, name text)`)
      .orderBy(sql`s.nth`)
      .prepare(name)
  const loaders = new WeakMap<Database, DataLoader<Row<NamedTable>, Succession>>()
  return (db: Database, ended: Row<NamedTable>): Promise<Succession> => {
    const loader =
      loaders.get(db) ??
      new DataLoader(
        (rows: readonly Row<NamedTable>[]) => {
          const asked = rows.map(({ teamId, environment, name }, nth) => ({ nth, team_id: teamId, environment, name }))
          return statementOf(db, name, () => statement(db)).execute({ ended: JSON.stringify(asked) })
        },
        { cache: false, maxBatchSize: 100 },
      )
    loaders.set(db, loader)
    return loader.load(ended)
  }
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
