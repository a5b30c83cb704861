// Making deployments: the name, the plan's room under many callers at once, time limits, and what `deploy` with
// redeploy: true answers for a name whose newest deployment is in each state.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { expireDeployment } from '../../src/resolvers/deployment-rule.ts'
import { transitionEach } from '../../src/resolvers/transition.ts'
import { hold, underWay, untilBlocked } from '../interleave.ts'
import { callOf, openWorld, operationsOf, outcomeOf, seen, type World } from '../races/world.ts'
import { contextFor, createTeam, putDeployment } from '../row.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

const usage = async (teamId: string) => {
  const [row] = await world.stranger<{ used: number; live: number }[]>`
    select used, (select count(*)::int from deployment d where d.team_id = u.team_id
      and d.state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED')) as live
    from plan_usage u where team_id = ${teamId}`
  return row
}

describe('the plan', () => {
  test('has room for 10 of 50 who deploy at once on two replicas: exactly 10 are made', async () => {
    const team = await createTeam(world.stranger, { cap: 10 })
    const pools = [world.openPool(10), world.openPool(10)]
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        mutations.deploy(contextFor((pools[n % 2] ?? world.pool).db, team.actor), {
          name: `app-${n}`,
          image: 'hello:1',
        }),
      ),
    )
    const outcomes = results.map(outcomeOf)
    expect(outcomes.filter((outcome) => outcome === 'BUILDING')).toHaveLength(10)
    expect(outcomes.filter((outcome) => outcome === 'QuotaExceeded')).toHaveLength(40)
    expect(await usage(team.teamId)).toEqual({ used: 10, live: 10 })
    const [{ left } = { left: -1 }] = await world.stranger<{ left: number }[]>`
      select (select count(*) from operation where team_id = ${team.teamId})::int + (select count(*) from event
        where team_id = ${team.teamId} and subject_type = 'Deployment')::int as left`
    // Nothing is left of those who were refused.
    expect(left).toBe(20)
    expect(results.find(isRefusal)).toMatchObject({
      refusal: 'QuotaExceeded',
      retryable: false,
      facts: { limit: 'deployments', cap: 10, used: 10 },
    })
  })

  test('gets room back from a deletion and from an expiry, once each', async () => {
    const team = await createTeam(world.stranger, { cap: 2 })
    const context = contextFor(world.pool.db, team.actor)
    const { teamId } = team
    const first = await putDeployment(world.stranger, { teamId, state: 'HEALTHY' })
    await putDeployment(world.stranger, { teamId, state: 'STOPPED', expiresInSeconds: -1 })
    const one = { name: 'one', image: 'hello:1' }
    expect(outcomeOf(await mutations.deploy(context, one))).toBe('QuotaExceeded')
    await mutations.deleteDeployment(context, { id: first })
    await mutations.deleteDeployment(context, { id: first })
    expect(await usage(teamId)).toEqual({ used: 1, live: 1 })
    await transitionEach(world.pool.db, expireDeployment, callOf(world, {}), 100)
    expect(await usage(teamId)).toEqual({ used: 0, live: 0 })
    expect(outcomeOf(await mutations.deploy(context, one))).toBe('BUILDING')
    expect(await usage(teamId)).toEqual({ used: 1, live: 1 })
  })

  test('is asked under the lock: the last room goes to the one who came first', async () => {
    const team = await createTeam(world.stranger, { cap: 1 })
    const context = contextFor(world.pool.db, team.actor)
    const counters = await hold(world.stranger, `select 1 from plan_usage where team_id = '${team.teamId}' for update`)
    const first = underWay(mutations.deploy(context, { name: 'first', image: 'hello:1' }))
    await untilBlocked(world.stranger, 'deploy')
    const second = underWay(mutations.deploy(context, { name: 'second', image: 'hello:1' }))
    await untilBlocked(world.stranger, 'deploy', 2)
    await counters.release()
    expect([outcomeOf(await first), outcomeOf(await second)]).toEqual(['BUILDING', 'QuotaExceeded'])
  })
})

describe('deploy', () => {
  test('stores what it was given, under a first operation', async () => {
    const nudges: number[] = []
    const context = contextFor(world.pool.db, world.team.actor, { nudge: () => void nudges.push(1) })
    const env = [{ key: 'A', value: '1' }]
    const result = await mutations.deploy(context, {
      name: 'whole',
      environment: 'production',
      image: 'hello:1',
      env,
      ttlHours: 2,
    })
    if (isRefusal(result)) throw new Error(result.message)
    const { deployment, operation } = result
    expect(deployment).toMatchObject({
      state: 'BUILDING',
      generation: 1,
      version: 1,
      ttlPolicy: 'TTL',
      image: 'hello:1',
    })
    expect(deployment.env.A).toMatchObject({ value: '1', revision: 1, changedBy: world.team.actor.id })
    expect(operation).toMatchObject({
      kind: 'deployment.roll_out',
      generation: 1,
      state: 'PENDING',
      subjectId: deployment.id,
    })
    expect(operation).toMatchObject({ requestId: context.requestId, actor: { kind: 'token', id: world.team.actor.id } })
    const hours = ((deployment.expiresAt?.getTime() ?? 0) - deployment.stateChangedAt.getTime()) / 3_600_000
    expect(hours).toBeCloseTo(2, 2)
    expect(nudges).toHaveLength(1)
  })

  test('is permanent without a time limit, and in development without an environment', async () => {
    const result = await mutations.deploy(world.context, { name: 'plain', image: 'hello:1' })
    expect(result).toMatchObject({
      deployment: { ttlPolicy: 'PERMANENT', expiresAt: null, environment: 'development' },
    })
  })

  test('of a name that another team has, or that is in another environment, is no conflict', async () => {
    const elsewhere = contextFor(world.pool.db, (await createTeam(world.stranger)).actor)
    const input = { name: 'shared', image: 'hello:1' }
    expect(outcomeOf(await mutations.deploy(world.context, input))).toBe('BUILDING')
    expect(outcomeOf(await mutations.deploy(elsewhere, input))).toBe('BUILDING')
    expect(outcomeOf(await mutations.deploy(world.context, { ...input, environment: 'production' }))).toBe('BUILDING')
    expect(outcomeOf(await mutations.deploy(world.context, input))).toBe('NameTaken')
  })

  test.each([
    ['BUILDING', 'NameTaken', 'BUILDING'],
    ['DEPLOYING', 'NameTaken', 'BUILDING'],
    ['HEALTHY', 'NameTaken', 'BUILDING'],
    ['FAILED', 'NameTaken', 'BUILDING'],
    ['STOPPING', 'NameTaken', 'NotRedeployable'],
    ['STOPPED', 'NameTaken', 'NotRedeployable'],
    ['EXPIRED', 'BUILDING', 'NotRedeployable'],
    ['DELETING', 'BUILDING', 'NotRedeployable'],
    ['DELETED', 'BUILDING', 'NothingToRedeploy'],
  ] as const)('of a name whose deployment is %s: %s; with redeploy: true: %s', async (state, plain, again) => {
    const [one, other] = [`${state.toLowerCase()}-a`, `${state.toLowerCase()}-b`]
    await world.deployment({ state, name: one })
    const id = await world.deployment({ state, name: other })
    expect(outcomeOf(await mutations.deploy(world.context, { name: one, image: 'hello:2' }))).toBe(plain)
    const result = await mutations.deploy(world.context, { name: other, image: 'hello:2', redeploy: true })
    expect(outcomeOf(result)).toBe(again)
    if (isRefusal(result)) {
      expect(await operationsOf(world, id)).toEqual([])
      if (again === 'NotRedeployable') expect(result).toMatchObject({ facts: { deployment: { id, state } } })
    } else {
      expect(await seen(world, id)).toMatchObject({ generation: 2, image: 'hello:2' })
      expect(await operationsOf(world, id)).toEqual(['deployment.roll_out PENDING'])
    }
  })

  test('with redeploy: true of a name that never was is told to leave the flag out', async () => {
    const input = { name: 'never', environment: 'production', image: 'hello:1' }
    const result = await mutations.deploy(world.context, { ...input, redeploy: true })
    expect(result).toMatchObject({
      refusal: 'NothingToRedeploy',
      remedies: [{ mutation: 'deploy', arguments: { input } }],
    })
  })

  test('with redeploy: true prefers the live deployment to those that have ended', async () => {
    await world.deployment({ state: 'DELETED', name: 'phoenix' })
    await world.deployment({ state: 'EXPIRED', name: 'phoenix' })
    const id = await world.deployment({ state: 'FAILED', name: 'phoenix' })
    const env = [{ key: 'NEW', value: '1' }]
    const result = await mutations.deploy(world.context, {
      name: 'phoenix',
      image: 'hello:2',
      env,
      ttlHours: 1,
      redeploy: true,
    })
    expect(result).toMatchObject({ deployment: { id, ttlPolicy: 'TTL', env: { NEW: { value: '1' } } } })
  })
})

describe('a time limit', () => {
  const expiryOf = async (id: string) => {
    const [row] = await world.stranger<{ policy: string; hours: number | null }[]>`
      select ttl_policy as policy, round(extract(epoch from expires_at - now()) / 3600)::int as hours from deployment where id = ${id}`
    return row
  }

  test('is counted from now, and may be moved both ways', async () => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: 10 * 3600 })
    for (const ttlHours of [48, 1, 8760]) {
      expect(outcomeOf(await mutations.setDeploymentTtl(world.context, { id, ttlHours }))).toBe('HEALTHY')
      expect(await expiryOf(id)).toEqual({ policy: 'TTL', hours: ttlHours })
    }
  })

  test('can be taken away, and then there is none to move', async () => {
    const id = await world.deployment({ state: 'STOPPED', expiresInSeconds: 60 })
    expect(outcomeOf(await mutations.makeDeploymentPermanent(world.context, { id }))).toBe('STOPPED')
    expect(await expiryOf(id)).toEqual({ policy: 'PERMANENT', hours: null })
    expect(outcomeOf(await mutations.setDeploymentTtl(world.context, { id, ttlHours: 1 }))).toBe('NotExtendable')
    expect(outcomeOf(await mutations.makeDeploymentPermanent(world.context, { id }))).toBe('STOPPED')
  })

  test('that has passed can still be moved until the expiry is stored, and not after it', async () => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -60 })
    expect(outcomeOf(await mutations.setDeploymentTtl(world.context, { id, ttlHours: 1 }))).toBe('HEALTHY')
    const late = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -60 })
    await transitionEach(world.pool.db, expireDeployment, callOf(world, {}), 100)
    expect(outcomeOf(await mutations.setDeploymentTtl(world.context, { id: late, ttlHours: 1 }))).toBe('NotExtendable')
    expect((await seen(world, id)).state).toBe('HEALTHY')
  })

  test.each([0, -1, 8761, 1.5, Number.NaN])('of %d hours is not valid', async (ttlHours) => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: 3600 })
    expect(outcomeOf(await mutations.setDeploymentTtl(world.context, { id, ttlHours }))).toBe('ValidationFailed')
  })
})
