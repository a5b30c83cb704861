// The benchmark `loops`: how many instances one replica asks about per second with a driver that takes 10 ms, and how long a
// cycle takes and the oldest question is while a host hangs. It is the simulation, at sizes that take two minutes.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../src/db/embedded.ts'
import { migrate } from '../src/db/migrate.ts'
import type { Bench } from './run.ts'
import { type Report, type Simulation, simulate, usual } from './simulate/simulation.ts'

const perSecondTarget = 500
const cycleTargetMs = 45_000
const ageTargetMs = 105_000

export async function loops(): Promise<Bench> {
  const quick = await onOwnServer({ ...usual, instances: 20_000, replicas: 1, hang: 0, everyMs: 0, cycles: 4 })
  const hanging = await onOwnServer({ ...usual, instances: 20_000, everyMs: 0, callTimeoutMs: 1_000 })
  const slowest = Math.min(...quick.cycles.map(({ perSecond }) => perSecond))
  const longest = Math.max(...hanging.cycles.map(({ durationMs }) => durationMs))
  const oldest = Math.max(...hanging.cycles.map(({ oldestAskedMs }) => oldestAskedMs))
  const broken = [...quick.broken, ...hanging.broken]
  const figure = (what: string, measured: string, target: string, reached: boolean) => ({
    what,
    measured,
    target,
    reached,
  })
  return {
    about:
      'one replica asks about 20,000 instances, each answer after 10 ms, while 1 % die and are started again; then three replicas ' +
      'with one host of ten that hangs on a third of its calls',
    figures: [
      figure('checks/s, slowest cycle', slowest.toFixed(0), `≥ ${perSecondTarget}`, slowest >= perSecondTarget),
      figure(
        'longest cycle, a host hangs',
        inSeconds(longest),
        `≤ ${inSeconds(cycleTargetMs)}`,
        longest <= cycleTargetMs,
      ),
      figure('oldest question, a host hangs', inSeconds(oldest), `≤ ${inSeconds(ageTargetMs)}`, oldest <= ageTargetMs),
      figure('promises broken', broken.length === 0 ? 'none' : broken.join('; '), 'none', broken.length === 0),
    ],
  }
}

const inSeconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

async function onOwnServer(asked: Simulation): Promise<Report> {
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const server = await startEmbeddedPostgres({ dataDir })
  try {
    await migrate(server.url)
    return await simulate(server.url, asked, (line) => process.stderr.write(`${line}\n`))
  } finally {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
}
