// A stranger holds a row: its callers are told so in about three seconds, typed, and everybody else is served meanwhile.
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as mutations from '../../src/resolvers/deployment.ts'
import { holdRow, underWay, untilBlocked } from '../interleave.ts'
import { openWorld, outcomeOf, seen, type World } from '../races/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

test('a row that somebody holds is Busy after about 3 s; others are served, and nothing was changed', async () => {
  const id = await world.deployment({ state: 'HEALTHY' })
  const row = await holdRow(world.stranger, 'deployment', id)
  const startedAt = performance.now()
  const timed = (call: Promise<object>) =>
    underWay(call.then((result) => ({ result, afterMs: performance.now() - startedAt })))
  const redeploy = timed(mutations.redeployDeployment(world.context, { id }))
  const merge = timed(mutations.mergeDeploymentEnv(world.context, { id, set: [{ key: 'A', value: '1' }] } as never))
  await untilBlocked(world.stranger, 'redeployDeployment')
  await untilBlocked(world.stranger, 'mergeDeploymentEnv')
  for (let other = 0; other < 20; other++) {
    const free = await world.deployment({ state: 'HEALTHY' })
    expect(outcomeOf(await mutations.redeployDeployment(world.context, { id: free }))).toBe('BUILDING')
  }
  expect(performance.now() - startedAt).toBeLessThan(2_900)
  for (const { result, afterMs } of await Promise.all([redeploy, merge])) {
    expect(result).toMatchObject({ refusal: 'Busy', retryable: true, retryAfterMs: 1_000 })
    expect(afterMs).toBeGreaterThan(2_800)
    // Two waits at most: for those who wait before it, and for the row.
    expect(afterMs).toBeLessThan(5_500)
  }
  expect(await seen(world, id)).toMatchObject({ version: 1, generation: 1, env: {} })
  await row.release()
  expect(outcomeOf(await mutations.redeployDeployment(world.context, { id }))).toBe('BUILDING')
})

test('a name that is being taken is Busy too, as long as nobody knows whether it will be', async () => {
  const session = await world.stranger.reserve()
  await session`begin`
  await session`insert into deployment (id, state, team_id, environment, name, image, ttl_policy, incarnation)
    values ('dep_stranger', 'BUILDING', ${world.team.teamId}, 'development', 'contended', 'hello:1', 'PERMANENT', 'x')`
  const input = { name: 'contended', image: 'hello:1' }
  expect(outcomeOf(await mutations.deploy(world.context, input))).toBe('Busy')
  await session`rollback`
  session.release()
  expect(outcomeOf(await mutations.deploy(world.context, input))).toBe('BUILDING')
})
