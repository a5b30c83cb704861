// A fleet on ten hosts, one of which hangs on a share of its calls; replicas as processes of their own that reconcile it; runs
// that are killed; and at the end the proof that each dead instance was restarted once and no living one ever. The world of
// fake workloads lives in this process, and what replicas ask of it comes over their channels: they share nothing else.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { createFakeDriver, type FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { serveDriver } from '../../test/far.ts'
import { hostOf, hosts, putFleet } from './fleet.ts'
import { type Restarts, restartsOf, storedFlaws, summed } from './proof.ts'
import type { Order, PassSeen } from './replica.ts'

export interface Simulation {
  readonly instances: number
  /** The share of the runs that are killed, all at once, when the second cycle has begun. */
  readonly dead: number
  readonly replicas: number
  /** The share of the calls on the one host that hangs. */
  readonly hang: number
  /** Cycles at most; it ends one cycle after everything is well again. */
  readonly cycles: number
  readonly seed: number
  /** How long a call takes on every host. */
  readonly delayMs: number
  /** From the start of a cycle to the next one; below the loop's own, the rest of the time is taken to have passed. */
  readonly everyMs: number
  /** How long a call that starts something may take before its outcome is unknown. */
  readonly callTimeoutMs: number
}
export const usual: Simulation = {
  instances: 100_000,
  dead: 0.01,
  replicas: 3,
  hang: 0.33,
  cycles: 15,
  seed: 1,
  delayMs: 10,
  everyMs: 60_000,
  callTimeoutMs: 30_000,
}

export interface CycleSeen {
  readonly asked: number
  readonly running: number
  readonly gone: number
  /** Asked, and not answered in time. */
  readonly hung: number
  /** Answers that were not written down: they count again in the next cycle. */
  readonly unnoted: number
  readonly flipped: number
  readonly restarted: number
  /** Taken, and given back unasked at the deadline. */
  readonly putBack: number
  /** The longest pass of all replicas. */
  readonly durationMs: number
  /** Answers per second of the pass and replica, on average. */
  readonly perSecond: number
  /** At the end: how long the one has run, or since it was asked about, that has waited longest. */
  readonly oldestAskedMs: number
  /** At the end: how long ago the oldest answer came, on hosts that answer and on the one that hangs. */
  readonly oldestCheckedMs: number
  readonly oldestHangingMs: number
  readonly cpuMs: number
}
export interface Report {
  readonly cycles: readonly CycleSeen[]
  readonly dead: number
  readonly restarts: Restarts
  /** Promises that were broken; empty when all were kept. */
  readonly broken: readonly string[]
}

interface Replica {
  readonly child: ChildProcess
  readonly loop: { readonly everyMs: number }
}
/** What a cycle may take, with all that is written down at its end. */
const cycleMs = 45_000
/** How long what has been accepted may take to be done after the last cycle; one call of a driver is given up after 30 s. */
const settleMs = 180_000
const hanging = hosts[0]

/** Runs it on an empty, migrated database, as its superuser. */
export async function simulate(url: string, asked: Simulation, tell: (line: string) => void): Promise<Report> {
  const sql = postgres(url, { max: 2, onnotice: () => {} })
  const driver = createFakeDriver({ countOnly: true, hostOf, seed: asked.seed })
  const replicas: Replica[] = []
  try {
    await putFleet(sql, driver, { instances: asked.instances, everyMs: 60_000 }, tell)
    for (const host of hosts)
      driver.setHost(host, { delayMs: asked.delayMs, hangShare: host === hanging ? asked.hang : 0 })
    for (let n = 1; n <= asked.replicas; n++)
      replicas.push(await startReplica(url, `replica-${n}`, asked.callTimeoutMs, driver))
    return await run(sql, driver, replicas, asked, tell)
  } finally {
    await Promise.all(replicas.map(({ child }) => ended(child)))
    await sql.end({ timeout: 5 })
  }
}

async function run(
  sql: postgres.Sql,
  driver: FakeDriver,
  replicas: readonly Replica[],
  { dead: share, cycles: most, everyMs, instances }: Simulation,
  tell: (line: string) => void,
): Promise<Report> {
  const loop = (replicas[0] as Replica).loop
  const startedBefore = driver.log().length
  const cycles: CycleSeen[] = []
  const broken: string[] = []
  let dead = new Set<string>()
  let last = await newestEvent(sql)
  for (let left = -1; cycles.length < most && left !== 0; ) {
    const from = performance.now()
    const passes = replicas.map(({ child }) => passOf(child))
    const looking = look(sql, driver, passes, last)
    if (cycles.length === 1) dead = new Set(driver.crashShare(share).map(({ subjectId }) => subjectId))
    const { seen, newest, faults } = await looking
    last = newest
    cycles.push(seen)
    broken.push(...faults)
    tell(
      `cycle ${cycles.length}: ${Object.entries(seen)
        .map(([name, value]) => `${name} ${Math.round(value)}`)
        .join(', ')}`,
    )
    left =
      left > 0 ? left - 1 : cycles.length > 1 && driver.liveRuns().length === instances && (await isWell(sql)) ? 1 : -1
    if (left === 0 || cycles.length === most) break
    await sleep(Math.max(0, everyMs - (performance.now() - from)))
    // At a shorter interval than the loop's own, the fleet is made older by what is left of it.
    const passed = Math.max(0, loop.everyMs - (performance.now() - from))
    if (passed > 0)
      await sql`update instance set asked_at = asked_at - ${passed} * interval '1 millisecond', checked_at = checked_at - ${passed} * interval '1 millisecond'`
  }
  const deadline = performance.now() + settleMs
  while (!(await isWell(sql)) && performance.now() < deadline) await sleep(200)

  const restarts = await restartsOf(sql, driver, driver.log().slice(startedBefore), dead)
  broken.push(...summed(restarts.flaws), ...summed((await storedFlaws(sql)).map(({ flaw }) => flaw)))
  const longest = Math.max(...cycles.map(({ durationMs }) => durationMs))
  if (longest > cycleMs) broken.push(`a cycle took ${Math.round(longest)} ms`)
  const oldest = cycles.at(-1)?.oldestAskedMs ?? 0
  if (oldest > loop.everyMs + cycleMs) broken.push(`the oldest question is ${Math.round(oldest)} ms old`)
  return { cycles, dead: dead.size, restarts, broken }
}

const newestEvent = async (sql: postgres.Sql): Promise<number> =>
  Number((await sql`select coalesce(max(id), 0) as id from event`)[0]?.id)

/** Looks at one cycle from outside: what the world was asked in it, and what events say since the end of the one before. */
async function look(sql: postgres.Sql, driver: FakeDriver, passes: readonly Promise<PassSeen>[], last: number) {
  const before = driver.counts()
  const [begun] = await sql<{ at: string }[]>`select now()::text as at`
  const done = await Promise.all(passes)
  const after = driver.counts()
  const answers = (kind: string) => (after[`observeInstance ${kind}`] ?? 0) - (before[`observeInstance ${kind}`] ?? 0)
  const newest = await newestEvent(sql)
  const kinds = await sql<{ kind: string; n: number }[]>`
    select kind, count(*)::int as n from event where id > ${last} and id <= ${newest} group by kind`
  const moved = (kind: string) => kinds.find((row) => row.kind === kind)?.n ?? 0
  const [ages] = await sql<{ asked: number; answering: number; hanging: number; noted: number }[]>`
    select (count(*) filter (where checked_at >= ${begun?.at ?? ''}::timestamptz))::int as noted,
      coalesce(extract(epoch from now() - min(greatest(asked_at, started_at))), 0)::float8 as asked,
      coalesce(extract(epoch from now() - min(checked_at) filter (where left(incarnation, 1) <> ${hanging})), 0)::float8 as answering,
      coalesce(extract(epoch from now() - min(checked_at) filter (where left(incarnation, 1) = ${hanging})), 0)::float8 as hanging
    from instance where instance_id is not null`
  const [running, gone, hung] = [answers('running'), answers('gone'), answers('unknown')]
  const durationMs = Math.max(...done.map((pass) => pass.durationMs))
  const seen: CycleSeen = {
    asked: running + gone + hung,
    running,
    gone,
    hung,
    unnoted: Math.max(0, running - (ages?.noted ?? 0)),
    flipped: moved('offlineInstance'),
    restarted: moved('markInstanceOnline'),
    putBack: done.reduce((sum, { items }) => sum + (items.deferred ?? 0), 0),
    durationMs,
    perSecond: ((running + gone) / durationMs / done.length) * 1000,
    oldestAskedMs: (ages?.asked ?? 0) * 1000,
    oldestCheckedMs: (ages?.answering ?? 0) * 1000,
    oldestHangingMs: (ages?.hanging ?? 0) * 1000,
    cpuMs: done.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
  }
  return { seen, newest, faults: done.flatMap(({ fault }) => (fault === null ? [] : [`a pass failed: ${fault}`])) }
}

/** Whether nothing is OFFLINE or STARTING any more and nothing waits to be done. */
async function isWell(sql: postgres.Sql): Promise<boolean> {
  const [row] = await sql<{ well: boolean }[]>`
    select not exists (select 1 from instance where state <> 'ONLINE')
      and not exists (select 1 from operation where state in ('PENDING', 'RUNNING', 'UNKNOWN')) as well`
  return row?.well ?? false
}

async function startReplica(
  url: string,
  workerId: string,
  callTimeoutMs: number,
  driver: FakeDriver,
): Promise<Replica> {
  const child = fork(fileURLToPath(new URL('./replica.ts', import.meta.url)), [url, workerId, String(callTimeoutMs)])
  serveDriver(driver.another(), child)
  return { child, loop: await said<Replica['loop'] & { ready: true }>(child, 'ready') }
}

function passOf(child: ChildProcess): Promise<PassSeen> {
  const passed = said<{ passed: PassSeen }>(child, 'passed')
  child.send({ order: 'pass' satisfies Order })
  return passed.then((message) => message.passed)
}

/** The next message of that kind; fails when the replica ends before it. */
function said<T>(child: ChildProcess, kind: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown) => {
      if (!(kind in (message as object))) return
      child.off('message', onMessage)
      child.off('exit', onExit)
      resolve(message as T)
    }
    const onExit = (code: number | null) => reject(new Error(`a replica ended with ${code} before it was ${kind}`))
    child.on('message', onMessage)
    child.once('exit', onExit)
  })
}

/** Drained; or killed, when it does not end by itself. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.send({ order: 'end' satisfies Order })
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await exit
  clearTimeout(late)
}
