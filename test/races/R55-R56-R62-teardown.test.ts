// R55, R56, R62: what has ended is taken down, whatever happened to the work that should have done it, and is called
// DELETED only after the driver has said that nothing is left.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { deleteDeployment } from '../../src/resolvers/deployment.ts'
import { oldestPassing } from '../../src/resolvers/passing.ts'
import { openStage, type Stage, startsOf, until } from '../loops/fixture.ts'

const signal = new AbortController().signal
let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

const expire = (id: string) =>
  stage.beneath(
    (sql) => sql`update deployment set ttl_policy = 'TTL', expires_at = now() - interval '1 minute' where id = ${id}`,
  )

const expiredForMs = async () => {
  const rows = await oldestPassing(stage.context.db)
  return rows.find(({ entity, state }) => entity === 'Deployment' && state === 'EXPIRED')?.ageMs ?? 0
}

test('R55 an expired deployment that has lost its teardown shows its age, gets its teardown again, and is gone', async () => {
  stage.replica()
  const id = await stage.deploy()
  await stage.reaches(id, 'HEALTHY')
  await stage.beneath(
    (sql) => sql`update deployment set state = 'EXPIRED', generation = 2, ttl_policy = 'TTL', expires_at = now(),
      state_changed_at = now() - interval '2 hours' where id = ${id}`,
  )
  expect(await expiredForMs()).toBeGreaterThan(7_000_000)
  expect(stage.driver.liveRuns()).toHaveLength(1)
  // Nobody has accepted any work for it: without the loop it would run for ever.
  expect((await stage.operations(id)).map(({ kind }) => kind)).toEqual(['deployment.roll_out'])
  expect(await teardownLoop(stage.open().db, () => {}).pass(signal)).toEqual({ moved: 1 })
  await stage.reaches(id, 'DELETED')
  expect(stage.driver.liveRuns()).toEqual([])
  expect(await expiredForMs()).toBe(0)
})

test('R55 expiry accepts the teardown in its own statement: a crash right after it loses nothing', async () => {
  const first = stage.replica()
  const id = await stage.deploy()
  await stage.reaches(id, 'HEALTHY')
  await first.dispatcher.drain(0)
  await expire(id)
  await expireLoop(stage.open().db, () => {}).pass(signal)
  expect(await stage.deployment(id)).toMatchObject({ state: 'EXPIRED', generation: 2 })
  expect((await stage.operations(id)).at(-1)).toMatchObject({
    kind: 'deployment.tear_down',
    state: 'PENDING',
    generation: 2,
  })
  stage.replica()
  await stage.reaches(id, 'DELETED')
  expect(stage.driver.liveRuns()).toEqual([])
})

test('R56 an expired deployment that never reached the provider is DELETED, and nothing is ever started', async () => {
  const id = await stage.deploy()
  await expire(id)
  await expireLoop(stage.open().db, () => {}).pass(signal)
  stage.replica()
  await stage.reaches(id, 'DELETED')
  expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUPERSEDED', 'SUCCEEDED'])
  expect(startsOf(stage.driver, id)).toBe(0)
})

test('R62 a deployment is DELETING as long as anything is left, and DELETED only after the driver has said "gone"', async () => {
  const { driver } = stage.replica()
  const id = await stage.deploy()
  await stage.reaches(id, 'HEALTHY')
  driver.faultNext('remove', { kind: 'refuse', reason: 'the name is not ours' })
  driver.faultNext('remove', { kind: 'unreachable' })
  driver.faultNext('remove', { kind: 'unknown', done: false })
  driver.faultNext('remove', { kind: 'throw' })
  const gate = driver.pauseBefore('remove')
  await deleteDeployment(stage.context, { id })
  await gate.reached
  const left = async () => ({ state: (await stage.deployment(id)).state, runs: stage.driver.liveRuns().length })
  expect(await left()).toEqual({ state: 'DELETING', runs: 1 })
  gate.release()
  for (let failures = 1; failures <= 4; failures++) {
    const again = driver.pauseBefore('remove')
    await until(async () => {
      await stage.dueNow()
      expect((await stage.operations(id)).at(-1)?.failures).toBe(failures)
    })
    expect(await left()).toEqual({ state: 'DELETING', runs: 1 })
    await stage.dueNow()
    await again.reached
    expect(await left()).toEqual({ state: 'DELETING', runs: 1 })
    again.release()
  }
  await stage.reaches(id, 'DELETED')
  expect(stage.driver.liveRuns()).toEqual([])
})
