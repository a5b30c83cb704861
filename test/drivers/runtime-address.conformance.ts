// What every runtime driver must do with the address of a workload, which is known before anything runs, and with
// several workloads of one subject, as the services of a stack are. Harness and helpers are those of the first suite.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Fence } from '../../src/drivers/outcome.ts'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { calm, fenceOf, newRef, type RuntimeHarness, run, settle, specOf } from './runtime.conformance.ts'

/** One workload per name, all of one subject and one making: `<24 hex>-<name>`. */
function serviceRefs(...names: string[]): WorkloadRef[] {
  const hex = (digits: number) => crypto.randomUUID().replaceAll('-', '').slice(0, digits)
  const [subjectId, making] = [`stk_${hex(26)}`, hex(24)]
  return names.map((name) => ({ subjectId, incarnation: `${making}-${name}` }))
}

/** Declares the suite for one driver. */
export function runtimeAddressConformance(name: string, make: () => Promise<RuntimeHarness>): void {
  describe(`${name}: address conformance`, () => {
    let harness: RuntimeHarness
    let driver: RuntimeDriver
    beforeAll(async () => {
      harness = await make()
      driver = harness.driver()
    })
    afterAll(() => harness.dispose())

    const healthy = (ref: WorkloadRef) => specOf(ref, harness.images.healthy)
    const ask = (ref: WorkloadRef, fence: Fence, by = driver) => settle(() => by.reserve(ref, fence, calm))
    const reserve = async (ref: WorkloadRef, fence: Fence, by = driver) => {
      const outcome = await ask(ref, fence, by)
      if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind} ${outcome.reason}`)
      return outcome.value.url
    }
    const stop = (ref: WorkloadRef, fence: Fence) => settle(() => driver.stop(ref, fence, calm))
    const remove = (ref: WorkloadRef, fence: Fence) => settle(() => driver.remove(ref, fence, calm))
    const owned = async (ref: WorkloadRef) => {
      const outcome = await driver.listOwned(calm)
      if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind}`)
      return outcome.value.filter(({ incarnation }) => incarnation === ref.incarnation)
    }

    test('an address is known before anything runs, the run answers at it, and remove gives it back', async () => {
      const ref = newRef()
      const url = await reserve(ref, fenceOf(ref, 1))
      expect(new URL(url).href).toBe(`${url}/`)
      expect(await harness.countRuns(ref)).toBe(0)
      expect(await driver.observe(ref, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
      expect(await owned(ref)).toEqual([{ ...ref, instanceId: null, generation: 1, startedAt: null }])
      const made = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(made.url).toBe(url)
      expect(await driver.observe(ref, calm)).toMatchObject({ value: { state: 'running', url } })
      expect(await harness.countAddresses(ref)).toBe(1)
      expect(await remove(ref, fenceOf(ref, 2))).toMatchObject({ kind: 'done' })
      expect(await harness.countAddresses(ref)).toBe(0)
    })

    test('reserve asked again is the same address: by another replica, while it runs, stopped, and across runs', async () => {
      const ref = newRef()
      const url = await reserve(ref, fenceOf(ref, 1))
      expect(await reserve(ref, fenceOf(ref, 1))).toBe(url)
      expect(await reserve(ref, fenceOf(ref, 1, 'op-1', 2), harness.driver())).toBe(url)
      const first = await run(harness.driver(), healthy(ref), fenceOf(ref, 1, 'op-1', 2))
      expect(await reserve(ref, fenceOf(ref, 1, 'op-1', 2), harness.driver())).toBe(url)
      expect(await driver.observeInstance(ref, first.instanceId, calm)).toMatchObject({ state: 'running' })
      expect(await stop(ref, fenceOf(ref, 2))).toMatchObject({ kind: 'done' })
      expect(await harness.countAddresses(ref)).toBe(1)
      expect(await reserve(ref, fenceOf(ref, 3))).toBe(url)
      expect(await harness.countRuns(ref)).toBe(0)
      expect(await run(driver, healthy(ref), fenceOf(ref, 3))).toMatchObject({ url })
      expect(await harness.countAddresses(ref)).toBe(1)
    })

    test('stop keeps an address under which nothing ever ran', async () => {
      const ref = newRef()
      const url = await reserve(ref, fenceOf(ref, 1))
      expect(await stop(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await harness.countAddresses(ref)).toBe(1)
      expect(await reserve(ref, fenceOf(ref, 3))).toBe(url)
    })

    test('replicas that race to reserve are told one address', async () => {
      const ref = newRef()
      const replicas = Array.from({ length: 8 }, () => harness.driver())
      const urls = await Promise.all(replicas.map((replica) => reserve(ref, fenceOf(ref, 1), replica)))
      expect(new Set(urls).size).toBe(1)
      expect(await harness.countAddresses(ref)).toBe(1)
    })

    test('remove gives back an address under which nothing ever ran; a late reserve is stale', async () => {
      const ref = newRef()
      await reserve(ref, fenceOf(ref, 1))
      expect(await remove(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await harness.countAddresses(ref)).toBe(0)
      expect(await owned(ref)).toEqual([])
      expect(await ask(ref, fenceOf(ref, 1, 'op-1', 2))).toMatchObject({ kind: 'stale' })
      expect(await ask(ref, fenceOf(ref, 2))).toMatchObject({ kind: 'stale' })
      expect(await ask(ref, fenceOf(ref, 2, 'op-late'))).toMatchObject({ kind: 'stale' })
      expect(await harness.countAddresses(ref)).toBe(0)
      await reserve(ref, fenceOf(ref, 3))
      expect(await harness.countAddresses(ref)).toBe(1)
    })

    test('reserve against remove: whoever comes last, no address is held', async () => {
      const ref = newRef()
      const other = harness.driver()
      const [told, removed] = await Promise.all([
        ask(ref, fenceOf(ref, 1)),
        settle(() => other.remove(ref, fenceOf(ref, 2), calm)),
      ])
      expect(removed.kind).toBe('done')
      expect(['done', 'stale']).toContain(told.kind)
      expect(await harness.countAddresses(ref)).toBe(0)
    })

    test('a reserve of an older generation, a lower attempt or a followed operation is stale, and fences the others', async () => {
      const ref = newRef()
      await reserve(ref, fenceOf(ref, 2, 'op-a', 2))
      expect(await ask(ref, fenceOf(ref, 1))).toMatchObject({ kind: 'stale' })
      expect(await ask(ref, fenceOf(ref, 2, 'op-a', 1))).toMatchObject({ kind: 'stale' })
      expect(await driver.ensure(healthy(ref), fenceOf(ref, 1), calm)).toMatchObject({ kind: 'stale' })
      expect(await stop(ref, fenceOf(ref, 1))).toMatchObject({ kind: 'stale' })
      expect(await remove(ref, fenceOf(ref, 2, 'op-a', 1))).toMatchObject({ kind: 'stale' })
      await reserve(ref, fenceOf(ref, 2, 'op-b'))
      expect(await ask(ref, fenceOf(ref, 2, 'op-a', 3))).toMatchObject({ kind: 'stale' })
      expect(await harness.countAddresses(ref)).toBe(1)
    })

    test('a refusal holds for its own operation only, also when the next one begins with reserve', async () => {
      const ref = newRef()
      const crashing = (fence: Fence) => settle(() => driver.ensure(specOf(ref, harness.images.crashing), fence, calm))
      const url = await reserve(ref, fenceOf(ref, 1))
      const verdict = await crashing(fenceOf(ref, 1))
      expect(verdict.kind).toBe('refused')
      expect(await reserve(ref, fenceOf(ref, 1))).toBe(url)
      expect(await crashing(fenceOf(ref, 1))).toEqual(verdict)
      expect(await reserve(ref, fenceOf(ref, 1, 'op-next'))).toBe(url)
      expect(await run(driver, healthy(ref), fenceOf(ref, 1, 'op-next'))).toMatchObject({ url })
    })

    test('a reserve that is aborted, or of a fence for another subject, holds nothing', async () => {
      const ref = newRef()
      const aborted = await driver.reserve(ref, fenceOf(ref, 9), AbortSignal.abort())
      expect(['unreachable', 'unknown']).toContain(aborted.kind)
      const foreign = { ...fenceOf(ref, 9), subjectId: 'dep_other' }
      expect(await driver.reserve(ref, foreign, calm)).toMatchObject({ kind: 'refused' })
      expect(await harness.countAddresses(ref)).toBe(0)
      await reserve(ref, fenceOf(ref, 1))
    })

    test('services of one subject, with names as long as may be, each run at an address of their own', async () => {
      const refs = serviceRefs('a', `w${'-b'.repeat(31)}`, `w${'-b'.repeat(30)}-c`)
      const urls = await Promise.all(refs.map((ref) => reserve(ref, fenceOf(ref, 1))))
      expect(new Set(urls).size).toBe(refs.length)
      const made = await Promise.all(refs.map((ref) => run(driver, healthy(ref), fenceOf(ref, 1))))
      expect(made.map(({ url }) => url)).toEqual(urls)
      for (const [index, ref] of refs.entries()) {
        const instanceId = made[index]?.instanceId
        expect(await owned(ref)).toEqual([{ ...ref, instanceId, generation: 1, startedAt: expect.any(Date) }])
        expect(await driver.logs(ref, 1000, calm)).toMatchObject({ kind: 'done' })
        expect(await harness.countRuns(ref)).toBe(1)
      }
    })

    test('services of one subject are workloads of their own: fences, ends and addresses of one are not the others', async () => {
      const [web, api, db] = serviceRefs('web', 'api', 'api-') as [WorkloadRef, WorkloadRef, WorkloadRef]
      const kept = await run(driver, healthy(web), fenceOf(web, 1))
      await reserve(api, fenceOf(api, 1))
      const url = await reserve(db, fenceOf(db, 1))
      expect(await remove(api, fenceOf(api, 5, 'op-5', 7))).toEqual({ kind: 'done', value: null })
      expect(await driver.observe(web, calm)).toMatchObject({ value: { state: 'running', ...kept } })
      expect(await run(driver, healthy(web), fenceOf(web, 1))).toEqual(kept)
      expect(await reserve(db, fenceOf(db, 1))).toBe(url)
      expect(await reserve(web, fenceOf(web, 5, 'op-5', 1))).toBe(kept.url)
      expect(await stop(web, fenceOf(web, 5, 'op-5', 1))).toEqual({ kind: 'done', value: null })
      const held = [web, api, db].map((ref) => harness.countAddresses(ref))
      expect(await Promise.all(held)).toEqual([1, 0, 1])
    })
  })
}
