// The world of races with stacks in it: rows of stacks and of their operations, and what has become of them.
import type { Env } from '../../src/db/env.ts'
import type { PlacedService, StackService } from '../../src/db/stack.ts'
import { deleteStack } from '../../src/resolvers/stack.ts'
import { holdCounters, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { giveStackRoom, putStack, putStackOperation, type StackFacts, type StackOperationFacts } from '../stacks/row.ts'
import { openWorld, type World } from './world.ts'

export interface StackWorld extends World {
  withMutants(...mutations: Mutation[]): StackWorld
  stack(facts: Omit<StackFacts, 'teamId'>): Promise<string>
  work(facts: Omit<StackOperationFacts, 'teamId'>): Promise<string>
}

/** Opens a world; without guards, nothing but the statements themselves keeps states right. */
export async function openStackWorld({ guards = true } = {}): Promise<StackWorld> {
  const world = await openWorld({ guards })
  if (!guards) await world.stranger`alter table stack disable trigger user`
  await giveStackRoom(world.stranger, world.team.teamId)
  return withStacks(world)
}

const withStacks = (world: World): StackWorld => ({
  ...world,
  withMutants: (...mutations) => withStacks(world.withMutants(...mutations)),
  stack: (facts) => putStack(world.stranger, { teamId: world.team.teamId, ...facts }),
  work: (facts) => putStackOperation(world.stranger, { teamId: world.team.teamId, ...facts }),
})

export interface StackRow {
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly version: number
  readonly specVersion: number
  readonly services: StackService[]
  readonly placed: Record<string, PlacedService>
  readonly env: Env
  readonly deletedAt: Date | null
}

/** The row of a stack as it is stored. */
export async function seenStack(world: World, id: string): Promise<StackRow> {
  const [row] = await world.stranger<StackRow[]>`
    select state, state_reason as "stateReason", generation, version, spec_version as "specVersion", services, placed, env,
      deleted_at as "deletedAt" from stack where id = ${id}`
  if (!row) throw new Error(`${id} is gone`)
  return row
}

/** What became of a call, in one word: the state that the stack was moved to, `replayed`, or the refusal. */
export function stackOutcome(result: object): string {
  if ('refusal' in result) return String(result.refusal)
  const { replayed, stack } = result as { replayed: boolean; stack: { state: string } }
  return replayed ? 'replayed' : stack.state
}

/** The guard of a statement on the states that are live, as a mutation finds it. */
export const liveStackGuard = `"found".state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')`
export const merging = (id: string, key: string, more: object = {}) =>
  ({ id, set: [{ key, value: 'new' }], ...more }) as never

/** A deletion that has moved its row and waits at the counters, while `loser` queues behind it. */
export async function behindDeletion<T>(
  world: StackWorld,
  id: string,
  name: string,
  loser: () => Promise<T>,
): Promise<{ deletion: string; late: T }> {
  const counters = await holdCounters(world.stranger, world.team.teamId)
  const winning = deleteStack(world.context, { id })
  await untilBlocked(world.stranger, 'deleteStack')
  const losing = underWay(loser())
  await untilBlocked(world.stranger, name)
  await counters.release()
  return { deletion: stackOutcome(await winning), late: await losing }
}
