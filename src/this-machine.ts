// The world that main.ts gives to the control plane: a database at the newest migration, apps as processes of this machine,
// databases on servers of ours or of theirs.
import { type Config, ConfigError } from './config.ts'
import type { World } from './control-plane.ts'
import { startEmbeddedPostgres } from './db/embedded.ts'
import { migrate, NewerSchemaError } from './db/migrate.ts'
import { createProcessDriver } from './drivers/runtime/process.ts'
import type { Log } from './log.ts'
import { provisionersFor } from './provisioning.ts'

/** Migrates the database of that URL, and starts nothing. Throws a `ConfigError` for one of theirs that cannot be used. */
export async function thisMachine(config: Config, url: string, log: Log): Promise<World> {
  await migrate(url).catch((error: unknown) => {
    throw config.databaseUrl === null || error instanceof NewerSchemaError ? error : databaseAway(error)
  })
  const { appsDir, dataDir } = config
  return {
    url,
    runtime: (installation) => createProcessDriver({ installation, appsDir, dataDir }),
    provisioners: (installation) =>
      provisionersFor(config, url, installation, ({ dataDir, port }) =>
        startEmbeddedPostgres({
          dataDir,
          ...(port === null ? {} : { port }),
          // Every resource may hold 20 of them.
          settings: { max_connections: '300' },
          log: (line) => log.info(line),
        }),
      ),
  }
}

/** One line that names the variable; never its value, which holds a password. */
const databaseAway = (error: unknown) =>
  new ConfigError(
    `the database that DATABASE_URL names cannot be used (${error instanceof Error ? error.message : 'no reason given'}); ` +
      'allowed: a running PostgreSQL 15 or later whose user may create tables',
  )
