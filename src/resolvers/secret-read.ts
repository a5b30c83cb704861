// Reading secrets: the team's list and many by id. The sealed value never leaves the statements that give it to workloads.
import { and, desc, eq, getTableColumns, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { statementOf } from '../db/prepared.ts'
import { secret } from '../db/secret.ts'
import type { SecretState } from '../lifecycle/secret.ts'
import { lookUp } from './look-up.ts'
import { type NamedFilter, namedConditions } from './named-list.ts'
import { defineList } from './page.ts'
import { referableSecrets } from './reference.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

const { value: _value, ...shown } = getTableColumns(secret)

/** A secret without its value. */
export type SecretView = Omit<typeof secret.$inferSelect, 'value'>

export type SecretFilter = NamedFilter<SecretState>

export const secrets = defineList<SecretView>({
  name: 'secrets',
  table: secret,
  columns: shown,
  key: 'created',
  filters: namedConditions(secret),
})

/** Secrets of the team by id, in the order asked for; null where there is none. */
export const secretsById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<SecretView>(db, 'read:secret.byId', { table: secret, columns: shown }, teamId, ids)

const ofName = and(
  eq(secret.teamId, textParam('teamId')),
  eq(secret.environment, textParam('environment')),
  eq(secret.name, textParam('name')),
)

/** The live secret of a name; null when there is none. */
export async function secretNamed(
  db: Database,
  teamId: string,
  environment: string,
  name: string,
): Promise<Pick<SecretView, 'id' | 'revision'> | null> {
  const statement = statementOf(db, 'read:secret.named', () =>
    db
      .select({ id: secret.id, revision: secret.revision })
      .from(secret)
      .where(and(ofName, sql`${secret.state} in (${sql.raw(quoted(referableSecrets))})`))
      .prepare('read:secret.named'),
  )
  const [row] = await statement.execute({ teamId, environment, name })
  return row ?? null
}

/** The last one that had the name, in whatever state. */
export async function newestSecretNamed(
  db: Database,
  teamId: string,
  environment: string,
  name: string,
): Promise<SecretView | null> {
  const statement = statementOf(db, 'read:secret.newestNamed', () =>
    db
      .select(shown)
      .from(secret)
      .where(ofName)
      .orderBy(desc(secret.createdAt), desc(secret.id))
      .limit(1)
      .prepare('read:secret.newestNamed'),
  )
  const [row] = await statement.execute({ teamId, environment, name })
  return row ?? null
}
