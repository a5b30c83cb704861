// The fake driver: the contract in both its suites, then what tests order of it.
import { describe, expect, test } from 'vitest'
import type { WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { createFakeDriver, type FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { calm, eventually, fenceOf, newRef, run, runtimeConformance, settle, specOf } from './runtime.conformance.ts'
import { runtimeAddressConformance } from './runtime-address.conformance.ts'
import { type InstanceHarness, runtimeInstanceConformance } from './runtime-instance.conformance.ts'

async function createHarness(): Promise<InstanceHarness> {
  const first = createFakeDriver()
  return {
    images: { healthy: 'hello', unhealthy: 'unhealthy', crashing: 'crashing', unknown: 'unknown-image' },
    driver: () => first.another(),
    crash: async (ref) => first.crash(ref),
    setHealth: async (ref, health) => first.setHealth(ref, health === 'passes'),
    countRuns: async (ref) => (first.liveRun(ref) === null ? 0 : 1),
    countAddresses: async (ref) => (first.isReserved(ref) ? 1 : 0),
    dispose: async () => {},
  }
}

runtimeConformance('fake driver', createHarness)
runtimeAddressConformance('fake driver', createHarness)
runtimeInstanceConformance('fake driver', createHarness)

describe('fake driver: gates', () => {
  test('a call waits before its effect; released too late it meets the fence', async () => {
    const driver = createFakeDriver({ asksUntilHealthy: 0 })
    const ref = newRef()
    const gate = driver.pauseBefore('ensure', ({ fence }) => fence?.generation === 1)
    const late = driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), calm)
    expect(await gate.reached).toMatchObject({ call: 'ensure', ref, image: 'hello' })
    expect(driver.liveRun(ref)).toBe(null)
    await run(driver, specOf(ref, 'hello'), fenceOf(ref, 2))
    gate.release()
    expect(await late).toMatchObject({ kind: 'stale' })
    expect(driver.log().map(({ fence, result, effects }) => [fence?.generation, result, effects.length])).toEqual([
      [2, 'done', 1],
      [1, 'stale', 0],
    ])
  })

  test('a call waits after its effect, which is there and in the log', async () => {
    const driver = createFakeDriver({ asksUntilHealthy: 0 })
    const ref = newRef()
    const gate = driver.pauseAfter('ensure')
    const answer = driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), calm)
    await gate.reached
    const instanceId = driver.liveRun(ref)?.instanceId
    expect(driver.log().at(-1)?.effects).toEqual([{ effect: 'started', instanceId }])
    gate.release()
    expect(await answer).toMatchObject({ kind: 'done', value: { instanceId } })
  })

  test('a call aborted at the gate does nothing, a deaf one acts all the same', async () => {
    const driver = createFakeDriver()
    for (const deaf of [false, true]) {
      const ref = newRef()
      const abort = new AbortController()
      const gate = driver.pauseBefore('ensure', undefined, { deaf })
      const answer = driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), abort.signal)
      await gate.reached
      abort.abort()
      gate.release()
      expect((await answer).kind).toBe(deaf ? 'working' : 'unreachable')
      expect(driver.liveRun(ref) !== null).toBe(deaf)
    }
  })

  test('reserve waits at gates, is faulted and logged like any other call', async () => {
    const driver = createFakeDriver({ asksUntilHealthy: 0 })
    const ref = newRef()
    const reserve = () => driver.reserve(ref, fenceOf(ref, 1), calm)
    const before = driver.pauseBefore('reserve')
    const after = driver.pauseAfter('reserve')
    const answer = reserve()
    expect(await before.reached).toEqual({ call: 'reserve', ref, fence: fenceOf(ref, 1), image: null })
    expect(driver.isReserved(ref)).toBe(false)
    before.release()
    await after.reached
    expect(driver.isReserved(ref)).toBe(true)
    after.release()
    expect(await answer).toEqual({ kind: 'done', value: { url: `http://${ref.incarnation}.fake.invalid` } })
    driver.faultNext('reserve', { kind: 'unreachable' })
    driver.faultNext('reserve', { kind: 'unknown', done: true })
    const kinds = [await reserve(), await reserve(), await reserve()].map(({ kind }) => kind)
    expect(kinds).toEqual(['unreachable', 'unknown', 'done'])
    await run(driver, specOf(ref, 'hello'), fenceOf(ref, 1))
    expect(driver.log().map(({ call, effects }) => [call, ...effects.map(({ effect }) => effect)])).toEqual([
      ['reserve', 'reserved'],
      ['reserve'],
      ['reserve'],
      ['reserve'],
      ['ensure', 'started'],
    ])
  })

  test('the url of a long incarnation is a host name that DNS allows', async () => {
    const ref = { subjectId: 'stk_1', incarnation: `${'0123456789ab'.repeat(2)}-${'web-'.repeat(15)}abc` }
    const outcome = await createFakeDriver().reserve(ref, fenceOf(ref, 1), calm)
    const labels = outcome.kind === 'done' ? new URL(outcome.value.url).hostname.split('.') : []
    expect(labels.map((label) => label.length)).toEqual([63, 25, 4, 7])
  })

  test('onCall parks every call before and after', async () => {
    const seen: string[] = []
    const driver = createFakeDriver({ onCall: (when, { call }) => void seen.push(`${when} ${call}`) })
    await driver.observe(newRef(), calm)
    expect(seen).toEqual(['before observe', 'after observe'])
  })
})

describe('fake driver: faults', () => {
  test('unreachable, refused and thrown do nothing; each is for the ordered number of calls', async () => {
    const driver = createFakeDriver({ asksUntilHealthy: 0 })
    const ref = newRef()
    const ensure = () => driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), calm)
    driver.faultNext('ensure', { kind: 'unreachable' }, 2)
    driver.faultNext('ensure', { kind: 'refuse', reason: 'No room' })
    driver.faultNext('ensure', { kind: 'throw' })
    expect((await ensure()).kind).toBe('unreachable')
    expect((await ensure()).kind).toBe('unreachable')
    expect(await ensure()).toEqual({ kind: 'refused', reason: 'No room' })
    await expect(ensure()).rejects.toThrow('told to throw')
    expect(driver.liveRun(ref)).toBe(null)
    expect((await ensure()).kind).toBe('done')
    expect(driver.log().map(({ result }) => result)).toEqual([
      'unreachable',
      'unreachable',
      'refused',
      'thrown',
      'done',
    ])
  })

  test('unknown: done or not, observing tells', async () => {
    const driver = createFakeDriver()
    for (const done of [true, false]) {
      const ref = newRef()
      driver.faultNext('ensure', { kind: 'unknown', done })
      expect((await driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), calm)).kind).toBe('unknown')
      const seen = await driver.observe(ref, calm)
      expect(seen).toMatchObject({ value: { state: done ? 'running' : 'absent' } })
    }
  })

  test('hang and slow end with the abort', async () => {
    const driver = createFakeDriver()
    const ref = newRef()
    const abort = new AbortController()
    driver.faultNext('ensure', { kind: 'hang', done: true })
    driver.faultNext('stop', { kind: 'slow', delayMs: 60_000 })
    const hung = driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), abort.signal)
    const slow = driver.stop(ref, fenceOf(ref, 2), abort.signal)
    await eventually(() => driver.liveRun(ref)).not.toBe(null)
    abort.abort()
    expect((await hung).kind).toBe('unknown')
    expect((await slow).kind).toBe('unreachable')
    expect(driver.liveRun(ref)).not.toBe(null)
  })

  test('a lie hides what is there, and already gone is done', async () => {
    const driver = createFakeDriver()
    const ref = newRef()
    const { instanceId } = await run(driver, specOf(ref, 'hello'), fenceOf(ref, 1))
    for (const call of ['observe', 'observeInstance', 'listOwned'] as const)
      driver.faultNext(call, { kind: 'lieAbsent' })
    expect(await driver.observe(ref, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
    expect(await driver.observeInstance(ref, instanceId, calm)).toMatchObject({ state: 'gone' })
    expect(await driver.listOwned(calm)).toEqual({ kind: 'done', value: [] })
    expect(await driver.observeInstance(ref, instanceId, calm)).toMatchObject({ state: 'running' })
    driver.faultNext('stop', { kind: 'alreadyGone' })
    expect(await settle(() => driver.stop(ref, fenceOf(ref, 2), calm))).toEqual({ kind: 'done', value: null })
    expect(driver.log().at(-1)?.effects).toEqual([{ effect: 'ended', instanceId }])
  })

  test('clear takes back what was ordered and frees who waits', async () => {
    const driver = createFakeDriver()
    const gate = driver.pauseBefore('observe')
    driver.faultNext('observe', { kind: 'unreachable' })
    const answer = driver.observe(newRef(), calm)
    await gate.reached
    driver.clear()
    expect((await answer).kind).toBe('done')
  })
})

describe('fake driver: many workloads on several hosts', () => {
  const refs = Array.from({ length: 1000 }, (_, n): WorkloadRef => ({ subjectId: `dep_${n}`, incarnation: `made${n}` }))
  const world = async (seed: number) => {
    const driver = createFakeDriver({
      asksUntilHealthy: 0,
      countOnly: true,
      seed,
      hostOf: ({ subjectId }) => (subjectId.endsWith('0') ? 'bad' : 'good'),
    })
    for (const ref of refs) await driver.ensure(specOf(ref, 'hello'), fenceOf(ref, 1), calm)
    return driver
  }
  const lookAtAll = async (driver: FakeDriver, signal: AbortSignal) => {
    const looks = refs.map((ref) => driver.observeInstance(ref, driver.liveRun(ref)?.instanceId ?? '', signal))
    return (await Promise.all(looks)).map(({ state }) => state)
  }

  test('a share of the calls on one host hangs, the same ones for the same seed, and other hosts answer', async () => {
    const unanswered = await Promise.all(
      [7, 7, 8].map(async (seed) => {
        const driver = await world(seed)
        driver.setHost('bad', { hangShare: 0.5 })
        const states = await lookAtAll(driver, AbortSignal.timeout(50))
        return refs.filter((_, n) => states[n] === 'unknown').map(({ subjectId }) => subjectId)
      }),
    )
    expect(unanswered[0]?.length).toBeGreaterThan(30)
    expect(unanswered[0]?.length).toBeLessThan(70)
    expect(unanswered[0]?.every((id) => id.endsWith('0'))).toBe(true)
    expect(unanswered[1]).toEqual(unanswered[0])
    expect(unanswered[2]).not.toEqual(unanswered[0])
  })

  test('a host that is slow is as slow as it was told; calls are counted, and those that changed something written down', async () => {
    const driver = await world(1)
    driver.setHost('bad', { delayMs: 60_000 })
    const states = await lookAtAll(driver, AbortSignal.timeout(50))
    expect(states.filter((state) => state === 'unknown')).toHaveLength(100)
    expect(driver.counts()).toEqual({
      'ensure done': 1000,
      'observeInstance running': 900,
      'observeInstance unknown': 100,
    })
    expect(driver.log().map(({ call, effects }) => [call, effects.length])).toEqual(refs.map(() => ['ensure', 1]))
  })

  test('a share of the runs crashes, the same ones for the same seed', async () => {
    const [one, same] = [await world(7), await world(7)]
    const lost = one.crashShare(0.1)
    expect(lost.length).toBeGreaterThan(70)
    expect(lost.length).toBeLessThan(130)
    expect(same.crashShare(0.1).map(({ subjectId }) => subjectId)).toEqual(lost.map(({ subjectId }) => subjectId))
    expect(one.liveRuns()).toHaveLength(1000 - lost.length)
  })
})
