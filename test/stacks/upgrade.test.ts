// Stacks that a release without instances has begun with: what it settled is watched over from the end of the roll-out on, and
// what runs is left alone by the restart of what stands beside it.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Asked, askAgain, instancesOf, passOf } from '../instances/fixture.ts'
import { until } from '../loops/fixture.ts'
import { on, openStackStage, type StackStage } from './fixture.ts'
import { serviceOf } from './row.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

const units = async (id: string) =>
  Object.fromEntries((await instancesOf(stage.sql, id)).map((each) => [each.service, each]))
const pass = async (driver: Asked = stage.driver) => {
  await askAgain(stage)
  return passOf(stage.context.db, driver)
}

test.each(['HEALTHY', 'FAILED'])(
  'services that were settled by then have their instances when the stack is %s, and are asked about',
  async (state) => {
    const first = stage.replica()
    const gate = first.driver.pauseBefore('ensure', on('api'))
    const id = await stage.create(['web', serviceOf('api', state === 'HEALTHY' ? 'hello' : 'crashing')])
    await gate.reached
    await until(async () => expect((await stage.told(id)).web).toBe('HEALTHY'))
    const drained = first.dispatcher.drain(0)
    gate.release()
    await drained
    await stage.beneath((sql) => sql`delete from instance where subject_id = ${id}`)
    stage.replica()
    const { placed } = await stage.comesTo(id, state)
    const { web } = placed
    expect((await units(id)).web).toMatchObject({ state: 'STARTING', instanceId: web?.instanceId, url: web?.url })
    await pass()
    expect((await units(id)).web).toMatchObject({ state: 'ONLINE', instanceId: web?.instanceId })
    expect(Object.keys(await units(id)).sort()).toEqual(state === 'HEALTHY' ? ['api', 'web'] : ['web'])
  },
)

test('a service whose run is known is not gone into by the restart of another one, though nobody has asked about it yet', async () => {
  const { driver } = stage.replica()
  const id = await stage.create(['web', 'api'])
  const { incarnation } = await stage.comesTo(id, 'HEALTHY')
  await stage.beneath((sql) => sql`update instance set state = 'STARTING' where subject_id = ${id} and service = 'web'`)
  const calls = () =>
    stage.driver.log().filter(({ ref, call }) => call === 'ensure' && ref?.incarnation === `${incarnation}-web`).length
  const before = calls()
  driver.crash({ subjectId: id, incarnation: `${incarnation}-api` })
  await pass({
    observeInstance: async (ref, instanceId, signal) =>
      ref.incarnation.endsWith('-web')
        ? { state: 'unknown', reason: 'No answer' }
        : driver.observeInstance(ref, instanceId, signal),
  })
  await until(async () => expect((await units(id)).api).toMatchObject({ state: 'ONLINE', restarts: 1 }))
  expect((await units(id)).web).toMatchObject({ state: 'STARTING', restarts: 0 })
  expect(calls()).toBe(before)
})
