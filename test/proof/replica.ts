// One replica of the proof: the whole control plane as main.ts starts it, API and worker, on a database that its parent names
// and in a world of fakes that its parent serves. It may be killed at any moment, or kill itself at a statement that it is told.
import { readConfig } from '../../src/config.ts'
import { startControlPlane, type World } from '../../src/control-plane.ts'
import type { Channel } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { createLog } from '../../src/log.ts'
import { Shutdown } from '../../src/shutdown.ts'
import { farDriver, farProvisioner } from '../far.ts'

/** What a parent may order; handed over as JSON. */
export interface Orders extends Pick<World, 'everyMs' | 'timing'> {
  /** Dies before it sends the statement of that name for the nth time, or as soon as its answer is there. */
  readonly dieAt?: { readonly statement: string; readonly nth: number; readonly when: 'before' | 'after' }
}

const orders: Orders = JSON.parse(process.argv[2] ?? '{}')
const config = readConfig(process.env)
const log = createLog({ level: config.logLevel })
const down = new Shutdown(log)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void down.begin(signal))

let seen = 0
/** Dies in the middle of its work, as asked. */
const mortal = (channel: Channel): Channel => ({
  async run(statement) {
    const { dieAt } = orders
    const isIt = statementName(statement.sql) === dieAt?.statement && ++seen === dieAt?.nth
    if (isIt && dieAt?.when === 'before') process.kill(process.pid, 'SIGKILL')
    const rows = await channel.run(statement)
    if (isIt) process.kill(process.pid, 'SIGKILL')
    return rows
  },
})

try {
  await startControlPlane(
    config,
    async () => ({
      ...orders,
      url: String(config.databaseUrl),
      runtime: () => farDriver(process),
      provisioners: () => ({ POSTGRES: farProvisioner('POSTGRES', process), REDIS: farProvisioner('REDIS', process) }),
      wrap: mortal,
    }),
    log,
    down,
  )
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
}
