// The stage of the loops with stacks on it: one world of fake workloads, and replicas whose dispatchers carry out the effects
// of stacks. Services are looked at past the product: which of them run, and with which variables.
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { Env } from '../../src/db/env.ts'
import type { PlacedService, StackService } from '../../src/db/stack.ts'
import type { FakeDriver, FakeDriverOptions } from '../../src/drivers/runtime/fake.ts'
import type { FakeCall } from '../../src/drivers/runtime/fake-script.ts'
import { stackEffects } from '../../src/loops/stack-effect.ts'
import { createStack, type NewStack, type StackPayload } from '../../src/resolvers/stack.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import { openStage, type Replica, type ReplicaOptions, until } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'
import { giveStackRoom, serviceOf } from './row.ts'

export interface StackSeen {
  readonly id: string
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly version: number
  readonly incarnation: string
  readonly services: StackService[]
  readonly placed: Record<string, PlacedService>
  readonly env: Env
}
export interface StackReplicaOptions extends Omit<ReplicaOptions, 'effects'> {
  /** What stands between the effects and the fake; default: nothing. */
  readonly through?: (driver: FakeDriver, db: Database) => FakeDriver
}
export type StackStage = Awaited<ReturnType<typeof openStackStage>>

/** Calls on the service of that name, of whichever stack. */
export const on =
  (name: string) =>
  ({ ref }: FakeCall): boolean =>
    ref?.incarnation.slice(25) === name

/** Opens a stage with room for stacks. */
export async function openStackStage(options: FakeDriverOptions = {}) {
  const stage = await openStage(options)
  await giveStackRoom(stage.sql, stage.teamId)

  const stack = async (id: string): Promise<StackSeen> => {
    const [row] = await stage.sql<StackSeen[]>`
      select id, state, state_reason as "stateReason", generation, version, incarnation, services, placed, env
      from stack where id = ${id}`
    if (!row) throw new Error(`${id} is gone`)
    return row
  }
  const replicas: Replica[] = []
  const ofStack = (id: string, { subjectId }: { subjectId: string }) => subjectId === id
  const named = ({ incarnation }: { incarnation: string }) => incarnation.slice(25)
  return {
    ...stage,
    stack,
    replica({ through, ...more }: StackReplicaOptions = {}): Replica {
      const replica = stage.replica({
        ...more,
        effects: (db, driver) => stackEffects(db, through?.(driver, db) ?? driver, testSealing),
      })
      replicas.push(replica)
      return replica
    },
    /** Between two tests on one stage: no replica is left, nor anything that its driver was told. */
    async rest(): Promise<void> {
      const left = replicas.splice(0)
      for (const { driver } of left) driver.clear()
      await Promise.all(left.map(({ dispatcher }) => dispatcher.drain(0)))
    },
    /** Makes a stack of services by name, or of services as they are given. */
    async create(
      services: readonly (string | StackService)[],
      more: Partial<Pick<NewStack, 'name' | 'env' | 'environment'>> = {},
    ): Promise<string> {
      const given = services.map((each) => (typeof each === 'string' ? serviceOf(each, 'hello') : each))
      const name = `s${randomBytes(5).toString('hex')}`
      const answer = await createStack(stage.context, { name, services: given, ...more })
      expect(answer).not.toHaveProperty('refusal')
      return (answer as StackPayload).stack.id
    },
    /** Until the stack is in that state. */
    comesTo: (id: string, state: string): Promise<StackSeen> =>
      until(async () => {
        const row = await stack(id)
        expect(row).toMatchObject({ state })
        return row
      }),
    /** Makes waiting work due again and again, until the stack is in that state: failures without their back-off. */
    hurriedTo: (id: string, state: string): Promise<StackSeen> =>
      until(async () => {
        await stage.dueNow()
        const row = await stack(id)
        expect(row).toMatchObject({ state })
        return row
      }),
    /** The variables of the services that run, by name. */
    running: (id: string): Record<string, Readonly<Record<string, string>>> =>
      Object.fromEntries(
        stage.driver
          .liveRuns()
          .filter((each) => ofStack(id, each))
          .map((each) => [named(each), each.run.env]),
      ),
    /** How often each service was started, as the world remembers. */
    starts(id: string): Record<string, number> {
      const counts: Record<string, number> = {}
      for (const { ref, effects } of stage.driver.log()) {
        if (!ref || !ofStack(id, ref)) continue
        const started = effects.filter(({ effect }) => effect === 'started').length
        if (started > 0) counts[named(ref)] = (counts[named(ref)] ?? 0) + started
      }
      return counts
    },
    /** What has become of each service, as it is stored: `HEALTHY`, or `FAILED: reason`. */
    async told(id: string): Promise<Record<string, string>> {
      const { placed, generation } = await stack(id)
      const entries = Object.entries(placed).map(([name, service]) => {
        const now = service.generation === generation ? service : {}
        return [name, now.state === 'FAILED' ? `FAILED: ${now.reason}` : (now.state ?? 'open')]
      })
      return Object.fromEntries(entries)
    },
  }
}
