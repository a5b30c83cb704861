// The benchmark `operations`: 10,000 operations that are queued, carried out by our dispatcher on a driver that does everything at
// once, and by two queues whose jobs do the same to the same rows; how soon an accepted one begins when nothing else is to be done;
// and how long the work of a worker that was killed waits for another. The last two with whole processes (operations-process.ts).
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type postgres from 'postgres'
import { cpuSeconds } from './cpu.ts'
import { type Bench, type Figure, figure } from './figure.ts'
import { ensurePeers } from './installed.ts'
import { idleStarts, takeOvers } from './operations-process.ts'
import { putWork, type Work, works } from './queue-world.ts'
import { medianRound, type Round, type Rounds, ratioFigure, summed } from './round.ts'
import { openWorld, type World } from './world.ts'

const { values: given } = parseArgs({
  args: process.argv.slice(3),
  options: { count: { type: 'string', default: '10000' }, rounds: { type: 'string', default: '3' } },
  // Other benchmarks have other options.
  strict: false,
})
const [count, rounds] = [Number(given.count), Number(given.rounds)]
/** As many at a time as a lane of ours. */
const atOnce = 16
const bystanders = 20_000
const pollMs = 10
const roundAtMostMs = 120_000
const tell = (line: string) => void process.stderr.write(`${line}\n`)

/** Somebody who carries work out, in a process of its own. */
interface Queue {
  readonly name: string
  readonly program: string
  readonly url: string
  readonly way?: string
  readonly work: Work
  /** Where that many would take too long. */
  readonly count?: number
  /** Whether something is left in a queue that is no table of ours. */
  readonly left?: string
}

/** `--count` operations, `--rounds` rounds. */
export async function operations(): Promise<Bench> {
  ensurePeers(tell)
  const world = await openWorld(bystanders, tell)
  try {
    const [boss, graphile] = [await world.copy('boss'), await world.copy('graphile')]
    const ofBoss = {
      program: 'queue-pg-boss',
      url: boss,
      work: 'stop',
      left: `pgboss.job where state < 'completed'`,
    } as const
    const ofGraphile = {
      program: 'queue-graphile-worker',
      url: graphile,
      work: 'stop',
      left: 'graphile_worker._private_jobs',
    } as const
    const ours = { program: 'queue-pawl', url: world.url } as const
    const queues: Queue[] = [
      { ...ours, name: 'Pawl', work: 'stop' },
      { ...ofBoss, name: 'pg-boss' },
      { ...ofGraphile, name: 'graphile-worker' },
      { ...ofGraphile, name: 'graphile-worker as it comes', way: 'plain' },
    ]
    const told: Queue[] = [
      { ...ours, name: 'Pawl, whole roll-outs', work: 'roll out' },
      { ...ofBoss, name: 'pg-boss, a job at a time', way: 'plain', count: Math.min(count, 320) },
      { ...ofBoss, name: 'pg-boss, empty jobs', way: 'empty' },
      { ...ofGraphile, name: 'graphile-worker, empty jobs', way: 'empty' },
    ]
    const seen = new Map<string, Round[]>()
    for (let round = 1; round <= rounds; round++)
      for (const queue of round === rounds ? [...queues, ...told] : queues) {
        const shown = await inRound(world, queue)
        seen.set(queue.name, [...(seen.get(queue.name) ?? []), shown])
        tell(`round ${round} of ${rounds}: ${queue.name} ${asText(shown)}`)
      }
    const all: Rounds = seen
    const ratios = [
      ratioFigure(all, 'Pawl', 'pg-boss', 3),
      ratioFigure(all, 'Pawl', 'graphile-worker', 1),
      { ...ratioFigure(all, 'Pawl', 'graphile-worker as it comes', 1), target: '', reached: null },
    ]
    tell('an operation is accepted while nothing else is to be done, again and again')
    const asked = { url: world.url, token: String(world.tokens[0]) }
    const starts = await idleStarts(asked)
    tell('workers are killed, and others go on')
    const gaps = await takeOvers(asked, tell)
    return {
      about:
        `${count} operations queued, each to stop a deployment that runs nothing; one worker process, ${atOnce} at a time, 8 connections; ` +
        `jobs of peers make the same guarded update and event in one prepared statement, without our triggers; ${rounds} rounds in turns, medians`,
      figures: [
        ...[...seen].map(([name, of]) => figure(name, asText(medianRound(of)))),
        ...ratios,
        within('accepted → begun when idle, p50', summed(starts, 1).p50Ms, 20),
        figure('accepted → begun when idle, p99', inMs(summed(starts, 1).p99Ms)),
        within(`after kill -9 it goes on, p99 of ${gaps.length}`, summed(gaps, 1).p99Ms, 15_000),
        figure('after kill -9 it goes on, p50', inMs(summed(gaps, 1).p50Ms)),
      ],
      rounds: Object.fromEntries(seen),
    }
  } finally {
    await world.end()
  }
}

/** CPU for each one, so that figures of a busy machine can be compared, too. */
function asText({ perSecond, cores }: Round): string {
  const [worker, postgres] = [cores.worker, cores.postgres].map((share) => inMs((1000 * Number(share)) / perSecond))
  return `${perSecond.toFixed(0)}/s; CPU for each: worker ${worker}, PostgreSQL ${postgres}`
}
const inMs = (ms: number) => `${ms.toFixed(2)} ms`
const within = (what: string, ms: number, atMostMs: number): Figure =>
  figure(what, inMs(ms), `≤ ${atMostMs} ms`, ms <= atMostMs)

/** From the beginning until the last deployment has come to its end. */
async function inRound(
  world: World,
  { name, program, url, way = '', work, left, count: queued = count }: Queue,
): Promise<Round> {
  return world.sql(url, async (sql) => {
    const teamId = await putWork(sql, work, queued, left === undefined)
    const child = fork(fileURLToPath(new URL(`peers/${program}.ts`, import.meta.url)), [url, String(atOnce), way])
    try {
      await once(child, 'message')
      if (left !== undefined) {
        child.send({
          jobs: await sql`select id, team_id as "teamId", generation from deployment where team_id = ${teamId}`,
        })
        await once(child, 'message')
      }
      await sql`vacuum (analyze)`
      await sql`checkpoint`
      const spent = () => [child.pid ?? 0, world.pid].map((pid) => cpuSeconds(pid) ?? Number.NaN)
      const before = spent()
      const began = performance.now()
      child.send({ begin: true })
      const waits = way === 'empty' ? `select 1 from ${left} limit 1` : waiting(work, teamId, left)
      while ((await sql.unsafe(waits)).length > 0) {
        if (performance.now() - began > roundAtMostMs) throw new Error(`${name} does not come to an end`)
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      }
      const seconds = (performance.now() - began) / 1000
      const [worker = Number.NaN, postgres = Number.NaN] = spent().map((now, at) => (now - (before[at] ?? 0)) / seconds)
      if (way !== 'empty') await check(sql, name, work, teamId, { queued, ours: left === undefined })
      return {
        count: queued,
        perSecond: queued / seconds,
        p50Ms: Number.NaN,
        p99Ms: Number.NaN,
        cores: { worker, postgres },
      }
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })
}

const waiting = (work: Work, teamId: string, left?: string) =>
  `select 1 from deployment where state in ('${works[work].waits}', 'DEPLOYING') and team_id = '${teamId}'
    ${left === undefined ? '' : `union all select 1 from ${left}`} limit 1`

/** Each deployment has come to its end once, and ours its operation with it. */
async function check(
  sql: postgres.Sql,
  name: string,
  work: Work,
  teamId: string,
  { queued, ours }: { queued: number; ours: boolean },
): Promise<void> {
  const { ends } = works[work]
  const [seen] = await sql`select
    (select count(*)::int from deployment where team_id = ${teamId} and state = ${ends}) as ended,
    (select count(*)::int from event where team_id = ${teamId} and subject_type = 'Deployment' and to_state = ${ends}) as told,
    (select count(*)::int from operation where team_id = ${teamId} and state = 'SUCCEEDED' and attempt = 1) as succeeded`
  const wanted = { ended: queued, told: queued, succeeded: ours ? queued : 0 }
  if (JSON.stringify(seen) !== JSON.stringify(wanted)) throw new Error(`${name} has left ${JSON.stringify(seen)}`)
}
