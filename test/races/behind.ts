// The interleaving that most races of a deployment's end have in common: an expiry or a deletion has moved its row, not
// committed yet, and who comes too late is seen to queue behind it.
import { expect } from 'vitest'
import type { DeploymentState } from '../../src/lifecycle/deployment.ts'
import { deleteDeployment } from '../../src/resolvers/deployment.ts'
import { expireDeployment } from '../../src/resolvers/deployment-rule.ts'
import { transitionEach } from '../../src/resolvers/transition.ts'
import { holdCounters, underWay, untilBlocked } from '../interleave.ts'
import { callOf, type World } from './world.ts'

/** The guard of a statement on its row's state, as a mutation finds it. */
export const states = (...names: DeploymentState[]) =>
  `"found".state in (${names.map((name) => `'${name}'`).join(', ')})`
export const workable = states('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')
export const live = states('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED')
/** One pass of the expirer; returns the ids of those that it ended. */
export const expire = async (world: World) =>
  (await transitionEach(world.pool.db, expireDeployment, callOf(world, {}), 100)).map(({ row }) => row.id)

/** An expiry, or a deletion, that has moved its row and waits at the counters, while `loser` queues behind it. */
export async function behind<T>(
  world: World,
  id: string,
  winner: 'expire' | 'delete',
  name: string,
  loser: () => Promise<T>,
): Promise<T> {
  const counters = await holdCounters(world.stranger, world.team.teamId)
  const winning = winner === 'expire' ? expire(world) : deleteDeployment(world.context, { id }).then(() => [id])
  await untilBlocked(world.stranger, winner === 'expire' ? 'expireDeployment' : 'deleteDeployment')
  const losing = underWay(loser())
  await untilBlocked(world.stranger, name)
  await counters.release()
  expect(await winning).toContain(id)
  return losing
}
