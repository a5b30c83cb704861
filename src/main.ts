// The entry: reads the configuration, puts the control plane together on this machine, and takes everything down in order on
// SIGTERM or SIGINT. Only this file starts things. Our own PostgreSQL starts first, while the rest of the program is loaded:
// each takes the better part of a second.
import { type Config, readConfig } from './config.ts'
import { startEmbeddedPostgres } from './db/embedded.ts'
import { createLog, type Log } from './log.ts'
import { Shutdown } from './shutdown.ts'

async function main(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLog({ level: config.logLevel })
  for (const name of config.unknownVariables) log.warn(`${name} is set and means nothing to Pawl: is it misspelt?`)
  const down = new Shutdown(log)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void down.begin(signal))
  const database = Promise.resolve(config.databaseUrl ?? embeddedDatabase(config, log, down))
  // Told where it is waited for.
  database.catch(() => {})
  try {
    const [{ startControlPlane }, { thisMachine }] = await Promise.all([
      import('./control-plane.ts'),
      import('./this-machine.ts'),
    ])
    await startControlPlane(config, async () => thisMachine(config, await database, log), log, down)
  } catch (error) {
    // What is still being started could not be taken down.
    await Promise.allSettled([database])
    await down.run()
    throw error
  }
}

async function embeddedDatabase({ dataDir }: Config, log: Log, down: Shutdown): Promise<string> {
  const embedded = await startEmbeddedPostgres({ dataDir, log: (line) => log.info(line) })
  down.add('clients', 'the embedded PostgreSQL', () => embedded.stop())
  return embedded.url
}

main().catch((error: unknown) => {
  process.stderr.write(`Pawl did not start: ${error instanceof Error ? error.message : String(error)}\n`)
  // What is expected to go wrong is told by its message; a bug needs its place.
  if (error instanceof TypeError || error instanceof ReferenceError) process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
