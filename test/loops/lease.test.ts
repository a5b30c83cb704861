// Leases: who holds a claim keeps it while it lives, lets go in time when it cannot renew it, and writes nothing once it is
// lost; whoever takes over is fenced in, whoever comes late is fenced out.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Channel } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { working } from '../../src/drivers/outcome.ts'
import type { FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { hold, holdRow } from '../interleave.ts'
import { testSealing } from '../row.ts'
import { openStage, type Stage, startsOf, until } from './fixture.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

/** Makes statements of a replica fail, or run and lose their answer, as long as it is switched on. */
function faults() {
  const broken = new Map<string, 'before' | 'after'>()
  const counts = new Map<string, number>()
  const lost = () => Object.assign(new Error('gone'), { code: 'CONNECTION_LOST' })
  const wrap = (channel: Channel): Channel => ({
    async run(statement) {
      const name = statementName(statement.sql) ?? ''
      const when = broken.get(name) ?? broken.get('all')
      if (when !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1)
      if (when === 'before') throw lost()
      const rows = await channel.run(statement)
      if (when === 'after') throw lost()
      return rows
    },
  })
  return { broken, counts, wrap }
}

/** A driver that tells when the signal of its next `ensure` was aborted. */
const heard = (aborted: (at: number) => void) => (db: never, driver: FakeDriver) =>
  deploymentEffects(
    db,
    {
      ...driver,
      ensure: (spec, fence, signal) => {
        signal.addEventListener('abort', () => aborted(performance.now()), { once: true })
        return driver.ensure(spec, fence, signal)
      },
    },
    testSealing,
  )

/** Until the clock that leases go by has gone on by so much. */
async function databaseTimePasses(ms: number): Promise<void> {
  const now = async () => Number((await stage.sql`select extract(epoch from clock_timestamp()) * 1000 as at`)[0]?.at)
  const began = await now()
  await until(async () => expect((await now()) - began).toBeGreaterThan(ms))
}

const short = { leaseMs: 1_000, marginMs: 400, renewEveryMs: 100 }

test('the heartbeat keeps a call that takes longer than the lease', async () => {
  const { driver } = stage.replica({ timing: { ...short, leaseMs: 600, marginMs: 200 } })
  const gate = driver.pauseBefore('resolveImage')
  const id = await stage.deploy()
  await gate.reached
  stage.replica({ timing: short })
  await databaseTimePasses(1_500)
  expect(await stage.operations(id)).toMatchObject([{ state: 'RUNNING', attempt: 1, claimedBy: 'worker-1' }])
  gate.release()
  await stage.reaches(id, 'HEALTHY')
  expect(await stage.operations(id)).toMatchObject([{ attempt: 1, failures: 0 }])
})

test('a call is told to stop when lease minus margin has passed since the last renewal that succeeded was sent', async () => {
  const { broken, wrap } = faults()
  const sent: number[] = []
  const times = (channel: Channel): Channel => ({
    async run(statement) {
      const at = performance.now()
      const rows = await channel.run(statement)
      if (statementName(statement.sql) === 'renewLeases') sent.push(at)
      return rows
    },
  })
  let abortedAt = 0
  const stage2 = stage.replica({
    timing: short,
    wrap: (channel) => times(wrap(channel)),
    effects: (db, driver) => heard((at) => (abortedAt = at))(db as never, driver),
  })
  stage2.driver.faultNext('ensure', { kind: 'hang', done: false })
  const id = await stage.deploy()
  await stage.reaches(id, 'DEPLOYING')
  await until(() => expect(sent.length).toBeGreaterThan(2))
  broken.set('renewLeases', 'before')
  await until(() => expect(abortedAt).toBeGreaterThan(0))
  const since = abortedAt - (sent.at(-1) ?? 0)
  expect(since).toBeGreaterThanOrEqual(short.leaseMs - short.marginMs - 5)
  expect(since).toBeLessThan(short.leaseMs)
  // It wrote nothing: the operation is as the claim left it, until somebody takes it over.
  const [row] = await stage.operations(id)
  if (row?.attempt === 1) expect(row).toMatchObject({ state: 'RUNNING', outcome: 'the image is ready' })
  broken.clear()
  await stage.reaches(id, 'HEALTHY')
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('an answer that comes after the claim was taken over changes nothing', async () => {
  const { broken, wrap } = faults()
  const first = stage.replica({ timing: short, wrap })
  const gate = first.driver.pauseAfter('ensure')
  const id = await stage.deploy()
  await gate.reached
  broken.set('renewLeases', 'before')
  broken.set('read:isAnythingDue', 'before')
  const second = stage.replica()
  await stage.reaches(id, 'HEALTHY')
  const row = await stage.deployment(id)
  const events = async () => (await stage.sql`select count(*)::int as n from event`)[0]?.n
  const before = await events()
  broken.clear()
  gate.release()
  await until(() => expect(first.dispatcher.running()).toBe(0))
  expect(await stage.deployment(id)).toEqual(row)
  expect(await events()).toBe(before)
  expect(await stage.operations(id)).toMatchObject([{ state: 'SUCCEEDED', attempt: 2, claimedBy: second.workerId }])
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('a claim that was lost and had again by the same process is kept alive, and waited for', async () => {
  const { broken, wrap } = faults()
  const { driver, dispatcher } = stage.replica({ timing: short, wrap })
  const gate = driver.pauseAfter('resolveImage')
  const id = await stage.deploy()
  await gate.reached
  // The first claim hangs in a statement of its own while its lease ends; the second one is at work before it is gone.
  const subject = await holdRow(stage.sql, 'deployment', id)
  broken.set('renewLeases', 'before')
  const again = driver.pauseBefore('resolveImage')
  gate.release()
  await until(async () => expect((await stage.operations(id))[0]?.attempt).toBe(2))
  broken.clear()
  await again.reached
  await until(async () =>
    expect((await stage.operations(id))[0]?.dueInMs).toBeGreaterThan(short.leaseMs - short.marginMs),
  )
  await subject.release()
  await until(() => expect(dispatcher.running()).toBe(1))
  await databaseTimePasses(1_200)
  expect(await stage.operations(id)).toMatchObject([{ state: 'RUNNING', attempt: 2 }])
  again.release()
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id))[0]?.attempt).toBe(2)
})

test('a stranger who holds one operation does not cost the others their leases', async () => {
  const { driver, dispatcher } = stage.replica({ timing: short })
  const gates = [0, 1, 2].map(() => driver.pauseBefore('resolveImage'))
  const ids = await Promise.all([0, 1, 2].map(() => stage.deploy()))
  await Promise.all(gates.map((gate) => gate.reached))
  const [held] = await stage.operations(ids[0])
  const stranger = await holdRow(stage.sql, 'operation', held?.id ?? '')
  await until(() => expect(dispatcher.running()).toBe(2))
  const rows = (await stage.operations()).filter(({ id }) => id !== held?.id)
  for (const row of rows) expect(row).toMatchObject({ state: 'RUNNING', attempt: 1 })
  for (const row of rows) expect(row.dueInMs).toBeGreaterThan(short.leaseMs - 3 * short.renewEveryMs)
  await stranger.release()
  for (const gate of gates) gate.release()
  for (const id of ids) await stage.reaches(id, 'HEALTHY')
  for (const row of rows) expect((await stage.operations(row.subjectId))[0]?.attempt).toBe(1)
})

test('one renewal that hangs does not cost the process its leases', async () => {
  let hung = 0
  const never = new Promise<never>(() => {})
  const { driver } = stage.replica({
    timing: short,
    slots: 6,
    wrap: (channel) => ({
      run: (statement) =>
        statementName(statement.sql) === 'renewLeases' && ++hung === 2 ? never : channel.run(statement),
    }),
  })
  const gate = driver.pauseBefore('resolveImage')
  const id = await stage.deploy()
  await gate.reached
  await until(() => expect(hung).toBeGreaterThan(15))
  gate.release()
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id))[0]).toMatchObject({ attempt: 1, failures: 0 })
})

test.each(['before', 'after'] as const)(
  'the database is away %s an end is carried out: it is stored later, once',
  async (when) => {
    const { broken, counts, wrap } = faults()
    const { driver, lines } = stage.replica({ wrap })
    const gate = driver.pauseAfter('ensure')
    const id = await stage.deploy()
    await gate.reached
    broken.set('markDeploymentHealthy', when)
    if (when === 'after') broken.set('all', 'after')
    gate.release()
    await until(() => expect(lines.join()).toMatch(/could not be stored yet/))
    expect((await stage.deployment(id)).state).toBe(when === 'before' ? 'DEPLOYING' : 'HEALTHY')
    await until(() => expect(counts.get('markDeploymentHealthy')).toBeGreaterThan(1))
    broken.clear()
    await stage.reaches(id, 'HEALTHY')
    await stage.work(id, 'SUCCEEDED')
    const events = await stage.sql`select kind from event where subject_id = ${id} and kind = 'markDeploymentHealthy'`
    expect(events).toHaveLength(1)
    expect((await stage.operations(id))[0]).toMatchObject({ attempt: 1, failures: 0 })
  },
)

test('R67 a stranger who holds the subject for longer than a statement waits: the end is stored afterwards', async () => {
  const { driver, lines } = stage.replica({ lockTimeoutMs: 200 })
  const gate = driver.pauseAfter('ensure')
  const id = await stage.deploy()
  await gate.reached
  const stranger = await hold(stage.sql, `select 1 from deployment where id = '${id}' for update`)
  const again = driver.pauseAfter('ensure')
  gate.release()
  await again.reached
  again.release()
  await until(() => expect(lines.join()).toMatch(/could not be stored yet.*busy/))
  await stranger.release()
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id))[0]).toMatchObject({ state: 'SUCCEEDED', attempt: 1 })
})

test('a newer wish is noticed by the heartbeat, and work that waits is left for it', async () => {
  const hourMs = 3_600_000
  stage.replica({
    timing: { renewEveryMs: 50 },
    effects: (db, driver) =>
      deploymentEffects(
        db,
        {
          ...driver,
          ensure: async (...call) => (call[0].image === 'slow' ? working(hourMs, 'slow') : driver.ensure(...call)),
        },
        testSealing,
      ),
  })
  const id = await stage.deploy({ image: 'slow' })
  await stage.reaches(id, 'DEPLOYING')
  await redeployDeployment(stage.context, { id, image: 'quick' })
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUPERSEDED', 'SUCCEEDED'])
})
