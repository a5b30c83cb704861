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
  /** Stops there for good, and sends its parent `{ stopped }`, the place in this list: to be killed where it stands, in several works at once. */
  readonly stopAt?: readonly Stop[]
  /** Sends its parent `{ statement, of }` for each statement about one of these works: its name, and the place in this list. */
  readonly tells?: readonly (readonly string[])[]
}

/** A statement about one work: one that has one of these names, or one of these as a parameter. */
export interface Stop {
  readonly about: readonly string[]
  readonly statement: string
  readonly nth: number
  readonly when: 'before' | 'after'
}

const orders: Orders = JSON.parse(process.argv[2] ?? '{}')
const config = readConfig(process.env)
const log = createLog({ level: config.logLevel })
const down = new Shutdown(log)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void down.begin(signal))

const { dieAt, stopAt = [], tells = [] } = orders
/** What has no name is told by the table that it reads. */
const nameOf = ({ sql }: Statement) => statementName(sql) ?? `read ${/ from "(\w+)"/.exec(sql)?.[1]}`
const isAbout = (about: readonly string[], name: string, { params }: Statement) =>
  about.includes(name) || params.some((param) => about.includes(String(param)))
const never = new Promise<never>(() => {})

// Its world was its parent's: when that one dies, it must not go on without.
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'))

let seen = 0
const met = stopAt.map(() => 0)
/** Dies in the middle of its work, or stops there, as asked. */
const mortal = (channel: Channel): Channel => ({
  async run(statement) {
    const name = nameOf(statement)
    for (const [of, about] of tells.entries())
      if (isAbout(about, name, statement)) process.send?.({ statement: name, of })
    const stopped = stopAt.findIndex(
      (stop, at) =>
        name === stop.statement && isAbout(stop.about, name, statement) && ++(met[at] as number) === stop.nth,
    )
    const isIt = name === dieAt?.statement && ++seen === dieAt.nth
    const stops = async (when: Stop['when']) => {
      if (isIt && dieAt?.when === when) process.kill(process.pid, 'SIGKILL')
      if (stopAt[stopped]?.when !== when) return
      process.send?.({ stopped })
      await never
    }
    await stops('before')
    const rows = await channel.run(statement)
    await stops('after')
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
