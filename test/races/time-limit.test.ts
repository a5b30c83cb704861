// Time limits against the expirer: an extension that was accepted holds, and one that comes too late is refused. The whole
// reason of an expiry is repeated under the lock; a pass that looked before the extension finds nothing to do.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import { transition } from '../../src/resolvers/transition.ts'
import { hold, holdKey, stalling, underWay, untilBlocked } from '../interleave.ts'
import { behind, expire, live } from './behind.ts'
import { callOf, chainOf, openWorld, operationsOf, outcomeOf, seen, variantOf, type World } from './world.ts'

let real: World
let bare: World

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

describe('R04', () => {
  /** What an expirer that repeats only the state would do: ids from a first look, each ended by its id. */
  const byIdAlone = variantOf(rules.expireDeployment, 'byIdAlone', {
    where: rules.stopDeployment.subject.where,
    batch: undefined,
    guard: undefined,
  } as never)
  /** The same, with the whole reason under the lock: as the product's, but it waits instead of passing by. */
  const waiting = variantOf(rules.expireDeployment, 'waiting', {
    where: rules.stopDeployment.subject.where,
    batch: undefined,
  } as never)

  const play = async (
    world: World,
    extension: 'setDeploymentTtl' | 'makeDeploymentPermanent',
    rule: typeof waiting,
  ) => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
    const key = crypto.randomUUID()
    // Holds the extension back at its idempotency key: it has moved and locked the row.
    const stop = await holdKey(world.stranger, world.team.actor.id, extension, key)
    const input = { id, idempotencyKey: key }
    const extending =
      extension === 'setDeploymentTtl'
        ? mutations.setDeploymentTtl(world.context, { ...input, ttlHours: 1 })
        : mutations.makeDeploymentPermanent(world.context, input)
    await untilBlocked(world.stranger, extension)
    const passBy = await expire(world)
    const expiring = underWay(transition(world.pool.db, rule, callOf(world, { id })))
    await untilBlocked(world.stranger, rule.name)
    await stop.undo()
    const outcomes = [outcomeOf(await extending), (await expiring).kind]
    const after = await expire(world)
    return { outcomes, state: (await seen(world, id)).state, passes: [passBy.includes(id), after.includes(id)] }
  }

  test.each(['setDeploymentTtl', 'makeDeploymentPermanent'] as const)(
    'R04 an extension that was accepted is not expired by a pass that looked before it: %s',
    async (extension) => {
      expect(await play(real, extension, waiting)).toEqual({
        outcomes: ['HEALTHY', 'refused'],
        state: 'HEALTHY',
        passes: [false, false],
      })
      expect(await play(bare, extension, byIdAlone)).toMatchObject({ outcomes: ['HEALTHY', 'moved'], state: 'EXPIRED' })
    },
  )
})

test('R04 a pass whose snapshot is from before the extension lets the deployment be', async () => {
  const world = real.withMutants(...stalling('expireDeployment', 'deployment', 4))
  const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
  const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(4)')
  const late = underWay(expire(world))
  await untilBlocked(world.stranger, 'expireDeployment')
  expect(outcomeOf(await mutations.makeDeploymentPermanent(world.context, { id }))).toBe('HEALTHY')
  await stall.release()
  expect(await late).not.toContain(id)
  expect(await chainOf(world, id)).toEqual(['makeDeploymentPermanent HEALTHY→HEALTHY'])
})

describe('R05', () => {
  const stripped = { name: 'setDeploymentTtl', from: `"found"."ttl_policy" = 'TTL'`, to: 'true' }

  const afterPermanent = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: 3600 })
    const key = crypto.randomUUID()
    const stop = await holdKey(world.stranger, world.team.actor.id, 'makeDeploymentPermanent', key)
    const first = mutations.makeDeploymentPermanent(world.context, { id, idempotencyKey: key })
    await untilBlocked(world.stranger, 'makeDeploymentPermanent')
    const second = underWay(mutations.setDeploymentTtl(world.context, { id, ttlHours: 1 }))
    await untilBlocked(world.stranger, 'setDeploymentTtl')
    await stop.undo()
    expect(outcomeOf(await first)).toBe('HEALTHY')
    return { outcome: outcomeOf(await second), ...(await expiryOf(world, id)) }
  }

  test('R05 a time limit for a deployment that has just become permanent is refused', async () => {
    expect(await afterPermanent(real)).toEqual({ outcome: 'NotExtendable', policy: 'PERMANENT', limited: false })
    await expect(afterPermanent(real.withMutants(stripped))).rejects.toMatchObject({ constraint: 'deployment_ttl' })
    await bare.stranger`alter table deployment drop constraint deployment_ttl`
    expect(await afterPermanent(bare.withMutants(stripped))).toMatchObject({ outcome: 'HEALTHY', limited: true })
  })

  test('R05 a time limit for a deployment that has just expired is refused', async () => {
    const play = async (world: World) => {
      const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
      return outcomeOf(
        await behind(world, id, 'expire', 'setDeploymentTtl', () =>
          mutations.setDeploymentTtl(world.context, { id, ttlHours: 1 }),
        ),
      )
    }
    expect(await play(real)).toBe('NotExtendable')
    expect(await play(bare.withMutants({ name: 'setDeploymentTtl', from: live, to: 'true' }))).toBe('EXPIRED')
  })
})

async function expiryOf(world: World, id: string) {
  const [row] = await world.stranger`select ttl_policy, expires_at from deployment where id = ${id}`
  return { policy: row?.ttl_policy, limited: row?.expires_at !== null }
}

test('R06 making an expired deployment permanent never answers success', async () => {
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'STOPPED', expiresInSeconds: -1 })
    const result = await behind(world, id, 'expire', 'makeDeploymentPermanent', () =>
      mutations.makeDeploymentPermanent(world.context, { id }),
    )
    return { success: !isRefusal(result), outcome: outcomeOf(result), operations: await operationsOf(world, id) }
  }
  const operations = ['deployment.tear_down PENDING']
  expect(await play(real)).toEqual({ success: false, outcome: 'NotExtendable', operations })
  const mutant = bare.withMutants({ name: 'makeDeploymentPermanent', from: live, to: 'true' })
  expect(await play(mutant)).toEqual({ success: true, outcome: 'EXPIRED', operations })
})
