// What every runtime driver must do with runs, the fake one too; what it must do with addresses and with several
// workloads of one subject is in runtime-address.conformance.ts. A driver's own test file gives the harness: how to make
// instances of it on one and the same backing, and how to look at that backing past the driver.
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Fence, Outcome } from '../../src/drivers/outcome.ts'
import type { RuntimeDriver, WorkloadRef, WorkloadSpec } from '../../src/drivers/runtime/driver.ts'

export interface RuntimeHarness {
  /** `unknown` names nothing that can be run. `crashing` exits, `unhealthy` fails its health check for two seconds. */
  readonly images: Readonly<Record<'healthy' | 'unhealthy' | 'crashing' | 'unknown', string>>
  /** A fresh instance on the same backing: another replica, or the same one restarted. */
  driver(): RuntimeDriver
  /** Ends the run from outside, as a crash would, and waits until it has ended. */
  crash(ref: WorkloadRef): Promise<void>
  /** How many runs of the workload there really are. */
  countRuns(ref: WorkloadRef): Promise<number>
  /** How many addresses are really held for the workload. */
  countAddresses(ref: WorkloadRef): Promise<number>
  dispose(): Promise<void>
}

const SETTLE_DEADLINE_MS = 30_000
let made = 0

/** A signal that is never aborted. */
export const calm = new AbortController().signal
export const newRef = (): WorkloadRef => ({ subjectId: `dep_${++made}`, incarnation: crypto.randomUUID().slice(0, 13) })
export const specOf = (ref: WorkloadRef, image: string, env: Record<string, string> = {}): WorkloadSpec => ({
  ...ref,
  name: 'tested',
  image,
  env,
})
export const fenceOf = (
  ref: WorkloadRef,
  generation: number,
  operationId = `op-${generation}`,
  attempt = 1,
): Fence => ({
  operationId,
  attempt,
  subjectId: ref.subjectId,
  generation,
})

/** Asks again as the driver says until it has an answer other than `working`. */
export async function settle<T>(ask: () => Promise<Outcome<T>>): Promise<Exclude<Outcome<T>, { kind: 'working' }>> {
  const giveUpAt = Date.now() + SETTLE_DEADLINE_MS
  for (;;) {
    const outcome = await ask()
    if (outcome.kind !== 'working') return outcome
    if (Date.now() > giveUpAt) throw new Error(`still working: ${outcome.detail}`)
    await delay(outcome.askAgainAfterMs)
  }
}

/** Expects it to come true, however busy the machine is. */
export const eventually = <T>(look: () => T) => expect.poll(look)

/** Makes the workload run and answers what is done; fails on any other answer. */
export async function run(driver: RuntimeDriver, spec: WorkloadSpec, fence: Fence) {
  const outcome = await settle(() => driver.ensure(spec, fence, calm))
  if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind} ${outcome.reason}`)
  return outcome.value
}

/** Declares the suite for one driver. */
export function runtimeConformance(name: string, make: () => Promise<RuntimeHarness>): void {
  describe(`${name}: conformance`, () => {
    let harness: RuntimeHarness
    let driver: RuntimeDriver
    beforeAll(async () => {
      harness = await make()
      driver = harness.driver()
    })
    afterAll(() => harness.dispose())

    const healthy = (ref: WorkloadRef) => specOf(ref, harness.images.healthy)
    const ensure = (ref: WorkloadRef, fence: Fence, image = harness.images.healthy, by = driver) =>
      settle(() => by.ensure(specOf(ref, image), fence, calm))
    const stop = (ref: WorkloadRef, fence: Fence) => settle(() => driver.stop(ref, fence, calm))
    const remove = (ref: WorkloadRef, fence: Fence) => settle(() => driver.remove(ref, fence, calm))
    const observe = async (ref: WorkloadRef) => {
      const outcome = await driver.observe(ref, calm)
      if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind}`)
      return outcome.value
    }
    const owned = async () => {
      const outcome = await driver.listOwned(calm)
      if (outcome.kind !== 'done') throw new Error(`not done: ${outcome.kind}`)
      return outcome.value
    }

    test('an image is known, or refused with a sentence', async () => {
      const { images } = harness
      expect(await driver.resolveImage(images.healthy, calm)).toMatchObject({ kind: 'done' })
      const outcome = await driver.resolveImage(images.unknown, calm)
      expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringMatching(/\w+ \w+ \w+/) })
    })

    test('ensure runs the workload until it is healthy; it is observed and listed', async () => {
      const ref = newRef()
      const { instanceId, url } = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await observe(ref)).toEqual({ state: 'running', instanceId, url, generation: 1, healthy: true })
      expect(await driver.observeInstance(ref, instanceId, calm)).toMatchObject({ state: 'running' })
      expect(await owned()).toContainEqual({ ...ref, instanceId, generation: 1, startedAt: expect.any(Date) })
    })

    test('ensure asked again, also by a higher attempt, is the same run', async () => {
      const ref = newRef()
      const first = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await run(driver, healthy(ref), fenceOf(ref, 1))).toEqual(first)
      expect(await run(driver, healthy(ref), fenceOf(ref, 1, 'op-1', 2))).toEqual(first)
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('a restarted driver adopts the run, also for a later operation of the generation', async () => {
      const ref = newRef()
      const first = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await run(harness.driver(), healthy(ref), fenceOf(ref, 1))).toEqual(first)
      expect(await run(harness.driver(), healthy(ref), fenceOf(ref, 1, 'op-later'))).toEqual(first)
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('R03 a newer generation replaces the run under the same url; the older one never comes back', async () => {
      const ref = newRef()
      const older = await run(driver, healthy(ref), fenceOf(ref, 1))
      const newer = await run(driver, healthy(ref), fenceOf(ref, 2))
      expect(newer.instanceId).not.toBe(older.instanceId)
      expect(newer.url).toBe(older.url)
      expect(await driver.observeInstance(ref, older.instanceId, calm)).toMatchObject({ state: 'gone' })
      expect(await ensure(ref, fenceOf(ref, 1, 'op-1', 9))).toMatchObject({ kind: 'stale' })
      expect(await stop(ref, fenceOf(ref, 1, 'op-x'))).toMatchObject({ kind: 'stale' })
      expect(await remove(ref, fenceOf(ref, 1, 'op-y'))).toMatchObject({ kind: 'stale' })
      expect(await observe(ref)).toMatchObject({ state: 'running', instanceId: newer.instanceId, generation: 2 })
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('a lower attempt, or an operation that a later one has followed, is stale', async () => {
      const ref = newRef()
      await run(driver, healthy(ref), fenceOf(ref, 1, 'op-a', 3))
      expect(await ensure(ref, fenceOf(ref, 1, 'op-a', 2))).toMatchObject({ kind: 'stale' })
      expect(await stop(ref, fenceOf(ref, 1, 'op-b'))).toMatchObject({ kind: 'done' })
      expect(await ensure(ref, fenceOf(ref, 1, 'op-a', 4))).toMatchObject({ kind: 'stale' })
      expect(await harness.countRuns(ref)).toBe(0)
    })

    test('R30 replicas that race to ensure the same operation start one run', async () => {
      const ref = newRef()
      const replicas = Array.from({ length: 8 }, () => harness.driver())
      const runs = await Promise.all(replicas.map((replica) => run(replica, healthy(ref), fenceOf(ref, 1))))
      expect(new Set(runs.map(({ instanceId }) => instanceId)).size).toBe(1)
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('replicas that race with two generations end at the newer one', async () => {
      const ref = newRef()
      const generations = [1, 2, 1, 2, 1, 2]
      const answers = await Promise.all(
        generations.map((generation) => ensure(ref, fenceOf(ref, generation), undefined, harness.driver())),
      )
      for (const [index, answer] of answers.entries()) {
        if (generations[index] === 2) expect(answer).toMatchObject({ kind: 'done' })
        else expect(['done', 'stale']).toContain(answer.kind)
      }
      expect(await observe(ref)).toMatchObject({ state: 'running', generation: 2 })
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('ensure against remove: whoever comes last, nothing runs', async () => {
      const ref = newRef()
      const other = harness.driver()
      const [started, removed] = await Promise.all([
        ensure(ref, fenceOf(ref, 1)),
        settle(() => other.remove(ref, fenceOf(ref, 2), calm)),
      ])
      expect(removed.kind).toBe('done')
      expect(['done', 'stale']).toContain(started.kind)
      expect(await observe(ref)).toEqual({ state: 'absent' })
      expect(await harness.countRuns(ref)).toBe(0)
    })

    test('an app that never becomes healthy is refused with a reason, and again, and nothing of it runs', async () => {
      const ref = newRef()
      const outcome = await ensure(ref, fenceOf(ref, 1), harness.images.unhealthy)
      expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringMatching(/health/i) })
      expect(await harness.countRuns(ref)).toBe(0)
      expect(await ensure(ref, fenceOf(ref, 1, 'op-1', 2), harness.images.unhealthy)).toEqual(outcome)
      expect(await observe(ref)).toMatchObject({ state: 'exited' })
    })

    test('an app that exits is refused with a reason, and nothing of it runs', async () => {
      const ref = newRef()
      const outcome = await ensure(ref, fenceOf(ref, 1), harness.images.crashing)
      expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining('exited with code') })
      expect(await harness.countRuns(ref)).toBe(0)
    })

    test('an unknown image is refused in ensure too, and what ran before is ended', async () => {
      const ref = newRef()
      await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await ensure(ref, fenceOf(ref, 2), harness.images.unknown)).toMatchObject({ kind: 'refused' })
      expect(await harness.countRuns(ref)).toBe(0)
    })

    test('stop ends the run, twice is done, and a later operation starts a new one', async () => {
      const ref = newRef()
      const first = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await stop(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await stop(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await observe(ref)).not.toMatchObject({ state: 'running' })
      expect(await driver.observeInstance(ref, first.instanceId, calm)).toMatchObject({ state: 'gone' })
      expect(await harness.countRuns(ref)).toBe(0)
      const second = await run(driver, healthy(ref), fenceOf(ref, 3))
      expect(second.instanceId).not.toBe(first.instanceId)
      expect(second.url).toBe(first.url)
    })

    test('remove leaves nothing, twice is done, and a late ensure is stale', async () => {
      const ref = newRef()
      const { instanceId } = await run(driver, healthy(ref), fenceOf(ref, 1))
      expect(await remove(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await remove(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await remove(ref, fenceOf(ref, 2, 'op-other'))).toEqual({ kind: 'done', value: null })
      expect(await stop(ref, fenceOf(ref, 2, 'op-other'))).toEqual({ kind: 'done', value: null })
      expect(await observe(ref)).toEqual({ state: 'absent' })
      expect(await driver.observeInstance(ref, instanceId, calm)).toMatchObject({ state: 'gone' })
      expect((await owned()).filter(({ incarnation }) => incarnation === ref.incarnation)).toEqual([])
      expect(await ensure(ref, fenceOf(ref, 1, 'op-1', 2))).toMatchObject({ kind: 'stale' })
      expect(await ensure(ref, fenceOf(ref, 2, 'op-late'))).toMatchObject({ kind: 'stale' })
      expect(await harness.countRuns(ref)).toBe(0)
      const again = await run(driver, healthy(ref), fenceOf(ref, 3))
      expect(again.instanceId).not.toBe(instanceId)
    })

    test('what never was: remove is done and fences, observe is absent', async () => {
      const ref = newRef()
      expect(await observe(ref)).toEqual({ state: 'absent' })
      expect(await driver.observeInstance(ref, 'run_never', calm)).not.toMatchObject({ state: 'running' })
      expect(await remove(ref, fenceOf(ref, 2))).toEqual({ kind: 'done', value: null })
      expect(await ensure(ref, fenceOf(ref, 1))).toMatchObject({ kind: 'stale' })
      expect(await harness.countRuns(ref)).toBe(0)
    })

    test('a crash is seen; only a later operation starts again', async () => {
      const ref = newRef()
      const { instanceId } = await run(driver, healthy(ref), fenceOf(ref, 1))
      await harness.crash(ref)
      expect(await observe(ref)).toMatchObject({ state: 'exited', instanceId, reason: expect.stringMatching(/\w/) })
      expect(await driver.observeInstance(ref, instanceId, calm)).toMatchObject({ state: 'gone' })
      expect(await ensure(ref, fenceOf(ref, 1))).toMatchObject({ kind: 'refused' })
      const again = await run(driver, healthy(ref), fenceOf(ref, 1, 'op-restart'))
      expect(again.instanceId).not.toBe(instanceId)
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('a call whose signal is aborted does nothing and says so', async () => {
      const ref = newRef()
      const aborted = AbortSignal.abort()
      const calls = [
        driver.resolveImage(harness.images.healthy, aborted),
        driver.ensure(healthy(ref), fenceOf(ref, 1), aborted),
        driver.observe(ref, aborted),
        driver.stop(ref, fenceOf(ref, 1), aborted),
        driver.remove(ref, fenceOf(ref, 1), aborted),
        driver.logs(ref, 100, aborted),
        driver.listOwned(aborted),
      ]
      for (const outcome of await Promise.all(calls)) expect(['unreachable', 'unknown']).toContain(outcome.kind)
      expect(await driver.observeInstance(ref, 'run_never', aborted)).toMatchObject({ state: 'unknown' })
      expect(await harness.countRuns(ref)).toBe(0)
      await run(driver, healthy(ref), fenceOf(ref, 1))
    })

    test('a fence for another subject is refused', async () => {
      const ref = newRef()
      const fence = { ...fenceOf(ref, 1), subjectId: 'dep_other' }
      expect(await driver.ensure(healthy(ref), fence, calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.stop(ref, fence, calm)).toMatchObject({ kind: 'refused' })
      expect(await driver.remove(ref, fence, calm)).toMatchObject({ kind: 'refused' })
    })

    test('logs give at most what was asked for', async () => {
      const ref = newRef()
      await run(driver, healthy(ref), fenceOf(ref, 1))
      const read = async (maxBytes: number) => {
        const outcome = await driver.logs(ref, maxBytes, calm)
        return outcome.kind === 'done' ? outcome.value : outcome.kind
      }
      await eventually(() => read(10_000)).toMatch(/\n$/)
      const whole = await read(10_000)
      expect(await read(5)).toBe(whole.slice(-5))
      expect(await read(0)).toBe('')
    })
  })
}
