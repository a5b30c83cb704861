// What died of a stack is seen and started again, service by service; the others stay as they are. Only "gone" of the very run
// that was asked about counts; any doubt leaves everything as it is.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { deleteStack, redeployStack } from '../../src/resolvers/stack.ts'
import { type Asked, askAgain, type InstanceSeen, instancesOf, passOf, restartsDue } from '../instances/fixture.ts'
import { mutating } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { on, openStackStage, type StackStage } from './fixture.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(async () => {
  await stage.rest()
  // What one test leaves is not asked about in the next one, nor queued again.
  await stage.beneath((sql) => sql`update instance set asked_at = now() + interval '1 hour', restart_due_at = null`)
})
afterAll(() => stage.close())

const pass = (driver: Asked, signal?: AbortSignal) => passOf(stage.context.db, driver, signal)
const nothing = { moved: 0, unchanged: 0, skipped: 0, deferred: 0 }
const unknown = { state: 'unknown', reason: 'No answer' } as const
const gone = { state: 'gone', reason: 'The app is gone' } as const

async function healthy(...names: string[]) {
  const { driver } = stage.replica()
  const id = await stage.create(names)
  const { incarnation } = await stage.comesTo(id, 'HEALTHY')
  const ref = (name: string) => ({ subjectId: id, incarnation: `${incarnation}-${name}` })
  return { driver, id, ref }
}

/** Of each service the instance that is not removed. */
async function units(id: string): Promise<Record<string, InstanceSeen>> {
  const live = (await instancesOf(stage.sql, id)).filter(({ state }) => state !== 'REMOVED')
  return Object.fromEntries(live.map((each) => [each.service, each]))
}
const online = (id: string, ...names: string[]) =>
  until(async () => {
    const states = Object.values(await units(id)).map(({ service, state }) => [service, state])
    expect(Object.fromEntries(states)).toEqual(Object.fromEntries(names.map((name) => [name, 'ONLINE'])))
  })

test('a service whose run is gone is started again, once, with a new id under the same url; the others are not touched', async () => {
  const { driver, id, ref } = await healthy('web', 'api')
  const before = await units(id)
  expect(await pass(driver)).toEqual({ ...nothing, unchanged: 2 })
  await askAgain(stage)
  driver.crash(ref('api'), 'it exited with code 7')
  expect(await pass(driver)).toEqual({ ...nothing, moved: 1, unchanged: 1 })
  await online(id, 'web', 'api')
  const after = await units(id)
  expect(after.web).toMatchObject({ instanceId: before.web?.instanceId, restarts: 0 })
  expect(after.api).toMatchObject({ id: before.api?.id, url: before.api?.url, restarts: 1 })
  expect(after.api?.instanceId).not.toBe(before.api?.instanceId)
  expect(stage.starts(id)).toEqual({ web: 1, api: 2 })
  const row = await stage.stack(id)
  expect(row).toMatchObject({ state: 'HEALTHY', generation: 1 })
  expect(row.placed.api).toMatchObject({ state: 'HEALTHY', instanceId: after.api?.instanceId, url: after.api?.url })
})

test('all services that are gone are started again, and doubt about another one hides none', async () => {
  const { driver, id, ref } = await healthy('web', 'api', 'db')
  driver.crash(ref('web'))
  driver.crash(ref('db'))
  const observeInstance: Asked['observeInstance'] = async (of, ...rest) =>
    of.incarnation.endsWith('-api') ? unknown : driver.observeInstance(of, ...rest)
  expect(await pass({ ...driver, observeInstance })).toEqual({ ...nothing, moved: 2, skipped: 1 })
  await online(id, 'web', 'api', 'db')
  expect(stage.starts(id)).toEqual({ web: 2, api: 1, db: 2 })
  await until(async () =>
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(Array(3).fill('SUCCEEDED')),
  )
})

test('one that waits for its time to be started again does not keep another one from its own', async () => {
  const { driver, id, ref } = await healthy('web', 'api')
  driver.crash(ref('web'))
  await pass(driver)
  await online(id, 'web', 'api')
  // The second time within 10 minutes it waits.
  driver.crash(ref('web'))
  await askAgain(stage)
  await pass(driver)
  expect((await units(id)).web).toMatchObject({ state: 'OFFLINE', recentRestarts: 2 })
  driver.crash(ref('api'))
  await askAgain(stage)
  await pass(driver)
  await until(async () => expect((await units(id)).api).toMatchObject({ state: 'ONLINE', restarts: 1 }))
  expect((await units(id)).web).toMatchObject({ state: 'OFFLINE', restarts: 2 })
  await restartsDue(stage)
  await online(id, 'web', 'api')
  expect(stage.starts(id)).toEqual({ web: 3, api: 2 })
})

test('without that a service would wait for the back-off of another one', async () => {
  const name = 'claimOperation:Stack'
  const careless = mutating({ name, from: '(o.attempt > 0 or o.due_at <= now())', to: 'true' })
  const { driver } = stage.replica({ wrap: careless })
  const [id, other] = await Promise.all([stage.create(['web', 'api']), stage.create(['web'])])
  const seen = await Promise.all([stage.comesTo(id, 'HEALTHY'), stage.comesTo(other, 'HEALTHY')])
  const [ref, otherRef] = seen.map(({ id: subjectId, incarnation }) => (name: string) => ({
    subjectId,
    incarnation: `${incarnation}-${name}`,
  }))
  await stage.beneath(
    (sql) => sql`update instance set recent_restarts = 1 where subject_id = ${id} and service = 'web'`,
  )
  for (const [of, service] of [
    [ref, 'web'],
    [ref, 'api'],
    [otherRef, 'web'],
  ] as const) {
    driver.crash(of?.(service) as never)
    await askAgain(stage)
    await pass(driver)
  }
  // What was queued after it is done, and it still waits.
  await until(async () => expect((await units(other)).web).toMatchObject({ state: 'ONLINE', restarts: 1 }))
  expect((await units(id)).api).toMatchObject({ state: 'OFFLINE', restarts: 1 })
})

test('a service that dies again and again is given up: the stack is FAILED and says which and why, and the others run on', async () => {
  const { driver, id, ref } = await healthy('web', 'api')
  await stage.beneath(
    (sql) => sql`update instance set recent_restarts = 5 where subject_id = ${id} and service = 'api'`,
  )
  driver.crash(ref('api'), 'it exited with code 7')
  await pass(driver)
  const reason =
    'crash loop: it was started again 5 times and never stayed up for 10 minutes; the last time: it exited with code 7'
  expect(await stage.stack(id)).toMatchObject({ state: 'FAILED', stateReason: `api: ${reason}` })
  expect(await stage.told(id)).toEqual({ web: 'HEALTHY', api: `FAILED: ${reason}` })
  expect(await units(id)).toMatchObject({ web: { state: 'ONLINE' }, api: { state: 'OFFLINE', dueInMs: null } })
  // What runs of a FAILED stack is looked after as well.
  driver.crash(ref('web'))
  await askAgain(stage)
  await pass(driver)
  await until(async () => expect((await units(id)).web).toMatchObject({ state: 'ONLINE', restarts: 1 }))
  expect(await stage.stack(id)).toMatchObject({ state: 'FAILED', stateReason: `api: ${reason}` })
  await redeployStack(stage.context, { id })
  await stage.comesTo(id, 'HEALTHY')
  await online(id, 'web', 'api')
  expect(Object.keys(stage.running(id)).sort()).toEqual(['api', 'web'])
})

test('a service that cannot be started again is tried with more and more patience, then given up; what came with it is ONLINE', async () => {
  const { driver, id, ref } = await healthy('web', 'api')
  await stage.beneath(
    (sql) => sql`update instance set recent_restarts = 3 where subject_id = ${id} and service = 'api'`,
  )
  driver.faultNext('ensure', { kind: 'refuse', reason: 'no such memory' }, 2, on('api'))
  for (const name of ['web', 'api']) driver.crash(ref(name))
  await pass(driver)
  await restartsDue(stage)
  await until(async () => expect((await units(id)).api).toMatchObject({ state: 'OFFLINE', recentRestarts: 5 }))
  expect(await units(id)).toMatchObject({
    web: { state: 'ONLINE', restarts: 1 },
    api: { stateReason: 'no such memory' },
  })
  await restartsDue(stage)
  const { stateReason } = await stage.comesTo(id, 'FAILED')
  expect(stateReason).toBe(
    'api: crash loop: it was started again 5 times and never stayed up for 10 minutes; the last time: no such memory',
  )
  expect(await units(id)).toMatchObject({ web: { state: 'ONLINE' }, api: { state: 'OFFLINE', dueInMs: null } })
  expect(Object.keys(stage.running(id))).toEqual(['web'])
})

test('what was asked about a moment ago is left alone', async () => {
  const { driver, ref } = await healthy('web')
  await pass(driver)
  driver.crash(ref('web'))
  expect(await pass(driver)).toEqual(nothing)
})

test('services that are dropped lose their instances, and all of them at the end', async () => {
  const { id } = await healthy('web', 'api')
  const [web] = (await stage.stack(id)).services.filter(({ name }) => name === 'web')
  if (!web) throw new Error('no service')
  await redeployStack(stage.context, { id, services: [web] })
  await stage.comesTo(id, 'HEALTHY')
  await online(id, 'web')
  await deleteStack(stage.context, { id })
  await stage.comesTo(id, 'DELETED')
  expect(await units(id)).toEqual({})
})

describe('any doubt leaves it as it is:', () => {
  test.each([
    ['an unknown answer', async () => unknown],
    ['a driver that throws', async () => Promise.reject(new Error('broken'))],
  ])('%s', async (_, observeInstance) => {
    const { driver, id, ref } = await healthy('web', 'api')
    driver.crash(ref('web'))
    const { version } = await stage.stack(id)
    expect(await pass({ ...driver, observeInstance })).toEqual({ ...nothing, skipped: 2 })
    expect(await stage.stack(id)).toMatchObject({ state: 'HEALTHY', version })
    await online(id, 'web', 'api')
  })

  test('a driver that does not answer before the time of the pass is over', async () => {
    const { driver, id } = await healthy('web')
    const cycle = new AbortController()
    const observeInstance: Asked['observeInstance'] = () => {
      cycle.abort()
      return new Promise(() => {})
    }
    expect(await pass({ ...driver, observeInstance }, cycle.signal)).toEqual({ ...nothing, skipped: 1 })
    await online(id, 'web')
  })

  test('R79 R80 another run has taken its place while the driver was asked', async () => {
    const { driver, id } = await healthy('web', 'api')
    const before = await stage.stack(id)
    const redeploy = async () => {
      await redeployStack(stage.context, { id })
      await until(async () => expect(await stage.stack(id)).toMatchObject({ state: 'HEALTHY', generation: 2 }))
    }
    let redeployed: Promise<void> | undefined
    const observeInstance = async () => {
      redeployed ??= redeploy()
      await redeployed
      return gone
    }
    expect(await pass({ ...driver, observeInstance })).toEqual({ ...nothing, unchanged: 2 })
    const after = await stage.stack(id)
    expect(after).toMatchObject({ state: 'HEALTHY', generation: 2 })
    expect(after.placed.web?.instanceId).not.toBe(before.placed.web?.instanceId)
    await online(id, 'web', 'api')
    expect(stage.starts(id)).toEqual({ web: 2, api: 2 })
  })

  test('it is being deleted while the driver is asked', async () => {
    const { driver, id } = await healthy('web')
    const observeInstance = async () => {
      await deleteStack(stage.context, { id })
      await stage.comesTo(id, 'DELETED')
      return gone
    }
    expect(await pass({ ...driver, observeInstance })).toEqual({ ...nothing, unchanged: 1 })
  })
})
