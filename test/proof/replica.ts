// One replica of the proof: the whole control plane as main.ts starts it, API and worker, on a database that its parent names
// and in a world of fakes that its parent serves. It may be killed at any moment, or kill itself at a statement that it is told.
import { readConfig } from '../../src/config.ts'
import { startControlPlane, type World } from '../../src/control-plane.ts'
import type { Channel, Statement } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { createLog } from '../../src/log.ts'
import { Shutdown } from '../../src/shutdown.ts'
import { farDriver, farProvisioner } from '../far.ts'

/** What a parent may order; handed over as JSON. */
export interface Orders extends Pick<World, 'everyMs' | 'timing'> {
  /** Dies before it sends the statement of that name for the nth time, or as soon as its answer is there. */
  readonly dieAt?: { readonly statement: string; readonly nth: number; readonly when: 'before' | 'after' }
  /** Statements are counted for `dieAt` that have this name, or one of these in a parameter. Default: all. */
  readonly concerning?: readonly string[]
  /** Sends its parent `{ statement }` for each statement that is counted. */
  readonly tells?: boolean
}

const orders: Orders = JSON.parse(process.argv[2] ?? '{}')
const config = readConfig(process.env)
const log = createLog({ level: config.logLevel })
const down = new Shutdown(log)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void down.begin(signal))

const { dieAt, concerning, tells } = orders
const isCounted = (name: string, { params }: Statement) =>
  concerning?.some((mark) => name === mark || params.some((param) => String(param).includes(mark))) ?? true

let seen = 0
/** Dies in the middle of its work, as asked. */
const mortal = (channel: Channel): Channel => ({
  async run(statement) {
    const name = statementName(statement.sql) ?? 'unnamed'
    const counted = (tells || name === dieAt?.statement) && isCounted(name, statement)
    if (counted && tells) process.send?.({ statement: name })
    const isIt = counted && name === dieAt?.statement && ++seen === dieAt.nth
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
