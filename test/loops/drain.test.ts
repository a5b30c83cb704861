// Shutdown of one replica: nothing new is begun, a call in flight may end, what waits is given back at once so that another
// replica goes on, what does not end in time is written down as unknown and looked at by the next one.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Outcome } from '../../src/drivers/outcome.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { createGates } from '../interleave.ts'
import { testSealing } from '../row.ts'
import { openStage, type Stage, startsOf, until } from './fixture.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

test('R67 a call in flight is waited for, and its result is stored', async () => {
  const { driver, dispatcher } = stage.replica()
  const id = await stage.deploy()
  const first = driver.pauseAfter('ensure')
  await first.reached
  const last = driver.pauseAfter('ensure')
  first.release()
  await last.reached
  let drained = false
  const draining = dispatcher.drain(10_000).then(() => {
    drained = true
  })
  await new Promise(setImmediate)
  expect(drained).toBe(false)
  last.release()
  await draining
  expect(dispatcher.running()).toBe(0)
  expect((await stage.deployment(id)).state).toBe('HEALTHY')
  expect(await stage.operations(id)).toMatchObject([{ state: 'SUCCEEDED', attempt: 1 }])
})

test('what waits is given back at once, and another replica goes on with it', async () => {
  const hourMs = 3_600_000
  const { dispatcher } = stage.replica({
    effects: (db, driver) =>
      deploymentEffects(
        db,
        {
          ...driver,
          async ensure(spec, fence, signal) {
            const outcome = await driver.ensure(spec, fence, signal)
            return outcome.kind === 'working' ? { ...outcome, askAgainAfterMs: hourMs } : (outcome as Outcome<never>)
          },
        },
        testSealing,
      ),
  })
  const id = await stage.deploy()
  await stage.reaches(id, 'DEPLOYING')
  await until(() => expect(startsOf(stage.driver, id)).toBe(1))
  await dispatcher.drain(10_000)
  const [row] = await stage.operations(id)
  expect(row).toMatchObject({ state: 'PENDING', attempt: 1, failures: 0 })
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
  expect(startsOf(stage.driver, id)).toBe(1)
  expect((await stage.operations(id))[0]).toMatchObject({ attempt: 2, failures: 0 })
})

test('R67 what does not end in time is cut off and released as unknown; the next replica looks first', async () => {
  const { driver, dispatcher } = stage.replica()
  driver.faultNext('ensure', { kind: 'hang', done: true })
  const id = await stage.deploy()
  await until(() => expect(startsOf(stage.driver, id)).toBe(1))
  const from = stage.driver.log().length
  await dispatcher.drain(50)
  expect(dispatcher.running()).toBe(0)
  expect(await stage.operations(id)).toMatchObject([{ state: 'UNKNOWN', attempt: 1 }])
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
  expect(stage.driver.log()[from]?.call).toBe('observe')
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('a claim that is made while the drain begins is given back before anything is done', async () => {
  const gates = createGates()
  const { dispatcher, workerId } = stage.replica({ wrap: gates.wrap })
  const claim = gates.park('claimOperation:Deployment', { when: 'after' })
  const id = await stage.deploy()
  await claim.reached
  const draining = dispatcher.drain(10_000)
  claim.release()
  await draining
  expect(await stage.operations(id)).toMatchObject([{ state: 'PENDING', claimedBy: workerId, failures: 0 }])
  expect(startsOf(stage.driver, id)).toBe(0)
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
})

test('nothing is claimed afterwards, whatever nudges', async () => {
  const { dispatcher } = stage.replica()
  await dispatcher.drain(10_000)
  const id = await stage.deploy()
  dispatcher.nudge()
  await new Promise(setImmediate)
  expect(await stage.operations(id)).toMatchObject([{ state: 'PENDING', attempt: 0 }])
  expect(dispatcher.running()).toBe(0)
})
