// What died is seen and started again, under the same address with a new id; what dies again and again is given up. Only "gone" of
// the very run that was asked about counts: any doubt leaves everything as it is.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import {
  type Asked,
  askAgain,
  eventsOf,
  healthyDeployment,
  instanceOf,
  instancesOf,
  passOf,
  restartsDue,
} from '../instances/fixture.ts'
import { openStage, type Stage, startsOf, until } from './fixture.ts'

let stage: Stage
let db: ReturnType<Stage['open']>['db']
beforeAll(async () => {
  stage = await openStage()
  stage.replica()
  db = stage.open({ slots: 4 }).db
})
afterEach(async () => {
  stage.driver.clear()
  // What one test leaves is not asked about in the next one.
  await stage.beneath((sql) => sql`update instance set asked_at = now() + interval '1 hour'`)
})
afterAll(() => stage.close())

const nothing = { moved: 0, unchanged: 0, skipped: 0, deferred: 0 }
const restarted = (id: string, instanceId: string | null) =>
  until(async () => {
    const unit = await instanceOf(stage.sql, id)
    expect(unit).toMatchObject({ state: 'ONLINE' })
    expect(unit.instanceId).not.toBe(instanceId)
    return unit
  })

test('a run that is gone: the deployment stays HEALTHY and is started once, with a new id under the same url', async () => {
  const { id, ref } = await healthyDeployment(stage)
  const before = await instanceOf(stage.sql, id)
  const { url } = await stage.deployment(id)
  expect(before).toMatchObject({
    state: 'ONLINE',
    generation: 1,
    restarts: 0,
    url,
    instanceId: (await stage.deployment(id)).instanceId,
  })
  expect(await passOf(db, stage.driver)).toEqual({ ...nothing, unchanged: 1 })
  await askAgain(stage, id)
  stage.driver.crash(ref, 'it exited with code 7')
  expect(await passOf(db, stage.driver)).toEqual({ ...nothing, moved: 1 })
  const after = await restarted(id, before.instanceId)
  expect(after).toMatchObject({ id: before.id, url, restarts: 1, recentRestarts: 1, dueInMs: null })
  expect(await stage.deployment(id)).toMatchObject({
    state: 'HEALTHY',
    generation: 1,
    url,
    instanceId: after.instanceId,
  })
  expect(startsOf(stage.driver, id)).toBe(2)
  expect(await eventsOf(stage.sql, before.id)).toEqual([
    'registerInstance',
    'markInstanceOnline',
    'offlineInstance',
    'restartInstance',
    'markInstanceOnline',
  ])
})

describe('any doubt leaves it as it is:', () => {
  const answers: Record<string, Asked['observeInstance']> = {
    'an unknown answer': async () => ({ state: 'unknown', reason: 'No answer' }),
    'a driver that throws': async () => Promise.reject(new Error('broken')),
    'an answer that is none': async () => ({ state: 'lost' }) as never,
  }
  test.each(Object.entries(answers))('%s', async (_, observeInstance) => {
    const { id, ref } = await healthyDeployment(stage)
    const before = await instanceOf(stage.sql, id)
    stage.driver.crash(ref)
    expect(await passOf(db, { observeInstance })).toEqual({ ...nothing, skipped: 1 })
    expect([await instanceOf(stage.sql, id), (await stage.operations(id)).length]).toEqual([before, 1])
  })

  test('R79 another run has taken its place while the driver was asked about the captured one', async () => {
    const { id } = await healthyDeployment(stage)
    const before = await instanceOf(stage.sql, id)
    const asked: string[] = []
    const observeInstance: Asked['observeInstance'] = async (ref, instanceId, signal) => {
      await redeployDeployment(stage.context, { id })
      await until(async () => expect(await stage.deployment(id)).toMatchObject({ state: 'HEALTHY', generation: 2 }))
      asked.push(instanceId)
      return stage.driver.observeInstance(ref, instanceId, signal)
    }
    expect(await passOf(db, { observeInstance })).toEqual({ ...nothing, unchanged: 1 })
    expect(asked).toEqual([before.instanceId])
    const after = await instanceOf(stage.sql, id)
    expect(after).toMatchObject({ state: 'ONLINE', generation: 2, restarts: 0 })
    expect([after.instanceId === before.instanceId, startsOf(stage.driver, id)]).toEqual([false, 2])
  })
})

test('what was asked about a moment ago is left alone', async () => {
  await healthyDeployment(stage)
  await passOf(db, stage.driver)
  expect(await passOf(db, stage.driver)).toEqual(nothing)
})

test('a crash loop: the back-off grows, and after five restarts it is given up with the reason; a redeploy starts anew', async () => {
  const { id, ref } = await healthyDeployment(stage)
  const waits: number[] = []
  for (let round = 1; round <= 5; round++) {
    const { instanceId } = await instanceOf(stage.sql, id)
    stage.driver.crash(ref, `it exited with code ${round}`)
    await askAgain(stage, id)
    expect(await passOf(db, stage.driver)).toMatchObject({ moved: 1 })
    const [row] = await stage.sql<
      { ms: number }[]
    >`select (extract(epoch from due_at - created_at) * 1000)::float8 as ms
      from operation where subject_id = ${id} order by id desc limit 1`
    waits.push(Math.round((row?.ms ?? 0) / 1_000))
    await restartsDue(stage)
    expect(await restarted(id, instanceId)).toMatchObject({ restarts: round, recentRestarts: round })
  }
  const [first, ...later] = waits
  expect(first).toBe(0)
  later.forEach((seconds, at) => {
    expect(seconds).toBeGreaterThanOrEqual(10 * 2 ** at)
    expect(seconds).toBeLessThanOrEqual(12 * 2 ** at)
  })
  stage.driver.crash(ref, 'it ran out of memory')
  await askAgain(stage, id)
  await passOf(db, stage.driver)
  const reason =
    'crash loop: it was started again 5 times and never stayed up for 10 minutes; the last time: it ran out of memory'
  expect(await stage.deployment(id)).toMatchObject({
    state: 'FAILED',
    stateReason: reason,
    url: null,
    instanceId: null,
  })
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'OFFLINE', stateReason: reason, dueInMs: null })
  expect(startsOf(stage.driver, id)).toBe(6)
  await redeployDeployment(stage.context, { id })
  await stage.reaches(id, 'HEALTHY')
  expect((await instancesOf(stage.sql, id)).map(({ state, generation }) => [generation, state])).toEqual([
    [1, 'REMOVED'],
    [2, 'ONLINE'],
  ])
})
