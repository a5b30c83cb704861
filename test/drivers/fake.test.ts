// The fake driver: the contract, then what tests order of it.
import { describe, expect, test } from 'vitest'
import { createFakeDriver } from '../../src/drivers/runtime/fake.ts'
import { calm, eventually, fenceOf, newRef, run, runtimeConformance, settle, specOf } from './runtime.conformance.ts'

runtimeConformance('fake driver', async () => {
  const first = createFakeDriver()
  return {
    images: { healthy: 'hello', unhealthy: 'unhealthy', crashing: 'crashing', unknown: 'unknown-image' },
    driver: () => first.another(),
    crash: async (ref) => first.crash(ref),
    countRuns: async (ref) => (first.liveRun(ref) === null ? 0 : 1),
    dispose: async () => {},
  }
})

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
    expect(await driver.observeInstance(ref, instanceId, calm)).toBe('gone')
    expect(await driver.listOwned(calm)).toEqual({ kind: 'done', value: [] })
    expect(await driver.observeInstance(ref, instanceId, calm)).toBe('running')
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
