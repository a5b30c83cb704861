// The fake provisioner: the contract, then what tests order of it.
import { describe, expect, test } from 'vitest'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { calm, doneValue, fenceOf, newRef, provisionConformance, specOf } from './provision.conformance.ts'

provisionConformance('fake provisioner', async () => {
  const first = createFakeProvisioner()
  return {
    provisioner: () => first.another(),
    async connect(url) {
      const session = first.world.connect(url)
      return {
        write: async (text) => void session.data.set('text', text),
        read: async () => session.data.get('text') ?? null,
        get ended() {
          return session.alive ? Promise.reject(new Error('the session lives')) : Promise.resolve()
        },
        end: async () => {},
      }
    },
    exists: async (ref) => first.world.exists(ref),
    plantForeign: async (ref) => first.world.plantForeign(ref),
    dispose: async () => {},
  }
})

describe('fake provisioner: gates', () => {
  test('a call waits before its effect; released too late it meets the fence', async () => {
    const driver = createFakeProvisioner()
    const ref = newRef()
    const gate = driver.pauseBefore('provision')
    const late = driver.provision(specOf(ref), fenceOf(ref, 1), calm)
    expect(await gate.reached).toEqual({ call: 'provision', ref, fence: fenceOf(ref, 1) })
    await doneValue(driver.deprovision(ref, fenceOf(ref, 2), calm))
    gate.release()
    expect(await late).toMatchObject({ kind: 'stale' })
    expect(driver.log().map(({ call, result, effects }) => [call, result, effects.length])).toEqual([
      ['deprovision', 'done', 0],
      ['provision', 'stale', 0],
    ])
  })

  test('a call waits after its effect, which is there and in the log, without the password', async () => {
    const driver = createFakeProvisioner()
    const ref = newRef()
    const gate = driver.pauseAfter('provision')
    const answer = driver.provision(specOf(ref, 'canary0canary0canary0canary0'), fenceOf(ref, 1), calm)
    await gate.reached
    expect(driver.world.exists(ref)).toBe(true)
    expect(driver.log().at(-1)?.effects).toEqual([{ effect: 'made', incarnation: ref.incarnation }])
    expect(JSON.stringify(driver.log())).not.toContain('canary0')
    gate.release()
    expect((await answer).kind).toBe('done')
  })

  test('a call aborted at the gate does nothing, a deaf one acts all the same', async () => {
    const driver = createFakeProvisioner()
    for (const deaf of [false, true]) {
      const ref = newRef()
      const abort = new AbortController()
      const gate = driver.pauseBefore('provision', undefined, { deaf })
      const answer = driver.provision(specOf(ref), fenceOf(ref, 1), abort.signal)
      await gate.reached
      abort.abort()
      gate.release()
      expect((await answer).kind).toBe(deaf ? 'done' : 'unreachable')
      expect(driver.world.exists(ref)).toBe(deaf)
    }
  })

  test('onCall parks every call before and after', async () => {
    const seen: string[] = []
    const driver = createFakeProvisioner({ onCall: (when, { call }) => void seen.push(`${when} ${call}`) })
    await driver.observe(newRef(), calm)
    expect(seen).toEqual(['before observe', 'after observe'])
  })
})

describe('fake provisioner: faults', () => {
  test('unreachable, working, refused and thrown do nothing; each is for the ordered number of calls', async () => {
    const driver = createFakeProvisioner()
    const ref = newRef()
    const ask = () => driver.provision(specOf(ref), fenceOf(ref, 1), calm)
    driver.faultNext('provision', { kind: 'unreachable' }, 2)
    driver.faultNext('provision', { kind: 'working', askAgainAfterMs: 5 })
    driver.faultNext('provision', { kind: 'refuse', reason: 'No room' })
    driver.faultNext('provision', { kind: 'throw' })
    expect((await ask()).kind).toBe('unreachable')
    expect((await ask()).kind).toBe('unreachable')
    expect(await ask()).toMatchObject({ kind: 'working', askAgainAfterMs: 5 })
    expect(await ask()).toEqual({ kind: 'refused', reason: 'No room' })
    await expect(ask()).rejects.toThrow('told to throw')
    expect(driver.world.exists(ref)).toBe(false)
    expect((await ask()).kind).toBe('done')
  })

  test('unknown: done or not, observing tells', async () => {
    const driver = createFakeProvisioner()
    for (const done of [true, false]) {
      const ref = newRef()
      driver.faultNext('provision', { kind: 'unknown', done })
      expect((await driver.provision(specOf(ref), fenceOf(ref, 1), calm)).kind).toBe('unknown')
      expect(await driver.observe(ref, calm)).toMatchObject({ value: { state: done ? 'active' : 'absent' } })
    }
  })

  test('hang and slow end with the abort', async () => {
    const driver = createFakeProvisioner()
    const ref = newRef()
    const abort = new AbortController()
    driver.faultNext('provision', { kind: 'hang', done: true })
    driver.faultNext('deprovision', { kind: 'slow', delayMs: 60_000 })
    const hung = driver.provision(specOf(ref), fenceOf(ref, 1), abort.signal)
    const slow = driver.deprovision(ref, fenceOf(ref, 2), abort.signal)
    await expect.poll(() => driver.world.exists(ref)).toBe(true)
    abort.abort()
    expect((await hung).kind).toBe('unknown')
    expect((await slow).kind).toBe('unreachable')
    expect(driver.world.exists(ref)).toBe(true)
  })

  test('a lie hides what is there, and already gone is done', async () => {
    const driver = createFakeProvisioner()
    const ref = newRef()
    await doneValue(driver.provision(specOf(ref), fenceOf(ref, 1), calm))
    for (const call of ['observe', 'listOwned'] as const) driver.faultNext(call, { kind: 'lieAbsent' })
    expect(await driver.observe(ref, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
    expect(await driver.listOwned(calm)).toEqual({ kind: 'done', value: [] })
    driver.faultNext('deprovision', { kind: 'alreadyGone' })
    expect(await driver.deprovision(ref, fenceOf(ref, 2), calm)).toEqual({ kind: 'done', value: null })
    expect(driver.log().at(-1)?.effects).toEqual([])
  })

  test('one that is unavailable refuses every call with its sentence', async () => {
    const driver = createFakeProvisioner({ type: 'REDIS', unavailable: 'REDIS resources need a server' })
    const ref = newRef()
    expect(driver.unavailable).toBe('REDIS resources need a server')
    const outcome = await driver.provision(specOf(ref), fenceOf(ref, 1), calm)
    expect(outcome).toEqual({ kind: 'refused', reason: 'REDIS resources need a server' })
  })

  test('clear takes back what was ordered and frees who waits', async () => {
    const driver = createFakeProvisioner()
    const gate = driver.pauseBefore('observe')
    driver.faultNext('observe', { kind: 'unreachable' })
    const answer = driver.observe(newRef(), calm)
    await gate.reached
    driver.clear()
    expect((await answer).kind).toBe('done')
  })
})
