// How a stack is rolled out: all services by one operation, each told as soon as it is known; which one failed and why; what is
// dropped is removed; how services know of each other; and that a wish that is outdated or ended leaves nothing.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { done } from '../../src/drivers/outcome.ts'
import type { FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { deleteStack, mergeStackEnv, redeployStack } from '../../src/resolvers/stack.ts'
import { until } from '../loops/fixture.ts'
import { on, openStackStage, type StackStage } from './fixture.ts'
import { serviceOf } from './row.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

const env = (values: Record<string, string>) => Object.entries(values).map(([key, value]) => ({ key, value }))
const merge = (id: string, values: Record<string, string>) =>
  mergeStackEnv(stage.context, { id, set: env(values) } as Parameters<typeof mergeStackEnv>[1])
const addresses = async (id: string, ...names: string[]) => {
  const { incarnation } = await stage.stack(id)
  return names.map((name) => stage.driver.isReserved({ subjectId: id, incarnation: `${incarnation}-${name}` }))
}

describe('a roll-out', () => {
  test('starts every service with the variables of the stack, and tells each other’s addresses', async () => {
    stage.replica()
    const id = await stage.create(['web', 'api'], { env: env({ MODE: 'test', API: 'service://api' }) })
    await stage.comesTo(id, 'HEALTHY')
    expect(await stage.told(id)).toEqual({ web: 'HEALTHY', api: 'HEALTHY' })
    const { placed } = await stage.stack(id)
    const told = { MODE: 'test', API: placed.api?.url }
    expect(placed.api?.url).toContain('api.fake')
    expect(stage.running(id)).toEqual({ web: told, api: told })
    expect(await stage.operations(id)).toMatchObject([
      { kind: 'stack.roll_out', state: 'SUCCEEDED', attempt: 1, failures: 0, outcome: '2 services are healthy' },
    ])
  })

  test('tells of each service as soon as it is known, while the others are still open', async () => {
    const { driver } = stage.replica()
    const slow = driver.pauseBefore('ensure', on('api'))
    const id = await stage.create(['web', 'api'])
    await slow.reached
    await until(async () => expect(await stage.told(id)).toEqual({ web: 'HEALTHY', api: 'open' }))
    expect(await stage.stack(id)).toMatchObject({ state: 'DEPLOYING' })
    slow.release()
    await stage.comesTo(id, 'HEALTHY')
  })

  test('of no services is healthy at once, and of twenty starts each once', async () => {
    stage.replica()
    const none = await stage.create([])
    const names = Array.from({ length: 20 }, (_, n) => `s${n}`)
    const many = await stage.create(names)
    await stage.comesTo(none, 'HEALTHY')
    await stage.comesTo(many, 'HEALTHY')
    expect(stage.starts(many)).toEqual(Object.fromEntries(names.map((name) => [name, 1])))
  })

  test('of which services fail is FAILED and names them with their reasons; the others run', async () => {
    stage.replica()
    const services = [serviceOf('web', 'hello'), serviceOf('bad', 'crashing'), serviceOf('sick', 'unhealthy')]
    const id = await stage.create([...services, serviceOf('none', 'unknown')])
    const { stateReason } = await stage.comesTo(id, 'FAILED')
    const reasons = {
      bad: 'The app exited with code 1 before its health check passed',
      sick: 'GET /healthz answered 500 for 10 s',
      none: 'There is no app named "unknown"; any other name is an app here',
    }
    expect(stateReason).toBe(`bad: ${reasons.bad}; sick: ${reasons.sick}; none: ${reasons.none}`)
    expect(await stage.told(id)).toEqual({
      web: 'HEALTHY',
      bad: `FAILED: ${reasons.bad}`,
      sick: `FAILED: ${reasons.sick}`,
      none: `FAILED: ${reasons.none}`,
    })
    expect(Object.keys(stage.running(id))).toEqual(['web'])
    expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', outcome: stateReason, attempt: 1 }])
  })

  test('R43 a redeploy runs with what the environment is then: nothing that was merged before is dropped', async () => {
    stage.replica()
    const id = await stage.create(['web'], { env: env({ FIRST: '1' }) })
    await stage.comesTo(id, 'HEALTHY')
    await merge(id, { SECOND: '2' })
    // It reaches the services at the next roll-out, and not before.
    expect(stage.running(id)).toEqual({ web: { FIRST: '1' } })
    await redeployStack(stage.context, { id })
    await until(() => expect(stage.running(id)).toEqual({ web: { FIRST: '1', SECOND: '2' } }))
    await stage.comesTo(id, 'HEALTHY')
    await redeployStack(stage.context, { id, services: [serviceOf('web', 'other')] })
    await until(async () => expect(await stage.stack(id)).toMatchObject({ generation: 3, state: 'HEALTHY' }))
    expect(stage.running(id)).toEqual({ web: { FIRST: '1', SECOND: '2' } })
  })
})

describe('services that are dropped', () => {
  test('are removed at the redeploy and give their addresses back; new ones are started', async () => {
    stage.replica()
    const id = await stage.create(['web', 'old'])
    await stage.comesTo(id, 'HEALTHY')
    expect(await addresses(id, 'web', 'old')).toEqual([true, true])
    await redeployStack(stage.context, { id, services: [serviceOf('web'), serviceOf('fresh')] })
    await until(async () => expect(await stage.stack(id)).toMatchObject({ generation: 2, state: 'HEALTHY' }))
    expect(Object.keys(stage.running(id)).sort()).toEqual(['fresh', 'web'])
    expect(await addresses(id, 'web', 'old', 'fresh')).toEqual([true, false, true])
    expect(await stage.told(id)).toEqual({ web: 'HEALTHY', fresh: 'HEALTHY' })
    // What was dropped can be wanted again.
    await redeployStack(stage.context, { id, services: [serviceOf('old')] })
    await until(async () => expect(await stage.stack(id)).toMatchObject({ generation: 3, state: 'HEALTHY' }))
    expect(Object.keys(stage.running(id))).toEqual(['old'])
  })

  test('and cannot be removed yet keep the roll-out waiting, and are removed in the end', async () => {
    const { driver } = stage.replica()
    const id = await stage.create(['web', 'old'])
    await stage.comesTo(id, 'HEALTHY')
    driver.faultNext('remove', { kind: 'unreachable' })
    driver.faultNext('remove', { kind: 'refuse', reason: 'the name is not ours' })
    driver.faultNext('remove', { kind: 'unknown', done: false })
    await redeployStack(stage.context, { id, services: [serviceOf('web')] })
    await until(async () => {
      await stage.dueNow()
      expect(await stage.stack(id)).toMatchObject({ generation: 2, state: 'HEALTHY' })
    })
    expect((await stage.operations(id)).at(-1)).toMatchObject({ state: 'SUCCEEDED', failures: 3 })
    expect(Object.keys(stage.running(id))).toEqual(['web'])
    expect(await addresses(id, 'old')).toEqual([false])
  })

  test('are removed at a deletion, too, when they could not be before', async () => {
    const { driver } = stage.replica()
    const id = await stage.create(['web', 'old'])
    await stage.comesTo(id, 'HEALTHY')
    driver.faultNext('remove', { kind: 'unreachable' }, 1, on('old'))
    await redeployStack(stage.context, { id, services: [serviceOf('web')] })
    await until(async () => expect((await stage.operations(id)).at(-1)).toMatchObject({ failures: 1 }))
    await deleteStack(stage.context, { id })
    await stage.comesTo(id, 'DELETED')
    expect([stage.running(id), await addresses(id, 'web', 'old')]).toEqual([{}, [false, false]])
  })

  test('give back an address that was only just had when they are dropped again', async () => {
    const { driver } = stage.replica()
    const id = await stage.create(['web'])
    await stage.comesTo(id, 'HEALTHY')
    const gate = driver.pauseAfter('reserve', on('brief'))
    await redeployStack(stage.context, { id, services: [serviceOf('web'), serviceOf('brief')] })
    await gate.reached
    expect(await addresses(id, 'brief')).toEqual([true])
    await redeployStack(stage.context, { id, services: [serviceOf('web')] })
    gate.release()
    await until(async () => expect(await stage.stack(id)).toMatchObject({ generation: 3, state: 'HEALTHY' }))
    expect(await addresses(id, 'brief')).toEqual([false])
  })
})

describe('an address', () => {
  /** A driver that has lost the address of a service to a stranger by the time that it is started. */
  const losing = (name: string) => (driver: FakeDriver) => ({
    ...driver,
    async ensure(...args: Parameters<FakeDriver['ensure']>) {
      const outcome = await driver.ensure(...args)
      const own = args[0].incarnation.endsWith(`-${name}`) && outcome.kind === 'done'
      return own ? done({ ...outcome.value, url: 'http://elsewhere' }) : outcome
    },
  })

  test('that others were told of and that is lost fails its service, with nothing of it left running', async () => {
    stage.replica({ through: losing('api') })
    const id = await stage.create(['web', 'api'], { env: env({ API: 'service://api' }) })
    const { stateReason } = await stage.comesTo(id, 'FAILED')
    expect(stateReason).toBe('api: its address was lost to a stranger while it started; redeploy the stack')
    expect(Object.keys(stage.running(id))).toEqual(['web'])
  })

  test('that nobody was told of may be another one', async () => {
    stage.replica({ through: losing('api') })
    const id = await stage.create(['web', 'api'], { env: env({ WEB: 'service://web' }) })
    const { placed } = await stage.comesTo(id, 'HEALTHY')
    expect(placed.api?.url).toBe('http://elsewhere')
  })

  test('is asked for once in a roll-out: who goes on with it tells the services what the first ones were told', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unreachable' }, 2, on('api'))
    const id = await stage.create(['web', 'api'], { env: env({ WEB: 'service://web', API: 'service://api' }) })
    await stage.hurriedTo(id, 'HEALTHY')
    const reserved = stage.driver.log().filter(({ call, ref }) => call === 'reserve' && ref?.subjectId === id)
    expect(reserved).toHaveLength(2)
    expect(stage.starts(id)).toEqual({ web: 1, api: 1 })
    const { web, api } = stage.running(id)
    expect(web).toEqual(api)
  })
})

describe('a wish that is outdated', () => {
  test('by a redeploy in the middle leaves the newer one alone: the last services and variables run, once each', async () => {
    const { driver } = stage.replica()
    const gate = driver.pauseBefore('ensure', on('api'), { deaf: true })
    const id = await stage.create(['web', 'api'], { env: env({ N: '1' }) })
    await gate.reached
    await merge(id, { N: '2' })
    await redeployStack(stage.context, { id, services: [serviceOf('web'), serviceOf('api')] })
    gate.release()
    await until(async () => expect(await stage.stack(id)).toMatchObject({ generation: 2, state: 'HEALTHY' }))
    expect(stage.running(id)).toEqual({ web: { N: '2' }, api: { N: '2' } })
    expect(await stage.operations(id)).toMatchObject([{ state: 'SUPERSEDED' }, { state: 'SUCCEEDED' }])
    // The older wish of a service that had run was replaced, not doubled.
    expect(stage.starts(id).web).toBe(2)
  })

  test('by a deletion in the middle leaves nothing that runs and no address', async () => {
    const { driver } = stage.replica()
    const gate = driver.pauseBefore('ensure', on('api'), { deaf: true })
    const id = await stage.create(['web', 'api'])
    await gate.reached
    await until(() => expect(Object.keys(stage.running(id))).toEqual(['web']))
    await deleteStack(stage.context, { id })
    gate.release()
    const { placed } = await stage.comesTo(id, 'DELETED')
    expect([stage.running(id), placed]).toEqual([{}, {}])
    expect(await addresses(id, 'web', 'api')).toEqual([false, false])
    expect(await stage.operations(id)).toMatchObject([{ state: 'SUPERSEDED' }, { state: 'SUCCEEDED' }])
  })

  test('before it began starts nothing at all', async () => {
    const id = await stage.create(['web', 'api'])
    await deleteStack(stage.context, { id })
    stage.replica()
    await stage.comesTo(id, 'DELETED')
    expect(stage.starts(id)).toEqual({})
  })
})

test('variables that lead nowhere by the time of the roll-out fail the stack, and nothing of it runs', async () => {
  const first = stage.replica()
  const id = await stage.create(['web', 'api'])
  await stage.comesTo(id, 'HEALTHY')
  await first.dispatcher.drain(0)
  await redeployStack(stage.context, { id })
  // It was there when the redeploy was accepted, and is gone since.
  const gone = {
    TOKEN: { value: 'secret://GONE', revision: 9, changedAt: new Date().toISOString(), changedBy: 'tok_x' },
  }
  await stage.beneath((sql) => sql`update stack set env = ${sql.json(gone)} where id = ${id}`)
  stage.replica()
  const { stateReason } = await stage.comesTo(id, 'FAILED')
  expect(stateReason).toContain('TOKEN refers to secret://GONE')
  expect(await stage.told(id)).toEqual({ web: `FAILED: ${stateReason}`, api: `FAILED: ${stateReason}` })
  expect(stage.running(id)).toEqual({})
})
