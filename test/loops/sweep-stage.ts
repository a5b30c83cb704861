// The stage of the loops with a sweep on it: workloads and resources that no row speaks of, any number of sweepers, and a clock
// that the tests turn by hand.
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { PoolOptions } from '../../src/db/client.ts'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import type { WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import type { FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { sweepLoop } from '../../src/loops/sweep.ts'
import { type Holder, resourceHolders, workloadHolder } from '../../src/loops/sweep-orphan.ts'
import { keepingLog, openStage } from './fixture.ts'

export const calm = new AbortController().signal
export const hex = (bytes: number) => randomBytes(bytes).toString('hex')
export const newRef = (): WorkloadRef => ({ subjectId: `dep_${hex(6)}`, incarnation: hex(12) })
export const fenceOf = ({ subjectId }: WorkloadRef, generation: number) => ({
  operationId: 'op',
  attempt: 1,
  subjectId,
  generation,
})

export interface Sweeper {
  readonly driver: FakeDriver
  /** Lines of its log. */
  readonly lines: readonly string[]
  pass(signal?: AbortSignal): Promise<object>
}
export type SweepStage = Awaited<ReturnType<typeof openSweepStage>>

/** Opens a stage; `rest` takes everything off it between two tests. */
export async function openSweepStage() {
  const stage = await openStage({ asksUntilHealthy: 0 })
  const provisioner = createFakeProvisioner()
  const pool = stage.open({ slots: 4 })
  return {
    ...stage,
    provisioner,
    /** A replica that sweeps the fakes, or other holders. */
    sweeper(wrap?: PoolOptions['wrap'], instead?: readonly Holder[]): Sweeper {
      const driver = stage.driver.another()
      const lines: string[] = []
      const { db } = wrap ? stage.open({ slots: 2, wrap }) : pool
      const holders = instead ?? [workloadHolder(driver), ...resourceHolders([provisioner])]
      const loop = sweepLoop(db, holders, { told: () => {}, log: keepingLog(lines) })
      return { driver, lines, pass: (signal = calm) => loop.pass(signal) }
    },
    /** Starts a workload past every row. */
    async running(ref = newRef(), generation = 1): Promise<WorkloadRef> {
      const spec = { ...ref, name: 'lost', image: 'hello', env: {} }
      const { kind } = await stage.driver.ensure(spec, fenceOf(ref, generation), calm)
      expect(kind).toBe('done')
      return ref
    },
    /** Makes a resource past every row. */
    async provisioned(ref: WorkloadRef = { subjectId: `res_${hex(6)}`, incarnation: hex(12) }): Promise<WorkloadRef> {
      const spec = { ...ref, name: 'lost', password: hex(16) }
      expect((await provisioner.provision(spec, fenceOf(ref, 1), calm)).kind).toBe('done')
      return ref
    },
    runs: (ref: WorkloadRef): boolean => stage.driver.liveRun(ref) !== null,
    incarnationOf: async (table: string, id: string): Promise<string> =>
      String((await stage.sql`select incarnation from ${stage.sql(table)} where id = ${id}`)[0]?.incarnation),
    /** What is noted. */
    noted: () =>
      stage.sql<{ subject: string; outcome: string | null }[]>`
        select subject_id as subject, outcome from orphan order by subject_id`,
    /** The hour of all that is noted is over. */
    graceEnds: () => stage.sql`update orphan set first_seen_at = first_seen_at - interval '1 hour'`,
    claimsEnd: () => stage.sql`update orphan set claimed_until = now() where claimed_until is not null`,
    /** How each removal was answered. */
    removals: (ref: WorkloadRef): string[] =>
      stage.driver
        .log()
        .filter(({ call, ref: of }) => call === 'remove' && of?.incarnation === ref.incarnation)
        .map(({ result }) => result),
    async rest(): Promise<void> {
      stage.driver.clear()
      provisioner.clear()
      for (const ref of [...stage.driver.liveRuns()]) await stage.driver.remove(ref, fenceOf(ref, 99), calm)
      await stage.sql`delete from orphan`
    },
  }
}
