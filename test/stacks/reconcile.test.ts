// What died is seen: a HEALTHY stack of which a service's run is gone becomes FAILED, with that service and the reason; the
// others stay as they are. Only "gone" of the very run that was asked about counts; any doubt leaves everything as it is.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { RuntimeDriver } from '../../src/drivers/runtime/driver.ts'
import { reconcileInstancesLoop } from '../../src/loops/reconcile-instances.ts'
import { deleteStack, redeployStack } from '../../src/resolvers/stack.ts'
import { until } from '../loops/fixture.ts'
import { openStackStage, type StackStage } from './fixture.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(async () => {
  await stage.rest()
  // What one test leaves is not asked about in the next one.
  await stage.beneath((sql) => sql`update stack set checked_at = now() + interval '1 hour'`)
})
afterAll(() => stage.close())

type Asked = Pick<RuntimeDriver, 'observeInstance'>
const passOf = (driver: Asked, signal = new AbortController().signal) =>
  reconcileInstancesLoop(stage.context.db, driver, () => {}).pass(signal)

const unknown = { state: 'unknown', reason: 'No answer' } as const
const gone = { state: 'gone', reason: 'The app is gone' } as const

async function healthy(...names: string[]) {
  const { driver } = stage.replica()
  const id = await stage.create(names)
  const { incarnation } = await stage.comesTo(id, 'HEALTHY')
  const ref = (name: string) => ({ subjectId: id, incarnation: `${incarnation}-${name}` })
  return { driver, id, ref }
}

test('a service whose run is gone: the stack is FAILED and says which and why, and can be rolled out again', async () => {
  const { driver, id, ref } = await healthy('web', 'api')
  expect(await passOf(driver)).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  await stage.beneath((sql) => sql`update stack set checked_at = null where id = ${id}`)
  driver.crash(ref('api'), 'it exited with code 7')
  expect(await passOf(driver)).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(await stage.stack(id)).toMatchObject({ state: 'FAILED', stateReason: 'api: it exited with code 7' })
  expect(await stage.told(id)).toEqual({ web: 'HEALTHY', api: 'FAILED: it exited with code 7' })
  // Nothing is restarted by itself.
  expect(Object.keys(stage.running(id))).toEqual(['web'])
  await redeployStack(stage.context, { id })
  await stage.comesTo(id, 'HEALTHY')
  expect(Object.keys(stage.running(id)).sort()).toEqual(['api', 'web'])
})

test('all services that are gone are told of at once, and doubt about another one hides none', async () => {
  const { driver, id, ref } = await healthy('web', 'api', 'db')
  driver.crash(ref('web'), 'it ran out of memory')
  driver.crash(ref('db'), 'it exited with code 1')
  const observeInstance: Asked['observeInstance'] = async (of, ...rest) =>
    of.incarnation.endsWith('-api') ? unknown : driver.observeInstance(of, ...rest)
  expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(await stage.stack(id)).toMatchObject({
    stateReason: 'web: it ran out of memory; db: it exited with code 1',
  })
  expect(await stage.told(id)).toMatchObject({ api: 'HEALTHY' })
})

test('what was asked about a moment ago is left alone, and what is not HEALTHY is never asked about', async () => {
  const { driver, id, ref } = await healthy('web')
  await passOf(driver)
  driver.crash(ref('web'))
  expect(await passOf(driver)).toEqual({ moved: 0, unchanged: 0, skipped: 0 })
  await stage.beneath((sql) => sql`update stack set checked_at = null, state = 'FAILED' where id = ${id}`)
  expect(await passOf(driver)).toEqual({ moved: 0, unchanged: 0, skipped: 0 })
})

describe('any doubt leaves it as it is:', () => {
  test.each([
    ['an unknown answer', async () => unknown],
    ['a driver that throws', async () => Promise.reject(new Error('broken'))],
  ])('%s', async (_, observeInstance) => {
    const { driver, id, ref } = await healthy('web', 'api')
    driver.crash(ref('web'))
    expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
    expect(await stage.stack(id)).toMatchObject({ state: 'HEALTHY', version: (await stage.stack(id)).version })
  })

  test('a driver that does not answer before the time of the pass is over', async () => {
    const { driver, id } = await healthy('web')
    const cycle = new AbortController()
    const observeInstance: Asked['observeInstance'] = () => {
      cycle.abort()
      return new Promise(() => {})
    }
    expect(await passOf({ ...driver, observeInstance }, cycle.signal)).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
    expect(await stage.stack(id)).toMatchObject({ state: 'HEALTHY' })
  })

  test('R79 R80 another run has taken its place while the driver was asked', async () => {
    const { driver, id } = await healthy('web', 'api')
    const before = await stage.stack(id)
    const observeInstance = async () => {
      if ((await stage.stack(id)).generation === 1) await redeployStack(stage.context, { id })
      await until(async () => expect(await stage.stack(id)).toMatchObject({ state: 'HEALTHY', generation: 2 }))
      return gone
    }
    expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
    const after = await stage.stack(id)
    expect(after).toMatchObject({ state: 'HEALTHY', generation: 2 })
    expect(after.placed.web?.instanceId).not.toBe(before.placed.web?.instanceId)
    expect(Object.keys(stage.running(id)).sort()).toEqual(['api', 'web'])
  })

  test('it is being deleted while the driver is asked', async () => {
    const { driver, id } = await healthy('web')
    const observeInstance = async () => {
      await deleteStack(stage.context, { id })
      await stage.comesTo(id, 'DELETED')
      return gone
    }
    expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  })
})
