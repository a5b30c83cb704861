// What every runtime driver must tell of one very run: whether it lives, is gone or cannot be told, and whether it is healthy.
// Whoever restarts or gives up what has died relies on it. Harness and helpers are those of the first suite.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { calm, fenceOf, newRef, type RuntimeHarness, run, settle, specOf } from './runtime.conformance.ts'

export interface InstanceHarness extends RuntimeHarness {
  /** What the health check of the run meets from now on. */
  setHealth(ref: WorkloadRef, health: 'passes' | 'fails' | 'hangs'): Promise<void>
}

const sentence = expect.stringMatching(/\w/)

/** Declares the suite for one driver. */
export function runtimeInstanceConformance(name: string, make: () => Promise<InstanceHarness>): void {
  describe(`${name}: instance conformance`, () => {
    let harness: InstanceHarness
    let driver: RuntimeDriver
    beforeAll(async () => {
      harness = await make()
      driver = harness.driver()
    })
    afterAll(() => harness.dispose())

    const start = async (ref: WorkloadRef, generation = 1) =>
      (await run(driver, specOf(ref, harness.images.healthy), fenceOf(ref, generation))).instanceId

    test('a health check that fails or hangs is a run that is not healthy, never one that is gone, until it passes', async () => {
      const ref = newRef()
      const instanceId = await start(ref)
      const look = () => driver.observeInstance(ref, instanceId, calm)
      expect(await look()).toEqual({ state: 'running', healthy: true, detail: null })
      for (const health of ['fails', 'hangs'] as const) {
        await harness.setHealth(ref, health)
        expect(await look()).toEqual({ state: 'running', healthy: false, detail: sentence })
      }
      await harness.setHealth(ref, 'passes')
      expect(await look()).toEqual({ state: 'running', healthy: true, detail: null })
      expect(await harness.countRuns(ref)).toBe(1)
    })

    test('a crash is told with its reason; the next run is not taken for it, nor it for the next run', async () => {
      const ref = newRef()
      const first = await start(ref)
      await harness.crash(ref)
      expect(await driver.observeInstance(ref, first, calm)).toEqual({ state: 'gone', reason: sentence })
      const second = await start(ref, 2)
      expect(await driver.observeInstance(ref, first, calm)).toEqual({ state: 'gone', reason: sentence })
      expect(await driver.observeInstance(ref, second, calm)).toMatchObject({ state: 'running', healthy: true })
    })

    test('a run that was stopped or removed is gone', async () => {
      const ref = newRef()
      const first = await start(ref)
      await settle(() => driver.stop(ref, fenceOf(ref, 2), calm))
      expect(await driver.observeInstance(ref, first, calm)).toEqual({ state: 'gone', reason: sentence })
      const second = await start(ref, 3)
      await settle(() => driver.remove(ref, fenceOf(ref, 4), calm))
      expect(await driver.observeInstance(ref, second, calm)).toEqual({ state: 'gone', reason: sentence })
    })

    test('a run that nobody knows, of a workload or of another one, is unknown, whatever else runs', async () => {
      const [ref, other] = [newRef(), newRef()]
      const instanceId = await start(ref)
      expect(await driver.observeInstance(ref, 'run_never', calm)).toEqual({ state: 'unknown', reason: sentence })
      expect(await driver.observeInstance(other, instanceId, calm)).toEqual({ state: 'unknown', reason: sentence })
    })

    test('R93 what is listed can be removed by a fresh operation of the generation that is told, and by none before it', async () => {
      const ref = newRef()
      await start(ref)
      // The newer generation is seen, and refused: what is left of the workload is of both.
      const unknown = specOf(ref, harness.images.unknown)
      expect(await settle(() => driver.ensure(unknown, fenceOf(ref, 2), calm))).toMatchObject({ kind: 'refused' })
      const listed = await driver.listOwned(calm)
      const owned = listed.kind === 'done' ? listed.value.filter((one) => one.incarnation === ref.incarnation) : []
      expect(owned).toEqual([{ ...ref, instanceId: null, generation: 2, startedAt: null }])
      expect(await settle(() => driver.remove(ref, fenceOf(ref, 1, 'op-late'), calm))).toMatchObject({ kind: 'stale' })
      expect(await settle(() => driver.remove(ref, fenceOf(ref, 2, 'op-fresh'), calm))).toMatchObject({ kind: 'done' })
      // Whoever wants it again, with a newer wish, has it.
      await start(ref, 3)
    })

    test('a look whose signal is aborted is unknown', async () => {
      const ref = newRef()
      const instanceId = await start(ref)
      const cut = AbortSignal.abort()
      expect(await driver.observeInstance(ref, instanceId, cut)).toEqual({ state: 'unknown', reason: sentence })
    })
  })
}
