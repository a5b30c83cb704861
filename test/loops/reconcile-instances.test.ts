// What died is seen: a HEALTHY deployment whose run is gone becomes FAILED, with the reason. Only "gone" of the very run that
// was asked about counts; any doubt, and any run that has taken its place meanwhile, leaves everything as it is.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { reconcileInstancesLoop } from '../../src/loops/reconcile-instances.ts'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { openStage, type Stage } from './fixture.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

const signal = new AbortController().signal
const passOf = (driver: Parameters<typeof reconcileInstancesLoop>[1]) =>
  reconcileInstancesLoop(stage.open({ slots: 1 }).db, driver, () => {}).pass(signal)

const unknown = { state: 'unknown', reason: 'No answer' } as const
const gone = { state: 'gone', reason: 'The app is gone' } as const

async function healthy() {
  const { driver } = stage.replica()
  const id = await stage.deploy()
  const row = await stage.reaches(id, 'HEALTHY')
  return { driver, id, ref: { subjectId: id, incarnation: row.incarnation } }
}

test('a run that is gone: FAILED with the reason, and it can be rolled out again', async () => {
  const { driver, id, ref } = await healthy()
  expect(await passOf(driver)).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  await stage.beneath((sql) => sql`update deployment set checked_at = null`)
  driver.crash(ref, 'it exited with code 7')
  expect(await passOf(driver)).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(await stage.deployment(id)).toMatchObject({ state: 'FAILED', url: null, instanceId: null })
  expect((await stage.deployment(id)).stateReason).toContain('it exited with code 7')
  await redeployDeployment(stage.context, { id })
  await stage.reaches(id, 'HEALTHY')
})

test('what was asked about a moment ago is left alone', async () => {
  const { driver } = await healthy()
  await passOf(driver)
  expect(await passOf(driver)).toEqual({ moved: 0, unchanged: 0, skipped: 0 })
})

describe('any doubt leaves it as it is', () => {
  test.each([
    ['an unknown answer', async () => unknown],
    ['a driver that throws', async () => Promise.reject(new Error('broken'))],
  ])('%s', async (_, observeInstance) => {
    const { driver, id, ref } = await healthy()
    driver.crash(ref)
    expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
    expect(await stage.deployment(id)).toMatchObject({ state: 'HEALTHY' })
  })

  test('another run has taken its place while the driver was asked', async () => {
    const { driver, id } = await healthy()
    const before = await stage.deployment(id)
    const observeInstance = async () => {
      await redeployDeployment(stage.context, { id })
      await stage.reaches(id, 'HEALTHY')
      return gone
    }
    expect(await passOf({ ...driver, observeInstance })).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
    const after = await stage.deployment(id)
    expect(after).toMatchObject({ state: 'HEALTHY', generation: 2 })
    expect(after.instanceId).not.toBe(before.instanceId)
  })
})
