// What every provisioner must do, the fake one too. A provisioner's own test file gives the harness: how to make instances of
// it on one and the same provider, how a client connects, and how to look at the provider past the provisioner.
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Fence, Outcome } from '../../src/drivers/outcome.ts'
import type { Provisioner, ResourceRef, ResourceSpec } from '../../src/drivers/provision/driver.ts'

export interface ProvisionClient {
  write(text: string): Promise<void>
  /** What was written last, by whatever client; null when there is nothing. */
  read(): Promise<string | null>
  /** Settles when the session has ended, whoever ended it. */
  readonly ended: Promise<void>
  end(): Promise<void>
}

export interface ProvisionHarness {
  /** A fresh instance on the same provider: another replica, or the same one restarted. */
  provisioner(): Provisioner
  /** Rejects when it is not let in. */
  connect(url: string): Promise<ProvisionClient>
  /** Whether anything carries the incarnation: names, data, all but the fence. */
  exists(ref: ResourceRef): Promise<boolean>
  /** Somebody else makes a thing of that name. */
  plantForeign(ref: ResourceRef): Promise<void>
  dispose(): Promise<void>
}

/** A signal that is never aborted. */
export const calm = new AbortController().signal
const hex = (bytes: number): string => randomBytes(bytes).toString('hex')
export const newRef = (): ResourceRef => ({ subjectId: `res_${hex(6)}`, incarnation: hex(12) })
export const newPassword = (): string => hex(24)
export const specOf = (ref: ResourceRef, password = newPassword()) => ({ ...ref, name: 'tested', password })
export const fenceOf = (
  ref: ResourceRef,
  generation: number,
  operationId = `op-${generation}`,
  attempt = 1,
): Fence => ({ operationId, attempt, subjectId: ref.subjectId, generation })

/** Asks again as the provisioner says until it has an answer other than `working`. */
export async function settle<T>(ask: () => Promise<Outcome<T>>): Promise<Exclude<Outcome<T>, { kind: 'working' }>> {
  const giveUpAt = Date.now() + 30_000
  for (;;) {
    const outcome = await ask()
    if (outcome.kind !== 'working') return outcome
    if (Date.now() > giveUpAt) throw new Error(`still working: ${outcome.detail}`)
    await delay(outcome.askAgainAfterMs)
  }
}

/** The value of what is done; fails on any other answer. */
export async function doneValue<T>(asked: Promise<Outcome<T>>): Promise<T> {
  const outcome = await asked
  if (outcome.kind !== 'done') throw new Error(`not done: ${JSON.stringify(outcome)}`)
  return outcome.value
}

export const doneNull = { kind: 'done', value: null } as const

/** Declares the suite for one provisioner. */
export function provisionConformance(name: string, make: () => Promise<ProvisionHarness>): void {
  describe(`${name}: conformance`, () => {
    let harness: ProvisionHarness
    let driver: Provisioner
    beforeAll(async () => {
      harness = await make()
      driver = harness.provisioner()
    })
    afterAll(() => harness?.dispose())

    const provision = (spec: ResourceSpec, fence: Fence, by = driver) => settle(() => by.provision(spec, fence, calm))
    const remove = (ref: ResourceRef, fence: Fence, by = driver) => settle(() => by.deprovision(ref, fence, calm))
    const observe = (ref: ResourceRef) => doneValue(driver.observe(ref, calm))
    const refused = (url: string) => expect(harness.connect(url)).rejects.toThrow()
    const enter = async (url: string) => {
      const client = await harness.connect(url)
      const text = await client.read()
      await client.end()
      return text
    }

    test('a whole life: made, written to, paused, resumed, rotated, removed', async () => {
      const ref = newRef()
      const first = specOf(ref)
      const { url } = await doneValue(driver.provision(first, fenceOf(ref, 1), calm))
      expect(await observe(ref)).toMatchObject({ state: 'active', generation: 1 })
      expect((await doneValue(driver.listOwned(calm))).filter(({ subjectId }) => subjectId === ref.subjectId)).toEqual([
        { ...ref, generation: 1 },
      ])
      const writer = await harness.connect(url)
      await writer.write('kept')

      expect(await driver.pause(ref, fenceOf(ref, 2), calm)).toEqual(doneNull)
      await writer.ended
      await refused(url)
      expect(await observe(ref)).toMatchObject({ state: 'paused', generation: 2 })
      expect(await driver.pause(ref, fenceOf(ref, 2), calm)).toEqual(doneNull)

      expect(await driver.resume(ref, fenceOf(ref, 3), calm)).toEqual(doneNull)
      const reader = await harness.connect(url)
      expect(await reader.read()).toBe('kept')
      expect(await driver.resume(ref, fenceOf(ref, 3), calm)).toEqual(doneNull)
      expect(await reader.read()).toBe('kept')

      const second = specOf(ref)
      const rotated = await doneValue(driver.rotate(second, fenceOf(ref, 3, 'op-rotate'), calm))
      await reader.ended
      await refused(url)
      const later = await harness.connect(rotated.url)
      expect(await later.read()).toBe('kept')
      expect(await doneValue(driver.rotate(second, fenceOf(ref, 3, 'op-rotate', 2), calm))).toEqual(rotated)
      expect(await later.read()).toBe('kept')

      expect(await remove(ref, fenceOf(ref, 4))).toEqual(doneNull)
      await later.ended
      await refused(rotated.url)
      expect(await observe(ref)).toEqual({ state: 'absent' })
      expect(await harness.exists(ref)).toBe(false)
      expect((await doneValue(driver.listOwned(calm))).filter(({ subjectId }) => subjectId === ref.subjectId)).toEqual(
        [],
      )
      expect(await remove(ref, fenceOf(ref, 4))).toEqual(doneNull)
    })

    test('provision asked again, by a higher attempt or by another replica, is the same resource', async () => {
      const ref = newRef()
      const spec = specOf(ref)
      const first = await doneValue(driver.provision(spec, fenceOf(ref, 1), calm))
      const client = await harness.connect(first.url)
      await client.write('still here')
      expect(await doneValue(driver.provision(spec, fenceOf(ref, 1), calm))).toEqual(first)
      expect(await doneValue(harness.provisioner().provision(spec, fenceOf(ref, 1, 'op-1', 2), calm))).toEqual(first)
      expect(await client.read()).toBe('still here')
      await client.end()
    })

    test('R24 provisioners that race make one resource, and each one that is done has its right password', async () => {
      const ref = newRef()
      const spec = specOf(ref)
      const replicas = Array.from({ length: 4 }, () => harness.provisioner())
      const answers = await Promise.all(replicas.map((replica) => provision(spec, fenceOf(ref, 1), replica)))
      for (const answer of answers) expect(answer).toMatchObject({ kind: 'done' })
      await enter(await doneValue(provision(spec, fenceOf(ref, 1))).then(({ url }) => url))
    })

    test('R03 R48 a lower generation, a lower attempt and an operation that was followed are stale', async () => {
      const ref = newRef()
      const spec = specOf(ref)
      const { url } = await doneValue(driver.provision(spec, fenceOf(ref, 2, 'op-a', 3), calm))
      const late = [fenceOf(ref, 1, 'op-z', 9), fenceOf(ref, 2, 'op-a', 2)]
      await doneValue(driver.rotate(spec, fenceOf(ref, 2, 'op-b'), calm))
      for (const fence of [...late, fenceOf(ref, 2, 'op-a', 4)]) {
        expect(await driver.provision(specOf(ref), fence, calm)).toMatchObject({ kind: 'stale' })
        expect(await driver.pause(ref, fence, calm)).toMatchObject({ kind: 'stale' })
        expect(await driver.resume(ref, fence, calm)).toMatchObject({ kind: 'stale' })
        expect(await driver.rotate(specOf(ref), fence, calm)).toMatchObject({ kind: 'stale' })
        expect(await driver.deprovision(ref, fence, calm)).toMatchObject({ kind: 'stale' })
      }
      expect(await observe(ref)).toMatchObject({ state: 'active', generation: 2 })
      await enter(url)
    })

    test('R61 a provision that comes after the removal is stale, and nothing is made', async () => {
      const ref = newRef()
      const spec = specOf(ref)
      await doneValue(driver.provision(spec, fenceOf(ref, 1), calm))
      expect(await remove(ref, fenceOf(ref, 2))).toEqual(doneNull)
      expect(await driver.provision(spec, fenceOf(ref, 1, 'op-1', 2), calm)).toMatchObject({ kind: 'stale' })
      expect(await driver.provision(spec, fenceOf(ref, 2, 'op-x'), calm)).toMatchObject({ kind: 'stale' })
      for (const call of ['pause', 'resume'] as const) {
        expect(await driver[call](ref, fenceOf(ref, 3), calm)).toMatchObject({ kind: 'stale' })
      }
      expect(await driver.rotate(spec, fenceOf(ref, 3), calm)).toMatchObject({ kind: 'stale' })
      expect(await harness.exists(ref)).toBe(false)
    })

    test('R17 removals and provisions that race leave nothing, whoever comes last', async () => {
      const ref = newRef()
      const spec = specOf(ref)
      const calls = Array.from({ length: 6 }, (_, index) => {
        const replica = harness.provisioner()
        return index % 2 === 0 ? provision(spec, fenceOf(ref, 1), replica) : remove(ref, fenceOf(ref, 2), replica)
      })
      for (const [index, answer] of (await Promise.all(calls)).entries()) {
        if (index % 2 === 0) expect(['done', 'stale']).toContain(answer.kind)
        else expect(answer).toEqual(doneNull)
      }
      expect(await harness.exists(ref)).toBe(false)
      expect(await observe(ref)).toEqual({ state: 'absent' })
    })

    test('what never was: removing is done and fences, observing is absent, changing is refused', async () => {
      const ref = newRef()
      expect(await observe(ref)).toEqual({ state: 'absent' })
      expect(await driver.pause(ref, fenceOf(ref, 1), calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.resume(ref, fenceOf(ref, 1), calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.rotate(specOf(ref), fenceOf(ref, 1), calm)).toMatchObject({ kind: 'refused' })
      expect(await remove(ref, fenceOf(ref, 2))).toEqual(doneNull)
      expect(await driver.provision(specOf(ref), fenceOf(ref, 1), calm)).toMatchObject({ kind: 'stale' })
      expect(await harness.exists(ref)).toBe(false)
    })

    test('a failed one that was removed can be made again by a higher generation', async () => {
      const ref = newRef()
      await doneValue(driver.provision(specOf(ref), fenceOf(ref, 1), calm))
      expect(await remove(ref, fenceOf(ref, 1))).toEqual(doneNull)
      const { url } = await doneValue(driver.provision(specOf(ref), fenceOf(ref, 2), calm))
      expect(await enter(url)).toBe(null)
      expect(await driver.deprovision(ref, fenceOf(ref, 1, 'op-1', 7), calm)).toMatchObject({ kind: 'stale' })
      await enter(url)
    })

    test('R92 a name that was not made here is refused and never touched', async () => {
      const ref = newRef()
      await harness.plantForeign(ref)
      for (const outcome of [
        await driver.provision(specOf(ref), fenceOf(ref, 1), calm),
        await driver.pause(ref, fenceOf(ref, 2), calm),
        await driver.resume(ref, fenceOf(ref, 3), calm),
        await driver.rotate(specOf(ref), fenceOf(ref, 4), calm),
        await driver.deprovision(ref, fenceOf(ref, 5), calm),
        await driver.observe(ref, calm),
      ]) {
        expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining('did not make') })
      }
      expect(await harness.exists(ref)).toBe(true)
      const owned = await doneValue(driver.listOwned(calm))
      expect(owned.filter(({ incarnation }) => incarnation === ref.incarnation)).toEqual([])
    })

    test('what belongs to another subject is refused', async () => {
      const ref = newRef()
      const { url } = await doneValue(driver.provision(specOf(ref), fenceOf(ref, 1), calm))
      const thief = { ...ref, subjectId: 'res_thief' }
      expect(await driver.deprovision(thief, fenceOf(thief, 9), calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.rotate(specOf(thief), fenceOf(thief, 9), calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.deprovision(ref, fenceOf(thief, 9), calm)).toMatchObject({ kind: 'refused' })
      await enter(url)
    })

    test('names and passwords that could mean more than themselves are refused', async () => {
      const ref = newRef()
      for (const incarnation of ['', 'short', `x"; DROP DATABASE postgres`, 'a:b:c:d:e', '********', '../../etc']) {
        const bad = { ...ref, incarnation }
        expect(await driver.provision(specOf(bad), fenceOf(bad, 1), calm)).toMatchObject({ kind: 'refused' })
        expect(await driver.deprovision(bad, fenceOf(bad, 1), calm)).toMatchObject({ kind: 'refused' })
        expect(await driver.observe(bad, calm)).toMatchObject({ kind: 'refused' })
      }
      for (const password of ['', 'short', `${newPassword()}'`, `${newPassword()} nopass`]) {
        expect(await driver.provision(specOf(ref, password), fenceOf(ref, 1), calm)).toMatchObject({ kind: 'refused' })
      }
      expect(await harness.exists(ref)).toBe(false)
    })

    test('a call whose signal is aborted does nothing and says so', async () => {
      const ref = newRef()
      const aborted = AbortSignal.abort()
      for (const outcome of await Promise.all([
        driver.provision(specOf(ref), fenceOf(ref, 1), aborted),
        driver.observe(ref, aborted),
        driver.pause(ref, fenceOf(ref, 1), aborted),
        driver.resume(ref, fenceOf(ref, 1), aborted),
        driver.rotate(specOf(ref), fenceOf(ref, 1), aborted),
        driver.deprovision(ref, fenceOf(ref, 1), aborted),
        driver.listOwned(aborted),
      ])) {
        expect(outcome.kind).toBe('unreachable')
      }
      expect(await harness.exists(ref)).toBe(false)
    })

    test('what is writable already stays as it is, sessions too, under the fence', async () => {
      const ref = newRef()
      const { url } = await doneValue(driver.provision(specOf(ref), fenceOf(ref, 2), calm))
      const client = await harness.connect(url)
      expect(await driver.setWritable(ref, true, fenceOf(ref, 3), calm)).toEqual(doneNull)
      await client.write('still here')
      expect(await driver.setWritable(ref, true, fenceOf(ref, 2), calm)).toMatchObject({ kind: 'stale' })
      await client.end()
      await doneValue(driver.pause(ref, fenceOf(ref, 4), calm))
      expect(await driver.setWritable(ref, true, fenceOf(ref, 4), calm)).toEqual(doneNull)
      expect(await observe(ref)).toMatchObject({ state: 'paused' })
      await refused(url)
    })

    test('R74 a rotation of a paused resource leaves it paused', async () => {
      const ref = newRef()
      await doneValue(driver.provision(specOf(ref), fenceOf(ref, 1), calm))
      await doneValue(driver.pause(ref, fenceOf(ref, 2), calm))
      const { url } = await doneValue(driver.rotate(specOf(ref), fenceOf(ref, 3), calm))
      expect(await observe(ref)).toMatchObject({ state: 'paused' })
      await refused(url)
      await doneValue(driver.resume(ref, fenceOf(ref, 4), calm))
      await enter(url)
    })
  })
}
