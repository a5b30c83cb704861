// Claims: one runner of a subject whatever the number of replicas, newer wishes first, lanes that do not starve each other,
// and kinds that are left to those who know them.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Effect } from '../../src/loops/effect.ts'
import { deleteDeployment, redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import { openStage, type Stage, startsOf, until } from './fixture.ts'

let stage: Stage
afterEach(() => stage.close())

const inFlight = new Map<string, number>()
const overlaps: string[] = []
beforeEach(async () => {
  inFlight.clear()
  overlaps.length = 0
  stage = await openStage({
    onCall(when, { call, ref }) {
      if (ref === null) return
      const now = (inFlight.get(ref.subjectId) ?? 0) + (when === 'before' ? 1 : -1)
      inFlight.set(ref.subjectId, now)
      if (now > 1) overlaps.push(`${call} of ${ref.subjectId}`)
    },
  })
})

const live = async () => (await stage.operations()).filter(({ state }) => /PENDING|RUNNING|UNKNOWN/.test(state)).length

/** Reads the log of events: whether two operations of a subject were ever claimed at the same time. */
async function overlappingClaims(): Promise<number> {
  const [row] = await stage.sql`
    with moves as (select e.id, e.subject_id as op, o.subject_id as subject, e.to_state = 'RUNNING' as runs
      from event e join operation o on o.id = e.subject_id where e.subject_type = 'Operation'),
    steps as (select subject, id, runs, op, lag(runs) over (partition by op order by id) as ran from moves)
    select count(*)::int as n from (
      select sum(case when runs and not coalesce(ran, false) then 1 when not runs and ran then -1 else 0 end)
        over (partition by subject order by id) as running from steps) s where running > 1`
  return row?.n
}

test('two dispatchers, 200 operations of 50 subjects: never two at work on one subject, none done twice or left', async () => {
  const ids = await Promise.all(Array.from({ length: 50 }, () => stage.deploy()))
  for (let wish = 0; wish < 3; wish++) {
    await Promise.all(ids.map((id) => redeployDeployment(stage.context, { id })))
  }
  expect(await live()).toBe(200)
  const replicas = [stage.replica(), stage.replica()]
  await until(async () => expect(await live()).toBe(0))
  expect(overlaps).toEqual([])
  expect(await overlappingClaims()).toBe(0)
  for (const id of ids) expect(await stage.deployment(id)).toMatchObject({ state: 'HEALTHY', generation: 4 })
  const operations = await stage.operations()
  expect(operations.filter(({ state }) => state === 'SUCCEEDED')).toHaveLength(50)
  expect(operations.filter(({ state }) => state === 'SUPERSEDED')).toHaveLength(150)
  for (const id of ids) expect(startsOf(stage.driver, id)).toBe(1)
  for (const { workerId } of replicas) expect(operations.map(({ claimedBy }) => claimedBy)).toContain(workerId)
})

test('wishes that come while work goes on: the newest is what runs, by whichever replica', async () => {
  stage.replica()
  stage.replica()
  const ids = await Promise.all(Array.from({ length: 10 }, () => stage.deploy()))
  for (let wish = 0; wish < 5; wish++) {
    await Promise.all(ids.map((id) => redeployDeployment(stage.context, { id })))
    await until(() => expect(stage.driver.log().length).toBeGreaterThan(wish * 20))
  }
  await until(async () => expect(await live()).toBe(0))
  expect(overlaps).toEqual([])
  expect(await overlappingClaims()).toBe(0)
  for (const id of ids) {
    const { state, incarnation, instanceId } = await stage.deployment(id)
    expect(state).toBe('HEALTHY')
    expect(stage.driver.liveRun({ subjectId: id, incarnation })).toMatchObject({ generation: 6, instanceId })
  }
})

test('a newer wish of another kind does not wait for the back-off of what it replaces', async () => {
  const { driver } = stage.replica()
  driver.faultNext('resolveImage', { kind: 'unreachable' })
  const id = await stage.deploy()
  await until(async () => expect((await stage.operations(id))[0]?.failures).toBe(1))
  await stage.beneath((sql) => sql`update operation set due_at = now() + interval '1 hour' where subject_id = ${id}`)
  await deleteDeployment(stage.context, { id })
  await stage.reaches(id, 'DELETED')
  expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUPERSEDED', 'SUCCEEDED'])
})

test('a newer wish does not wait for an unknown outcome of the old one to be due', async () => {
  const { driver } = stage.replica()
  driver.faultNext('ensure', { kind: 'unknown', done: true })
  const gate = driver.pauseBefore('observe')
  const id = await stage.deploy()
  await gate.reached
  driver.faultNext('observe', { kind: 'unreachable' })
  gate.release()
  await until(async () => expect((await stage.operations(id))[0]).toMatchObject({ state: 'UNKNOWN', failures: 2 }))
  await stage.beneath((sql) => sql`update operation set due_at = now() + interval '1 hour' where subject_id = ${id}`)
  await stopDeployment(stage.context, { id })
  await stage.reaches(id, 'STOPPED')
  expect(stage.driver.liveRuns()).toEqual([])
})

test('a roll-out that waits is left when a newer wish comes', async () => {
  const { driver } = stage.replica({ timing: { renewEveryMs: 20 } })
  const gate = driver.pauseAfter('ensure')
  const id = await stage.deploy()
  await gate.reached
  await redeployDeployment(stage.context, { id, image: 'other' })
  gate.release()
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUPERSEDED', 'SUCCEEDED'])
  expect(stage.driver.liveRuns().map(({ run }) => run.image)).toEqual(['other'])
})

test('R89 a full lane takes no more than its room, and does not starve another', async () => {
  const narrow = (usual: Effect[]) =>
    usual.map((effect) => (effect.kind === 'deployment.roll_out' ? { ...effect, concurrency: 3 } : effect))
  const healthy = await stage.deploy()
  const { driver, dispatcher } = stage.replica({ effects: (_db, _driver, usual) => narrow(usual) })
  await stage.reaches(healthy, 'HEALTHY')
  const gates = Array.from({ length: 3 }, () => driver.pauseBefore('resolveImage'))
  const flood = await Promise.all(Array.from({ length: 30 }, () => stage.deploy()))
  await Promise.all(gates.map((gate) => gate.reached))
  await stopDeployment(stage.context, { id: healthy })
  await stage.reaches(healthy, 'STOPPED')
  expect(dispatcher.running()).toBeLessThanOrEqual(3)
  expect((await stage.operations()).filter(({ state }) => state === 'RUNNING')).toHaveLength(3)
  for (const gate of gates) gate.release()
  await until(async () => expect(await live()).toBe(0))
  for (const id of flood) expect((await stage.deployment(id)).state).toBe('HEALTHY')
})

test('R107 a lane whose claims fail hinders no other lane', async () => {
  const healthy = await stage.deploy()
  const first = stage.replica()
  await stage.reaches(healthy, 'HEALTHY')
  await first.dispatcher.drain(0)
  const broken = await stage.deploy()
  const { lines } = stage.replica({
    wrap: (channel) => ({
      run: (statement) =>
        /^\/\* claimOperation/.test(statement.sql) && statement.params.includes('deployment.roll_out')
          ? Promise.reject(Object.assign(new Error('x'), { code: '53100' }))
          : channel.run(statement),
    }),
  })
  await stopDeployment(stage.context, { id: healthy })
  await stage.reaches(healthy, 'STOPPED')
  expect((await stage.operations(broken))[0]?.state).toBe('PENDING')
  await until(() => expect(lines.join()).toMatch(/a pass of the loop failed/))
})

test('an idle poll is one statement; work that is far from due costs no more', async () => {
  const names: string[] = []
  const { dispatcher } = stage.replica({
    timing: { pollMs: 10 },
    wrap: (channel) => ({
      run: (statement) => {
        names.push(/\/\* (\S+)/.exec(statement.sql)?.[1] ?? statement.sql)
        return channel.run(statement)
      },
    }),
  })
  await until(() => expect(names.length).toBeGreaterThan(5))
  dispatcher.nudge()
  expect(new Set(names)).toEqual(new Set(['read:isAnythingDue']))
})
