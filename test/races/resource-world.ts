// The world of races with resources in it: rows of resources and of their operations, and what has become of them.
import { type Rule, transitionEach } from '../../src/resolvers/transition.ts'
import type { Mutation } from '../interleave.ts'
import {
  giveRoom,
  putResource,
  putResourceOperation,
  type ResourceFacts,
  type ResourceOperationFacts,
} from '../resources/row.ts'
import { callOf, openWorld, type World } from './world.ts'

export interface ResourceWorld extends World {
  withMutants(...mutations: Mutation[]): ResourceWorld
  resource(facts: Omit<ResourceFacts, 'teamId'>): Promise<string>
  work(facts: Omit<ResourceOperationFacts, 'teamId'>): Promise<string>
}

/** Opens a world; without guards, nothing but the statements themselves keeps states right. */
export async function openResourceWorld({ guards = true } = {}): Promise<ResourceWorld> {
  const world = await openWorld({ guards })
  if (!guards) await world.stranger`alter table resource disable trigger user`
  await giveRoom(world.stranger, world.team.teamId)
  return withResources(world)
}

const withResources = (world: World): ResourceWorld => ({
  ...world,
  withMutants: (...mutations) => withResources(world.withMutants(...mutations)),
  resource: (facts) => putResource(world.stranger, { teamId: world.team.teamId, ...facts }),
  work: (facts) => putResourceOperation(world.stranger, { teamId: world.team.teamId, ...facts }),
})

export interface ResourceRow {
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly version: number
  readonly expiresAt: Date | null
  readonly deletedAt: Date | null
}

/** The row of a resource as it is stored. */
export async function seenResource(world: World, id: string): Promise<ResourceRow> {
  const [row] = await world.stranger<ResourceRow[]>`
    select state, state_reason as "stateReason", generation, version, expires_at as "expiresAt", deleted_at as "deletedAt"
    from resource where id = ${id}`
  if (!row) throw new Error(`${id} is gone`)
  return row
}

/** What became of a call, in one word: the state that the resource was moved to, `replayed`, or the refusal. */
export function resourceOutcome(result: object): string {
  if ('refusal' in result) return String(result.refusal)
  const { replayed, resource } = result as { replayed: boolean; resource: { state: string } }
  return replayed ? 'replayed' : resource.state
}

/** One pass of a loop's rule; returns the ids of those that it moved. */
export const passOf = async (world: World, rule: unknown, values = {}): Promise<string[]> =>
  (await transitionEach(world.pool.db, rule as Rule, callOf(world, values), 100)).map(({ row }) => row.id)

/** The guard of a statement on the states that are live, as a mutation finds it. */
export const liveStates = `"found".state in ('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED')`
