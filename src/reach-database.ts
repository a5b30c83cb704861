// How a program that only reads comes to Pawl's database: that of DATABASE_URL, the embedded one while Pawl runs, or else the
// embedded one, started for as long as the program takes. It makes no database where there is none.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { type Database, DatabaseFault, openPool } from './db/client.ts'
import { runningEmbeddedPostgres, startEmbeddedPostgres } from './db/embedded.ts'
import { isAtHead } from './db/migrate.ts'

/** Looking at all of a large database takes its time; nothing waits for it. */
const statementTimeoutMs = 600_000
const waitForSlotMs = 15_000
const undefinedTable = '42P01'

/** Runs `work` on one connection; throws one line when there is no database, or one of another version. */
export async function reachDatabase<T>(config: Config, work: (db: Database, url: string) => Promise<T>): Promise<T> {
  const { dataDir, databaseUrl } = config
  const running = databaseUrl ?? (await runningEmbeddedPostgres(dataDir))
  if (running === null && !existsSync(join(dataDir, 'postgres')))
    throw new Error(`there is no database in ${dataDir}: PAWL_DATA_DIR or DATABASE_URL names the one that is meant`)
  const embedded = running === null ? await startEmbeddedPostgres({ dataDir }) : null
  try {
    const url = running ?? String(embedded?.url)
    const pool = openPool({
      url,
      purpose: 'worker',
      slots: 1,
      statementTimeoutMs,
      waitForSlotMs,
      connectTimeoutMs: waitForSlotMs,
    })
    try {
      const known = await isAtHead(pool.db).catch((error: unknown) => {
        if (error instanceof DatabaseFault && error.sqlState === undefinedTable) return false
        throw error
      })
      if (!known)
        throw new Error('the database is of another version of Pawl: start this one first, or run npm run migrate')
      return await work(pool.db, url)
    } finally {
      await pool.close()
    }
  } finally {
    await embedded?.stop()
  }
}
