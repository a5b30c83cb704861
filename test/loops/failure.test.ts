// What drivers may do to a dispatcher: fail, hang, lie, throw, answer nonsense or nothing. No answer but "done" is success,
// what is unknown is looked at before it is done again, failures are bounded where the kind says so, and nothing is dropped.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Outcome } from '../../src/drivers/outcome.ts'
import type { RuntimeDriver } from '../../src/drivers/runtime/driver.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { backoffMs } from '../../src/loops/effect.ts'
import { deleteDeployment, redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import { cancelOperation } from '../../src/resolvers/operation.ts'
import { testSealing } from '../row.ts'
import { openStage, type Stage, startsOf, until } from './fixture.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

/** A replica whose driver gives that answer to one kind of call, whatever it is. */
const answering = (call: 'ensure' | 'stop' | 'remove' | 'resolveImage', answer: () => unknown) =>
  stage.replica({
    effects: (db, driver) =>
      deploymentEffects(
        db,
        { ...driver, [call]: async () => answer() as Outcome<never> } as RuntimeDriver,
        testSealing,
      ),
  })

/** Makes waiting work due again and again, until the condition holds: failures without their back-off. */
const hurried = (condition: () => Promise<void>) =>
  until(async () => {
    await stage.dueNow()
    await condition()
  })

test('back-off: full jitter below a bound that doubles from 0.5 s and stays at 60 s', () => {
  const bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
  bounds.forEach((bound, failures) => {
    expect(backoffMs(failures, () => 0)).toBe(0)
    expect(backoffMs(failures, () => 0.5)).toBe(bound / 2)
    expect(backoffMs(failures, () => 1)).toBe(bound)
  })
  expect(backoffMs(1_000_000, () => 1)).toBe(60_000)
})

test('R71 what fails is due again within its back-off, and counts', async () => {
  const id = await stage.deploy()
  await stage.beneath((sql) => sql`update operation set failures = 4 where subject_id = ${id}`)
  const { driver, dispatcher } = stage.replica()
  driver.faultNext('resolveImage', { kind: 'unreachable' }, 100)
  await until(async () => expect((await stage.operations(id))[0]?.failures).toBeGreaterThan(4))
  await dispatcher.drain(0)
  const [row] = await stage.operations(id)
  expect(row?.outcome).toMatch(/^unreachable: /)
  expect(row?.dueInMs).toBeLessThanOrEqual(500 * 2 ** ((row?.failures ?? 0) - 1))
})

test('failures of a roll-out are bounded: the deployment is FAILED and says why', async () => {
  const { driver } = stage.replica()
  driver.faultNext('resolveImage', { kind: 'unreachable' }, 100)
  const id = await stage.deploy()
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('FAILED'))
  expect((await stage.deployment(id)).stateReason).toMatch(/^gave up after 8 failures; the last one: unreachable: /)
  expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 8 }])
})

test.each(['stop', 'remove'] as const)('R72 %s never runs out of tries', async (call) => {
  const { driver } = stage.replica()
  const id = await stage.deploy()
  await stage.reaches(id, 'HEALTHY')
  driver.faultNext(call, { kind: 'unreachable' }, 5)
  driver.faultNext(call, { kind: 'refuse', reason: 'the name is not ours' }, 5)
  driver.faultNext(call, { kind: 'unknown', done: false }, 5)
  await (call === 'stop' ? stopDeployment : deleteDeployment)(stage.context, { id })
  await hurried(async () => expect((await stage.operations(id)).at(-1)?.state).toBe('SUCCEEDED'))
  expect((await stage.operations(id)).at(-1)).toMatchObject({ attempt: 16, failures: 15 })
  expect((await stage.deployment(id)).state).toBe(call === 'stop' ? 'STOPPED' : 'DELETED')
  expect(stage.driver.liveRuns()).toEqual([])
})

test('R71 what kills every worker that takes it is given up', async () => {
  const id = await stage.deploy()
  await stage.beneath(
    (
      sql,
    ) => sql`update operation set state = 'RUNNING', claim_token = 'dead', claimed_by = 'dead', attempt = 8, failures = 7,
      due_at = now() - interval '1 second' where subject_id = ${id}`,
  )
  stage.replica()
  expect((await stage.reaches(id, 'FAILED')).stateReason).toMatch(/gave up after 8 failures; .*worker died/)
  // Nothing is started any more; what may run all the same is stopped.
  expect(stage.driver.log().map(({ call }) => call)).toEqual(['stop'])
})

test('R71 one item that crashes at every try waits for its turn between two, and the others of its batch are done at once', async () => {
  const poisoned = await stage.deploy({ image: 'poison' })
  const others = await Promise.all(Array.from({ length: 20 }, () => stage.deploy()))
  const { dispatcher } = stage.replica({
    effects: (db, driver) => {
      const resolveImage: typeof driver.resolveImage = (image, signal) =>
        image === 'poison' ? Promise.reject(new Error('crashed')) : driver.resolveImage(image, signal)
      return deploymentEffects(db, { ...driver, resolveImage }, testSealing)
    },
  })
  for (const id of others) await stage.reaches(id, 'HEALTHY')
  await until(async () => expect((await stage.operations(poisoned))[0]?.failures).toBeGreaterThan(0))
  await dispatcher.drain(1_000)
  const [row] = await stage.operations(poisoned)
  // Its back-off grows with each try: what is not hurried does not burn its tries in the time that the others take.
  expect(row?.failures).toBeLessThan(8)
  expect(row?.attempt).toBe(row?.failures)
  expect((await stage.deployment(poisoned)).state).toBe('BUILDING')
})

test('what is given up after it may have started leaves nothing running', async () => {
  const { driver } = stage.replica()
  driver.faultNext('ensure', { kind: 'unknown', done: true }, 100)
  driver.faultNext('observe', { kind: 'unreachable' }, 100)
  const id = await stage.deploy()
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('FAILED'))
  expect(startsOf(stage.driver, id)).toBe(1)
  expect(stage.driver.liveRuns()).toEqual([])
})

test('a roll-out that is refused stops what ran before it: FAILED means that nothing runs', async () => {
  const { driver } = stage.replica()
  const id = await stage.deploy()
  await stage.reaches(id, 'HEALTHY')
  driver.faultNext('resolveImage', { kind: 'refuse', reason: 'there is no such image' })
  await redeployDeployment(stage.context, { id })
  expect((await stage.reaches(id, 'FAILED')).stateReason).toContain('there is no such image')
  expect(stage.driver.liveRuns()).toEqual([])
})

test('a roll-out that has begun and waits to be tried again cannot be cancelled', async () => {
  const { driver } = stage.replica()
  driver.faultNext('ensure', { kind: 'unreachable' }, 1)
  const id = await stage.deploy()
  await until(async () => expect((await stage.operations(id))[0]).toMatchObject({ attempt: 1, state: 'PENDING' }))
  const [work] = await stage.operations(id)
  const answer = await cancelOperation(stage.context, { id: String(work?.id) })
  expect(answer).toMatchObject({
    refusal: 'IllegalState',
    remedies: [{ query: 'operation' }, { mutation: 'stopDeployment' }],
  })
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
})

describe('an unknown outcome', () => {
  test('that did happen is adopted: no second start', async () => {
    const { driver } = stage.replica()
    // The first answer of ensure is "working"; the one that would be "done" is lost.
    driver.faultNext('ensure', { kind: 'unknown', done: true }, 2)
    const id = await stage.deploy()
    await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
    expect(startsOf(stage.driver, id)).toBe(1)
    const calls = stage.driver.log().map(({ call, result }) => `${call} ${result}`)
    expect(calls.slice(1)).toEqual(['ensure unknown', 'observe done', 'ensure unknown', 'observe done'])
  })

  test('that did not happen is done, once', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: false })
    const id = await stage.deploy()
    await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
    expect(startsOf(stage.driver, id)).toBe(1)
  })

  test('is not done again while it cannot be observed', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: true })
    driver.faultNext('observe', { kind: 'unreachable' }, 2)
    driver.faultNext('observe', { kind: 'throw' }, 1)
    const id = await stage.deploy()
    await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
    const calls = stage.driver.log().flatMap(({ call, result }) => (call === 'resolveImage' ? [] : `${call} ${result}`))
    expect(calls.slice(0, 5)).toEqual([
      'ensure unknown',
      'observe unreachable',
      'observe unreachable',
      'observe thrown',
      'observe done',
    ])
    expect((await stage.operations(id))[0]).toMatchObject({ failures: 4, state: 'SUCCEEDED' })
  })

  test('that is followed by the lie "absent" starts nothing twice', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: true })
    driver.faultNext('observe', { kind: 'lieAbsent' })
    const id = await stage.deploy()
    await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
    expect(startsOf(stage.driver, id)).toBe(1)
  })
})

test('a driver that hangs is given up at its time; what came of it is looked at', async () => {
  const { driver } = stage.replica({ timing: { callTimeoutMs: 1_000 } })
  driver.faultNext('ensure', { kind: 'hang', done: true })
  const id = await stage.deploy()
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
  expect(startsOf(stage.driver, id)).toBe(1)
  expect((await stage.operations(id))[0]).toMatchObject({ attempt: 2, failures: 1 })
})

test('a driver that does not even hear the signal is given up at its time', async () => {
  const { driver } = stage.replica({ timing: { callTimeoutMs: 1_000 } })
  const gate = driver.pauseBefore('ensure', undefined, { deaf: true })
  const id = await stage.deploy()
  await stage.work(id, 'UNKNOWN')
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('HEALTHY'))
  gate.release()
  await until(() => expect(stage.driver.log().at(-1)?.result).toBe('stale'))
  expect(startsOf(stage.driver, id)).toBe(1)
})

test.each([
  ['nothing', () => undefined],
  ['a kind that is not known', () => ({ kind: 'finished', value: { instanceId: 'i', url: 'u' } })],
  ['a name that every object has', () => ({ kind: 'toString' })],
  ['an error', () => Promise.reject(new Error('broken'))],
])('a driver that answers %s has an unknown outcome', async (_what, answer) => {
  // It is not tried again before we come to look.
  await stage.sql.unsafe(`
    create function later() returns trigger language plpgsql as $$ begin new.due_at = now() + interval '1 hour'; return new; end $$;
    create trigger later before update on operation for each row when (new.state = 'UNKNOWN') execute function later()`)
  const { lines } = answering('ensure', answer)
  const id = await stage.deploy()
  expect(await stage.work(id, 'UNKNOWN')).toMatchObject({ outcome: 'the driver failed without an answer', failures: 1 })
  expect((await stage.deployment(id)).state).toBe('DEPLOYING')
  expect(lines.join()).toMatch(/a driver gave no answer/)
})

test.each([
  ['done without a value', () => ({ kind: 'done' })],
  ['done without its facts', () => ({ kind: 'done', value: { instanceId: 7, url: undefined } })],
])('a driver that says %s does not make a deployment healthy', async (_what, answer) => {
  answering('ensure', answer)
  const id = await stage.deploy()
  await until(async () => expect((await stage.operations(id))[0]?.failures).toBeGreaterThan(0))
  expect((await stage.deployment(id)).state).toBe('DEPLOYING')
  await hurried(async () => expect((await stage.deployment(id)).state).toBe('FAILED'))
})

test('a reason that the database cannot store is stored without what it cannot', async () => {
  answering('ensure', () => ({ kind: 'refused', reason: `no\0pe \ud800 ${'x'.repeat(100_000)}` }))
  const id = await stage.deploy()
  const { stateReason } = await stage.reaches(id, 'FAILED')
  expect(stateReason).toMatch(/^nope \ufffd x+$/)
  expect(stateReason?.length).toBe(2_000)
})

test('a roll-out that is refused has failed at once, with the reason', async () => {
  stage.replica()
  const id = await stage.deploy({ image: 'unhealthy' })
  expect(await stage.reaches(id, 'FAILED')).toMatchObject({ stateReason: 'GET /healthz answered 500 for 10 s' })
  expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 1, failures: 0 }])
})
