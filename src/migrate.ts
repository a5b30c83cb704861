// `npm run migrate`: brings the database of DATABASE_URL to the schema of this version, as a start would, and starts nothing.
import { readConfig } from './config.ts'
import { startEmbeddedPostgres } from './db/embedded.ts'
import { migrate } from './db/migrate.ts'

try {
  const config = readConfig(process.env)
  const embedded = config.databaseUrl === null ? await startEmbeddedPostgres({ dataDir: config.dataDir }) : null
  try {
    const report = await migrate(config.databaseUrl ?? String(embedded?.url))
    const guards = report.guards ? 'The lifecycle guards were installed.' : 'The lifecycle guards were in place.'
    process.stdout.write(
      `${report.applied === 0 ? 'Nothing to migrate' : `Migrations applied: ${report.applied}`}. ${guards}\n`,
    )
  } finally {
    await embedded?.stop()
  }
} catch (error) {
  process.stderr.write(`The migration did not run: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
