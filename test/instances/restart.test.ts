// How instances live: each start has an id of its own, what is rolled out anew takes the place of what was there, what cannot be
// started waits for longer each time, and a restart that has lost its work gets it again.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  deleteDeployment,
  redeployDeployment,
  startDeployment,
  stopDeployment,
} from '../../src/resolvers/deployment.ts'
import { cancelOperation, retryOperation } from '../../src/resolvers/operation.ts'
import { openStage, type Stage, startsOf, until } from '../loops/fixture.ts'
import { askAgain, eventsOf, healthyDeployment, instanceOf, instancesOf, passOf, restartsDue } from './fixture.ts'

let stage: Stage
let db: ReturnType<Stage['open']>['db']
beforeAll(async () => {
  stage = await openStage()
  stage.replica()
  db = stage.open().db
})
afterEach(async () => {
  stage.driver.clear()
  await stage.beneath((sql) => sql`update instance set asked_at = now() + interval '1 hour', restart_due_at = null`)
})
afterAll(() => stage.close())

const online = (id: string, facts: object = {}) =>
  until(async () => {
    const unit = await instanceOf(stage.sql, id)
    expect(unit).toMatchObject({ state: 'ONLINE', ...facts })
    return unit
  })
const pass = async () => {
  await askAgain(stage)
  return passOf(db, stage.driver)
}

test('every start is a run with an id of its own: roll-out, restart, redeploy, stop and start', async () => {
  const { id, ref } = await healthyDeployment(stage)
  const ids = new Set([(await online(id)).instanceId])
  stage.driver.crash(ref)
  await pass()
  ids.add((await online(id, { restarts: 1 })).instanceId)
  await redeployDeployment(stage.context, { id })
  await stage.reaches(id, 'HEALTHY')
  ids.add((await online(id, { generation: 2, restarts: 0 })).instanceId)
  await stopDeployment(stage.context, { id })
  await stage.reaches(id, 'STOPPED')
  expect((await instancesOf(stage.sql, id)).map(({ state }) => state)).toEqual(['REMOVED', 'REMOVED'])
  await startDeployment(stage.context, { id })
  await stage.reaches(id, 'HEALTHY')
  ids.add((await online(id, { generation: 4 })).instanceId)
  expect(ids.size).toBe(4)
})

test('a roll-out that fails leaves what it was about OFFLINE with the reason, and the next one takes its place', async () => {
  const { id } = await healthyDeployment(stage)
  await stage.beneath((sql) => sql`update deployment set image = 'crashing' where id = ${id}`)
  await redeployDeployment(stage.context, { id })
  const { stateReason } = await stage.reaches(id, 'FAILED')
  const units = (await instancesOf(stage.sql, id)).map(({ state, stateReason: why, instanceId }) => ({
    state,
    why,
    instanceId,
  }))
  expect(units).toEqual(Array(2).fill({ state: 'OFFLINE', why: stateReason, instanceId: null }))
  await stage.beneath((sql) => sql`update deployment set image = 'hello' where id = ${id}`)
  await redeployDeployment(stage.context, { id })
  await stage.reaches(id, 'HEALTHY')
  expect((await instancesOf(stage.sql, id)).map(({ state }) => state)).toEqual(['REMOVED', 'REMOVED', 'ONLINE'])
})

test('what runs on after a newer roll-out was cancelled, and dies, is OFFLINE; nothing is restarted', async () => {
  const { id, ref } = await healthyDeployment(stage)
  await stage.beneath((sql) => sql`update deployment set state = 'FAILED', generation = 2 where id = ${id}`)
  stage.driver.crash(ref)
  expect(await pass()).toMatchObject({ moved: 1 })
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'OFFLINE', restarts: 0, dueInMs: null })
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('what cannot be started again waits for longer each time, and is given up in the end with the last reason', async () => {
  const { id, ref } = await healthyDeployment(stage)
  await stage.beneath((sql) => sql`update deployment set image = 'crashing' where id = ${id}`)
  stage.driver.crash(ref)
  await pass()
  for (let recent = 2; recent <= 5; recent++) {
    const { dueInMs } = await until(async () => {
      const unit = await instanceOf(stage.sql, id)
      expect(unit).toMatchObject({ state: 'OFFLINE', recentRestarts: recent })
      return unit
    })
    expect(dueInMs).toBeGreaterThan(10_000 * 2 ** (recent - 2) - 2_000)
    expect(dueInMs).toBeLessThanOrEqual(12_000 * 2 ** (recent - 2))
    await restartsDue(stage)
  }
  const { stateReason } = await stage.reaches(id, 'FAILED')
  expect(stateReason).toContain('crash loop: it was started again 5 times')
  expect(stateReason).toContain('exited with code 1')
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'OFFLINE', dueInMs: null })
  expect((await stage.operations(id)).slice(1).map(({ kind, state }) => `${kind} ${state}`)).toEqual(
    Array(5).fill('deployment.restart FAILED'),
  )
})

test('who has stayed up for ten minutes starts anew with its back-off', async () => {
  const { id, ref } = await healthyDeployment(stage)
  await stage.beneath(
    (sql) =>
      sql`update instance set recent_restarts = 5, started_at = now() - interval '11 minutes' where subject_id = ${id}`,
  )
  stage.driver.crash(ref)
  await pass()
  await online(id, { restarts: 1, recentRestarts: 1 })
  expect(await stage.deployment(id)).toMatchObject({ state: 'HEALTHY' })
})

test('a runtime that is away is asked until it answers; that costs no restart', async () => {
  const { id, ref } = await healthyDeployment(stage)
  const away = stage.replica()
  away.driver.faultNext('ensure', { kind: 'unreachable' }, 3, (call) => call.ref?.subjectId === id)
  stage.driver.crash(ref)
  await pass()
  await until(async () => {
    await stage.dueNow()
    expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'ONLINE', restarts: 1, recentRestarts: 1 })
  })
  await away.dispatcher.drain(0)
})

test('a restart whose work was lost gets it again, be it waiting or half-way; one that has work is left alone', async () => {
  const { id, ref } = await healthyDeployment(stage)
  stage.driver.crash(ref)
  await stage.beneath((sql) => sql`update instance set recent_restarts = 1 where subject_id = ${id}`)
  await pass()
  const late = (sql: Parameters<Parameters<Stage['beneath']>[0]>[0]) =>
    sql`update instance set restart_due_at = now() - interval '3 minutes' where subject_id = ${id}`
  await stage.beneath(late)
  // Its work waits for its time.
  await pass()
  expect((await stage.operations(id)).length).toBe(2)
  await stage.beneath((sql) => sql`delete from operation where subject_id = ${id} and state = 'PENDING'`)
  await stage.beneath(late)
  await pass()
  const unit = await online(id, { restarts: 1 })
  await stage.beneath(
    (
      sql,
    ) => sql`update instance set state = 'STARTING', instance_id = null, state_changed_at = now() - interval '16 minutes'
      where id = ${unit.id}`,
  )
  await pass()
  // Its run lives and is taken up again.
  expect((await online(id)).instanceId).toBe(unit.instanceId)
  expect(startsOf(stage.driver, id)).toBe(2)
  expect(await eventsOf(stage.sql, id)).toContain('restartDeployment')
})

test('an instance of a generation that is over and whose start came to no end is OFFLINE', async () => {
  const { id } = await healthyDeployment(stage)
  await stage.beneath(async (sql) => {
    await sql`update deployment set state = 'FAILED', generation = 2 where id = ${id}`
    await sql`update instance set state = 'STARTING', instance_id = null, state_changed_at = now() - interval '16 minutes'
      where subject_id = ${id}`
  })
  await pass()
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'OFFLINE', stateReason: 'its start came to no end' })
})

test('callers neither cancel nor repeat a restart', async () => {
  const { id, ref } = await healthyDeployment(stage)
  await stage.beneath((sql) => sql`update instance set recent_restarts = 3 where subject_id = ${id}`)
  stage.driver.crash(ref)
  await pass()
  const work = await stage.work(id, 'PENDING')
  expect(work.kind).toBe('deployment.restart')
  expect(await cancelOperation(stage.context, { id: work.id })).toMatchObject({ refusal: 'IllegalState' })
  expect(await retryOperation(stage.context, { id: work.id })).toMatchObject({ refusal: 'IllegalState' })
})

test('a roll-out that a release without instances has begun gets its instance when it is healthy, and it is asked about', async () => {
  const { id } = await healthyDeployment(stage)
  await stage.beneath(async (sql) => {
    await sql`delete from instance where subject_id = ${id}`
    await sql`update deployment set state = 'DEPLOYING' where id = ${id}`
    await sql`update operation set state = 'PENDING', claim_token = null, due_at = now() where subject_id = ${id}`
  })
  const { instanceId, url } = await until(async () => {
    await stage.dueNow()
    return stage.reaches(id, 'HEALTHY')
  })
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'STARTING', instanceId, url })
  await pass()
  expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'ONLINE', instanceId })
})

test('what moves along with a deployment is counted like any other move', async () => {
  const own = await openStage()
  try {
    const { metrics } = own.replica()
    const { id } = await healthyDeployment(own)
    await redeployDeployment(own.context, { id })
    await own.reaches(id, 'HEALTHY')
    await deleteDeployment(own.context, { id })
    await own.reaches(id, 'DELETED')
    const told = await own.sql<{ kind: string; count: number }[]>`
      select kind, count(*)::int as count from event where subject_type = 'Instance' group by 1 order by 1`
    const line = /pawl_transitions_total\{entity="instance",action="(\w+)",outcome="moved"\} ([1-9]\d*)/g
    // Counted a moment after it was stored.
    await until(async () => {
      const counted = Object.fromEntries(
        [...(await metrics.text()).matchAll(line)].map(([, kind, count]) => [kind, Number(count)]),
      )
      expect(counted).toEqual(Object.fromEntries(told.map(({ kind, count }) => [kind, count])))
    })
    expect(told.map(({ kind }) => kind)).toEqual(['markInstanceOnline', 'registerInstance', 'removeInstance'])
  } finally {
    await own.close()
  }
})
