// `npm run simulate:instances`: the simulation on an embedded PostgreSQL of its own. Progress goes to stderr, the table to
// stdout; it exits with 1 when a promise was broken. docs/simulation.md says what it shows.
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { type Report, type Simulation, simulate, usual } from './simulation.ts'

const names = Object.keys(usual) as (keyof Simulation)[]
const flag = (name: string) => name.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** `--instances 1000 --every 60000 --delay 10`: figures only, every one with its default; times are in ms. */
function readOptions(): Simulation {
  const options = Object.fromEntries(names.map((name) => [flag(name), { type: 'string' as const }]))
  const { values } = parseArgs({ options })
  const read = names.map((name) => {
    const value = values[flag(name)]
    const figure = value === undefined ? usual[name] : Number(value)
    if (!(figure >= 0)) throw new Error(`--${flag(name)} is ${value}; allowed: a figure from 0`)
    return [name, figure]
  })
  return Object.fromEntries(read) as Simulation
}

const seconds = (ms: number) => (ms / 1000).toFixed(1)

function tableOf({ cycles }: Report): string {
  const head = [
    'cycle',
    'asked',
    'running',
    'gone',
    'hung',
    'not noted',
    'flipped',
    'restarted',
    'put back',
    'took s',
    'checks/s and replica',
    'oldest asked s',
    'oldest answer s',
    'on the host that hangs s',
  ]
  const rows = cycles.map((cycle, at) => [
    at + 1,
    cycle.asked,
    cycle.running,
    cycle.gone,
    cycle.hung,
    cycle.unnoted,
    cycle.flipped,
    cycle.restarted,
    cycle.putBack,
    seconds(cycle.durationMs),
    Math.round(cycle.perSecond),
    seconds(cycle.oldestAskedMs),
    seconds(cycle.oldestCheckedMs),
    seconds(cycle.oldestHangingMs),
  ])
  const lines = [head, head.map(() => '---:'), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

function summaryOf(report: Report): string {
  const { cycles, dead, restarts, broken } = report
  const restarted = cycles.reduce((sum, cycle) => sum + cycle.restarted, 0)
  return [
    `dead instances: ${dead}; restarted while it ran: ${restarted}`,
    `restarts of each dead instance, by the world's log: ${restarts.byWorld.join(' to ')}; by the events: ${restarts.byEvents.join(' to ')}`,
    `restarts of living instances: ${restarts.ofLiving}`,
    `longest cycle: ${seconds(Math.max(...cycles.map(({ durationMs }) => durationMs)))} s`,
    `oldest question at the end: ${seconds(cycles.at(-1)?.oldestAskedMs ?? 0)} s ago`,
    `CPU of a replica per cycle: ${seconds(cycles.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / cycles.length)} s for all of them`,
    broken.length === 0 ? 'every promise was kept' : `BROKEN: ${broken.join('\n        ')}`,
  ].join('\n')
}

const asked = readOptions()
const dataDir = await mkdtemp(join(tmpdir(), 'pawl-simulation-'))
const tell = (line: string) => process.stderr.write(`${line}\n`)
/** Of a server for a fleet of that size; without it the embedded one is set up for a laptop. */
const settings = { shared_buffers: '512MB', max_wal_size: '4GB' }
const server = await startEmbeddedPostgres({ dataDir, settings })
const takeDown = async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void takeDown().then(() => process.exit(1)))
try {
  await migrate(server.url)
  const report = await simulate(server.url, asked, tell)
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, PostgreSQL ${server.major}`
  process.stdout.write(`${JSON.stringify(asked)}\n${machine}\n\n${tableOf(report)}\n\n${summaryOf(report)}\n`)
  if (report.broken.length > 0) process.exitCode = 1
} finally {
  await takeDown()
}
