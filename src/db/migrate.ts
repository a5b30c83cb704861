// Brings a database to the schema of this version, or refuses to touch one that a newer version has made. Runs on a
// connection of its own, under an advisory lock, so that many replicas may start at once; the only place with a
// transaction that is open from the client.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type SQL, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate as runMigrations } from 'drizzle-orm/postgres-js/migrator'
import postgres from 'postgres'
import { guardStatements } from './guard.ts'

const folder = fileURLToPath(new URL('./migrations', import.meta.url))
/** Any number that is ours alone: the advisory lock that one migrator holds at a time. */
const lockKey = 7_294_001

/** PostgreSQL 15, as `server_version_num`. */
const oldestServer = 150_000

interface JournalEntry {
  when: number
  tag: string
}
const journal = (): JournalEntry[] =>
  (JSON.parse(readFileSync(`${folder}/meta/_journal.json`, 'utf8')) as { entries: JournalEntry[] }).entries

/** The database was made by a newer version: nothing was changed. */
export class NewerSchemaError extends Error {
  override readonly name = 'NewerSchemaError'
}

export interface MigrationReport {
  /** How many migrations this run applied. */
  applied: number
  /** Whether the guards were installed anew. */
  guards: boolean
}

/**
 * Applies what is missing and installs the guards. Concurrent callers wait for each other. Throws `NewerSchemaError`
 * when the database has a migration that this version does not know.
 */
export async function migrate(url: string): Promise<MigrationReport> {
  const client = postgres(url, { max: 1, onnotice: () => {}, connection: { application_name: 'pawl-migrate' } })
  try {
    const [server] = await client`show server_version_num`
    if (Number(server?.server_version_num) < oldestServer) {
      throw new Error(
        `PostgreSQL ${Math.floor(Number(server?.server_version_num) / 10_000)} is too old, 15 is the oldest that works`,
      )
    }
    await client`select pg_advisory_lock(${lockKey})`
    const before = await appliedMigrations(client)
    const known = journal()
    const newest = known.at(-1)?.when ?? 0
    const stranger = before.find((when) => when > newest)
    if (stranger !== undefined) {
      throw new NewerSchemaError(
        `the database was migrated by a newer version of Pawl (${new Date(stranger).toISOString()}, this version knows up to ` +
          `${new Date(newest).toISOString()}): start that version, or restore a backup from before the upgrade`,
      )
    }
    await runMigrations(drizzle(client), { migrationsFolder: folder })
    const guards = await installGuards(client)
    return { applied: known.length - before.length, guards }
  } finally {
    await client.end({ timeout: 5 })
  }
}

/** Whether the newest migration of the database is the newest that this version knows: for readiness. */
export async function isAtHead(db: { execute(query: SQL): Promise<unknown> }): Promise<boolean> {
  const query = sql`/* read:isAtHead */ select max(created_at)::text as newest from drizzle.__drizzle_migrations`
  const [row] = (await db.execute(query)) as { newest: string | null }[]
  return Number(row?.newest ?? 0) === journal().at(-1)?.when
}

async function appliedMigrations(client: postgres.Sql): Promise<number[]> {
  const [found] = await client`select to_regclass('drizzle.__drizzle_migrations') as "table"`
  if (!found?.table) return []
  const rows = await client`select created_at from drizzle.__drizzle_migrations order by created_at`
  return rows.map((row) => Number(row.created_at))
}

/** Installs the guards when they differ from those installed; all of them or none. */
async function installGuards(client: postgres.Sql): Promise<boolean> {
  const statements = guardStatements()
  const hash = createHash('sha256').update(statements.join('\n')).digest('hex')
  await client`create table if not exists drizzle.pawl_guard (hash text primary key, installed_at timestamptz not null default now())`
  const [installed] = await client`select hash from drizzle.pawl_guard order by installed_at desc limit 1`
  if (installed?.hash === hash) return false
  await client.begin(async (transaction) => {
    for (const statement of statements) await transaction.unsafe(statement)
    await transaction`delete from drizzle.pawl_guard`
    await transaction`insert into drizzle.pawl_guard (hash) values (${hash})`
  })
  return true
}
