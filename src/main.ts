// The entry: reads the configuration, puts the control plane together on this machine, and takes everything down in order on
// SIGTERM or SIGINT. Only this file starts things.
import { type Config, ConfigError, readConfig } from './config.ts'
import { startControlPlane, type World } from './control-plane.ts'
import { startEmbeddedPostgres } from './db/embedded.ts'
import { migrate, NewerSchemaError } from './db/migrate.ts'
import { createProcessDriver } from './drivers/runtime/process.ts'
import { createLog, type Log } from './log.ts'
import { provisionersFor } from './provisioning.ts'
import { Shutdown } from './shutdown.ts'

async function main(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLog({ level: config.logLevel })
  for (const name of config.unknownVariables) log.warn(`${name} is set and means nothing to Pawl: is it misspelt?`)
  const down = new Shutdown(log)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void down.begin(signal))
  try {
    await startControlPlane(config, () => thisMachine(config, log, down), log, down)
  } catch (error) {
    await down.run()
    throw error
  }
}

/** The database that is configured, or one of our own; apps as processes; databases on servers of ours or of theirs. */
async function thisMachine(config: Config, log: Log, down: Shutdown): Promise<World> {
  const url = config.databaseUrl ?? (await embeddedDatabase(config, log, down))
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

async function embeddedDatabase({ dataDir }: Config, log: Log, down: Shutdown): Promise<string> {
  const embedded = await startEmbeddedPostgres({ dataDir, log: (line) => log.info(line) })
  down.add('clients', 'the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}

/** One line that names the variable; never its value, which holds a password. */
const databaseAway = (error: unknown) =>
  new ConfigError(
    `the database that DATABASE_URL names cannot be used (${error instanceof Error ? error.message : 'no reason given'}); ` +
      'allowed: a running PostgreSQL 15 or later whose user may create tables',
  )

main().catch((error: unknown) => {
  process.stderr.write(`Pawl did not start: ${error instanceof Error ? error.message : String(error)}\n`)
  // What is expected to go wrong is told by its message; a bug needs its place.
  if (error instanceof TypeError || error instanceof ReferenceError) process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
