// What goes wrong in a soak, one thing every 3 to 10 seconds, in the sequence of the seed: replicas die and are rolled over,
// connections are cut, fall silent and lose answers, drivers hang, lie and refuse, apps crash, receivers fail, strangers hold
// locks, time limits pass. What lasts a while ends by itself, or when everything has to be well again.
import postgresClient from 'postgres'
import type { Fault as ProvisionFault } from '../../../src/drivers/provision/fake-script.ts'
import type { Fault as RuntimeFault } from '../../../src/drivers/runtime/fake-script.ts'
import type { FakeOutside } from '../fleet.ts'
import { Dice } from './dice.ts'
import { pause } from './pace.ts'
import type { Mood } from './receiver.ts'
import type { Stage } from './stage.ts'

export interface Troubled {
  readonly counts: Map<string, number>
  /** Resolves when nothing goes wrong any more, and all is up again. */
  readonly over: Promise<void>
}

type Trouble = (stage: Stage, dice: Dice, well: AbortSignal) => string | Promise<string>

const runtimeCalls = ['ensure', 'observe', 'observeInstance', 'stop', 'remove', 'reserve'] as const
const provisionCalls = ['provision', 'observe', 'pause', 'resume', 'rotate', 'deprovision'] as const

/** The next calls of one replica meet the fault. */
function befall(outside: FakeOutside, dice: Dice, runtime: RuntimeFault, provision: ProvisionFault | null): string {
  const times = dice.int(1, 4)
  if (provision && dice.chance(0.4)) {
    const call = dice.pick(provisionCalls)
    outside[dice.pick(['postgres', 'redis'] as const)].faultNext(call, provision, times)
    return `provisioner, ${times} of ${call}`
  }
  const call = dice.pick(runtimeCalls)
  outside.runtime.faultNext(call, runtime, times)
  return `runtime, ${times} of ${call}`
}

/** Of one replica; of the next one that is up, where that one is down. */
const driversOf = ({ replicas }: Stage, dice: Dice): FakeOutside | undefined => {
  const first = dice.int(0, replicas.length - 1)
  return [...replicas.slice(first), ...replicas.slice(0, first)].find((replica) => replica !== null)?.outside
}
const drivers =
  (faults: (dice: Dice) => readonly [RuntimeFault, ProvisionFault | null]): Trouble =>
  (stage, dice) => {
    const outside = driversOf(stage, dice)
    const [runtime, provision] = faults(dice)
    return outside ? befall(outside, dice, runtime, provision) : 'no replica is up'
  }
const same = (fault: RuntimeFault & ProvisionFault) => [fault, fault] as const

/** Of living apps, some by chance. */
const someApps = ({ fleet }: Stage, dice: Dice) => fleet.outside.runtime.liveRuns().filter(() => dice.chance(0.2))

/** On a connection of its own: postgres.js ends the process when it rolls back on one that has died under its own transaction. */
async function holdLock(url: string, statement: string, well: AbortSignal): Promise<void> {
  const own = postgresClient(url, { max: 1, onnotice: () => {} })
  try {
    await own.unsafe('begin')
    await own.unsafe(statement)
    await pause(10_000, well)
  } finally {
    await own.end({ timeout: 1 })
  }
}

const locked = ['deployment', 'stack', 'resource', 'operation', 'plan_usage']
/** Time limits, as if their time had passed. */
const limits = [
  ['deployment', "ttl_policy = 'TTL' and state in ('HEALTHY', 'FAILED', 'STOPPED', 'BUILDING', 'DEPLOYING')"],
  ['resource', "expires_at is not null and state in ('ACTIVE', 'PAUSED', 'FAILED')"],
  ['promotion_approval', "state in ('PENDING', 'APPROVED')"],
  ['invitation', "state = 'PENDING'"],
  ['api_token', "state = 'ACTIVE' and name like 't%'"],
] as const

const kinds: Readonly<Record<string, { readonly weight: number; readonly strike: Trouble }>> = {
  'replica killed': {
    weight: 4,
    async strike(stage, dice) {
      const n = dice.int(0, stage.replicas.length - 1)
      const downMs = dice.int(0, 3_000)
      await stage.end(n, 'SIGKILL')
      await pause(downMs)
      await stage.start(n)
      return `replica ${n}, down for ${downMs} ms`
    },
  },
  'replica rolled': {
    weight: 2,
    async strike(stage, dice) {
      const n = dice.int(0, stage.replicas.length - 1)
      await stage.end(n, 'SIGTERM')
      await stage.start(n)
      return `replica ${n}`
    },
  },
  'connections cut': {
    weight: 3,
    strike({ proxies }, dice) {
      const n = dice.int(0, proxies.length - 1)
      proxies[n]?.cut()
      return `replica ${n}`
    },
  },
  'answer lost': {
    weight: 3,
    strike({ proxies }, dice) {
      const n = dice.int(0, proxies.length - 1)
      const then = dice.pick(['reset', 'hang'] as const)
      void proxies[n]?.swallow({ after: dice.int(0, 20), then })
      return `replica ${n}, then ${then}`
    },
  },
  'network silent': {
    weight: 1,
    async strike({ proxies }, dice, well) {
      const n = dice.int(0, proxies.length - 1)
      const lastsMs = dice.int(1_000, 5_000)
      proxies[n]?.blackHole()
      await pause(lastsMs, well)
      proxies[n]?.restore()
      return `replica ${n} for ${lastsMs} ms`
    },
  },
  'network slow': {
    weight: 1,
    async strike({ proxies }, dice, well) {
      const n = dice.int(0, proxies.length - 1)
      const [delayMs, lastsMs] = [dice.int(10, 80), dice.int(2_000, 6_000)]
      proxies[n]?.delay(delayMs)
      await pause(lastsMs, well)
      proxies[n]?.delay(0)
      return `replica ${n}: ${delayMs} ms for ${lastsMs} ms`
    },
  },
  'driver hangs': { weight: 3, strike: drivers((dice) => same({ kind: 'hang', done: dice.chance(0.5) })) },
  'driver unsure': { weight: 3, strike: drivers((dice) => same({ kind: 'unknown', done: dice.chance(0.5) })) },
  'driver away': { weight: 1, strike: drivers(() => same({ kind: 'unreachable' })) },
  'driver slow': { weight: 1, strike: drivers((dice) => same({ kind: 'slow', delayMs: dice.int(200, 4_000) })) },
  'driver throws': { weight: 1, strike: drivers(() => same({ kind: 'throw' })) },
  'driver refuses': { weight: 1.5, strike: drivers(() => same({ kind: 'refuse', reason: 'The soak refuses' })) },
  'driver lies': {
    weight: 2,
    strike: (stage, dice) => {
      const outside = driversOf(stage, dice)
      const times = dice.int(1, 6)
      outside?.runtime.faultNext('observeInstance', { kind: 'lieAbsent' }, times)
      return `${times} apps are said to be gone`
    },
  },
  'apps crash': {
    weight: 2,
    strike(stage, dice) {
      const apps = someApps(stage, dice)
      for (const app of apps) stage.fleet.outside.runtime.crash(app)
      return `${apps.length} of them`
    },
  },
  'apps sick': {
    weight: 1,
    async strike(stage, dice, well) {
      const apps = someApps(stage, dice)
      for (const app of apps) stage.fleet.outside.runtime.setHealth(app, false)
      await pause(dice.int(3_000, 8_000), well)
      for (const app of apps) stage.fleet.outside.runtime.setHealth(app, true)
      return `${apps.length} of them`
    },
  },
  'lock held': {
    weight: 1.5,
    async strike({ postgres }, dice, well) {
      const [table, place, rows] = [dice.pick(locked), dice.int(0, 20), dice.int(1, 3)]
      await holdLock(postgres.url, `select 1 from ${table} offset ${place} limit ${rows} for update`, well).catch(
        () => {},
      )
      return `rows of ${table}, for 10 s`
    },
  },
  'receiver fails': {
    weight: 1.5,
    async strike({ receiver }, dice, well) {
      const mood = dice.pick<Mood>(['failing', 'silent', 'cutting'])
      const lastsMs = dice.int(2_000, 6_000)
      receiver.mood = mood
      await pause(lastsMs, well)
      receiver.mood = 'well'
      return `${mood} for ${lastsMs} ms`
    },
  },
  'time passes': {
    weight: 2,
    async strike({ sql }, dice) {
      const [table, which] = dice.pick(limits)
      const count = dice.int(1, 3)
      const passed = await sql`update ${sql(table)} set expires_at = now() - interval '1 second' where id in
        (select id from ${sql(table)} where ${sql.unsafe(which)} order by id desc limit ${count} for no key update skip locked) returning id`.catch(
        () => [],
      )
      return `for ${passed.length} of ${table}`
    },
  },
}

/** When PostgreSQL is killed, as parts of the whole time. */
const databaseDies = (minutes: number) => (minutes >= 2 ? [0.3, 0.75] : [0.5])

/** Strikes until the signal, then lets everything get well. */
export function trouble(
  stage: Stage,
  {
    seed,
    minutes,
    note,
  }: { readonly seed: number; readonly minutes: number; readonly note: (name: string, what: string) => void },
  well: AbortSignal,
): Troubled {
  const counts = new Map<string, number>()
  const weights = Object.fromEntries(Object.entries(kinds).map(([name, { weight }]) => [name, weight]))
  const lasting = new Set<Promise<void>>()
  const strike = (name: string, one: Trouble, dice: Dice) => {
    counts.set(name, (counts.get(name) ?? 0) + 1)
    const struck = (async () => note(name, await one(stage, dice, well)))()
      .catch((error: unknown) => note(name, `could not be done: ${error}`))
      .finally(() => lasting.delete(struck))
    lasting.add(struck)
  }
  const run = async () => {
    for (let n = 0; ; n++) {
      const dice = new Dice(`${seed}/trouble/${n}`)
      await pause(dice.int(3_000, 10_000), well)
      if (well.aborted) return
      const name = dice.weighted(weights)
      strike(name, (kinds[name] as { strike: Trouble }).strike, dice)
    }
  }
  const killDatabase = async () => {
    let waitedMs = 0
    for (const [n, part] of databaseDies(minutes).entries()) {
      const atMs = part * minutes * 60_000
      await pause(atMs - waitedMs, well)
      waitedMs = atMs
      if (well.aborted) return
      strike(
        'PostgreSQL killed',
        ({ postgres }) => `pid ${postgres.pid}: ${process.kill(postgres.pid, 'SIGKILL')}`,
        new Dice(`${seed}/postgres/${n}`),
      )
    }
  }
  const over = Promise.all([run(), killDatabase()]).then(async () => {
    while (lasting.size > 0) await Promise.all(lasting)
    await allWell(stage)
  })
  return { counts, over }
}

/** Nothing that was ordered of drivers and proxies is still to come, and every replica is up. */
async function allWell({ replicas, proxies, receiver, start }: Stage): Promise<void> {
  receiver.mood = 'well'
  for (const proxy of proxies) {
    proxy.delay(0)
    proxy.restore()
  }
  for (const replica of replicas)
    for (const fake of Object.values(replica?.outside ?? {})) (fake as FakeOutside['runtime']).clear()
  await Promise.all(replicas.map((_, n) => start(n)))
}

/** From now on the team that passes has its restore window over as soon as somebody deletes it. */
export async function endTeam({ sql }: Stage, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sql`update team set deletion_at = now() - interval '1 second' where state = 'DELETION_REQUESTED'`.catch(
      () => {},
    )
    await pause(1_000, signal)
  }
}
