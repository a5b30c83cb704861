// The real server, killed: between what it accepts and what it does, while another replica looks on, and politely. After
// every death all that was accepted is finished, by one app per deployment. PAWL_ROUNDS sets how many deaths; 3 by default.
import { test as base, expect } from 'vitest'
import { type Machine, openMachine, type Server, until } from './server.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 3)
const takeOverWithinMs = 15_000
const longMs = 60_000 + rounds * 30_000
/** Each on a machine of its own, side by side: most of their time they wait for leases to end. */
const test = base.extend<{ machine: Machine }>({
  // biome-ignore lint/correctness/noEmptyPattern: the form that tells what a fixture depends on
  machine: async ({}, use) => {
    const machine = await openMachine()
    try {
      await use(machine)
    } finally {
      await machine.dispose()
    }
  },
})

const deploy = (machine: Machine, server: Server, image: string) =>
  machine.call(server, 'deploy', { name: machine.nameOf(image), image })

const attempts = async (machine: Machine, id: string) =>
  (await machine.sql`select max(attempt)::int as n from operation where subject_id = ${id}`)[0]?.n

/** Moments of a roll-out at which the server dies. */
const moments: readonly ((machine: Machine, id: string) => Promise<unknown>)[] = [
  // As soon as it has answered; when the work has been claimed; when the app has been started.
  async () => {},
  (machine, id) => until(async () => expect(await attempts(machine, id)).toBeGreaterThan(0)),
  (machine, id) => until(async () => expect((await machine.apps()).has(id)).toBe(true)),
]

test.concurrent(`R68 R78 kill -9 between accept and effect, ${rounds} times: all that was accepted is finished, once`, {
  timeout: longMs,
}, async ({ machine }) => {
  const ids: string[] = []
  for (let round = 0; round < rounds; round++) {
    const server = await machine.start()
    const batch = await Promise.all([deploy(machine, server, 'hello'), deploy(machine, server, 'hello')])
    ids.push(...batch)
    await moments[round % moments.length]?.(machine, batch[0])
    expect(await server.end('SIGKILL')).toBe(null)
  }
  const last = await machine.start()
  for (const id of ids) await machine.reaches(id, 'HEALTHY')
  const apps = await machine.apps()
  for (const id of ids) {
    expect(apps.get(id)).toHaveLength(1)
    expect(await machine.cameUp(id)).toBe(1)
    const { url } = await machine.deployment(id)
    expect(await (await fetch(url ?? '')).text()).toMatch(/^Hello from hello-/)
  }
  expect(machine.mostApps()).toBe(1)
  await Promise.all(ids.map((id) => machine.call(last, 'deleteDeployment', { id })))
  for (const id of ids) await machine.reaches(id, 'DELETED')
  expect(await machine.apps()).toEqual(new Map())
})

test.concurrent('R68 R103 kill -9 of the replica that holds a claim: the other one goes on within 15 s, without a second app', {
  timeout: longMs,
}, async ({ machine }) => {
  const measures = Math.min(10, Math.max(1, Math.floor(rounds / 2)))
  const times: number[] = []
  let servers: Server[] = await Promise.all([machine.start(), machine.start()])
  for (let measure = 0; measure < measures; measure++) {
    const id = await deploy(machine, servers[measure % 2] as Server, 'slow')
    // Its app is there and not healthy yet: the claim is held, and will be for three seconds.
    await until(async () => expect((await machine.apps()).has(id)).toBe(true))
    const [row] = await machine.sql`select claimed_by as by, attempt from operation where subject_id = ${id}`
    const holder = servers.find(({ child }) => row?.by.includes(`-${child.pid}-`))
    if (!holder) throw new Error(`nobody holds the claim of ${row?.by}`)
    const killedAt = performance.now()
    await holder.end('SIGKILL')
    await until(async () => expect(await attempts(machine, id)).toBeGreaterThan(row?.attempt))
    times.push(performance.now() - killedAt)
    await machine.reaches(id, 'HEALTHY')
    expect((await machine.apps()).get(id)).toHaveLength(1)
    expect(await machine.cameUp(id)).toBe(1)
    if (measure < measures - 1) servers = [...servers.filter((server) => server !== holder), await machine.start()]
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0)
  console.log(`taken over after ${at(0.5)} ms (p50), ${at(0.99)} ms (p99) of ${times.length}`)
  expect(at(1)).toBeLessThan(takeOverWithinMs)
  expect(machine.mostApps()).toBe(1)
})

test.concurrent('SIGTERM: exits with 0, gives work back, leaves apps running; the next start finds them as they are', {
  timeout: 180_000,
}, async ({ machine }) => {
  const first = await machine.start()
  const id = await deploy(machine, first, 'hello')
  await machine.reaches(id, 'HEALTHY')
  const before = await machine.deployment(id)
  const pids = (await machine.apps()).get(id)
  const slow = await deploy(machine, first, 'slow')
  await until(async () => expect((await machine.apps()).has(slow)).toBe(true))
  expect(await first.end('SIGTERM')).toBe(0)
  const [work] = await machine.sql`select state, failures from operation where subject_id = ${slow}`
  expect(work).toEqual({ state: 'PENDING', failures: 0 })
  expect((await machine.apps()).get(id)).toEqual(pids)
  expect((await fetch(before.url ?? '')).status).toBe(200)

  const second = await machine.start()
  await machine.reaches(slow, 'HEALTHY')
  expect(await machine.cameUp(slow)).toBe(1)
  expect(await machine.deployment(id)).toEqual(before)
  expect((await machine.apps()).get(id)).toEqual(pids)
  await machine.call(second, 'deleteDeployment', { id })
  await machine.reaches(id, 'DELETED')
  expect((await machine.apps()).has(id)).toBe(false)
  expect(await second.end('SIGTERM')).toBe(0)
})
