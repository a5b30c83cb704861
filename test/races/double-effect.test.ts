// Things that must happen once: one teardown for two expirers, one event for two deletions, one redeploy for two calls
// under one key, one roll-out for a storm. Each is played with the loser behind the winner, and with its guard rewritten.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as mutations from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import { claimOperation, failOperation, supersedeOutdated } from '../../src/resolvers/operation-rule.ts'
import { type Operation, type Rule, transition, transitionEach } from '../../src/resolvers/transition.ts'
import { hold, holdCounters, holdQueue, holdRow, stalling, underWay, untilBlocked } from '../interleave.ts'
import { callOf, chainOf, openWorld, operationsOf, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const pass = async (world: World, rule: Rule) =>
  (await transitionEach(world.pool.db, rule, callOf(world, {}), 100)).map(({ row }) => row.id)

describe('R20', () => {
  /** Two replicas run the same pass; the first is held with its rows moved and locked. */
  const play = async (world: World, rule: Rule, facts: Parameters<World['deployment']>[0], waits: boolean) => {
    const ids = [await world.deployment(facts), await world.deployment(facts)]
    // What gives room back waits at the counters, what only queues work at the team.
    const queue = await (rule.releases ? holdCounters : holdQueue)(world.stranger, world.team.teamId)
    const first = underWay(pass(world, rule))
    await untilBlocked(world.stranger, rule.name)
    const second = underWay(pass(world, rule))
    // Who does not leave locked rows alone is seen to wait for them.
    if (waits) await untilBlocked(world.stranger, rule.name, 2)
    else expect(await second).not.toEqual(expect.arrayContaining([ids[0]]))
    await queue.release()
    const moved = [...(await first), ...(await second)].filter((id) => ids.includes(id))
    return { moves: moved.length, operations: (await Promise.all(ids.map((id) => operationsOf(world, id)))).flat() }
  }
  const operations = (count: number) => Array.from({ length: count }, () => 'deployment.tear_down PENDING')

  test.each([
    ['expirer', rules.expireDeployment as unknown as Rule, { state: 'HEALTHY', expiresInSeconds: -1 }],
    ['net under teardowns', rules.tearDownDeployment as unknown as Rule, { state: 'DELETING' }],
  ] as const)('R20 a pass runs in two replicas at once and each row is taken once: the %s', async (_, rule, facts) => {
    expect(await play(real, rule, facts, false)).toEqual({ moves: 2, operations: operations(2) })
    const plain = { name: rule.name, from: ' for no key update skip locked', to: '' }
    const ageless = { name: rule.name, from: '"found"."version" = (', to: '0 <> (' }
    const mutant = rule.name === 'tearDownDeployment' ? bare.withMutants(plain, ageless) : bare.withMutants(plain)
    expect(await play(mutant, rule, facts, true)).toEqual({ moves: 4, operations: operations(4) })
  })

  test('R20 a replica whose snapshot is from before the other one does not queue a teardown again', async () => {
    const play = async (world: World) => {
      const id = await world.deployment({ state: 'DELETING' })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(20)')
      const late = underWay(pass(world, rules.tearDownDeployment as unknown as Rule))
      await untilBlocked(world.stranger, 'tearDownDeployment')
      expect(await pass(real, rules.tearDownDeployment as unknown as Rule)).toContain(id)
      await stall.release()
      return { again: (await late).includes(id), operations: await operationsOf(world, id) }
    }
    const stalled = stalling('tearDownDeployment', 'deployment', 20)
    expect(await play(real.withMutants(...stalled))).toEqual({ again: false, operations: operations(1) })
    const ageless = { name: 'tearDownDeployment', from: '"found"."version" = (', to: '0 <> (' }
    expect(await play(real.withMutants(...stalled, ageless))).toEqual({ again: true, operations: operations(2) })
  })
})

test('R21 a lost swap tells nobody', async () => {
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = mutations.deleteDeployment(world.context, { id })
    await untilBlocked(world.stranger, 'deleteDeployment')
    const second = underWay(mutations.deleteDeployment(world.context, { id }))
    await untilBlocked(world.stranger, 'deleteDeployment', 2)
    await counters.release()
    const outcomes = [outcomeOf(await first), outcomeOf(await second)]
    return { outcomes, chain: await chainOf(world, id), operations: await operationsOf(world, id) }
  }
  const outcomes = ['DELETING', 'DeploymentAlreadyDeleted']
  const operations = ['deployment.tear_down PENDING']
  expect(await play(real)).toEqual({ outcomes, operations, chain: ['deleteDeployment HEALTHY→DELETING'] })
  const from = 'from "moved" join "found" on "found".id = "moved".id'
  const noisy = { name: 'deleteDeployment', from, to: from.replace('"moved"', '"found" as "moved"') }
  // Whoever tells of what was found instead of what was moved tells twice.
  const { chain } = await play(bare.withMutants(noisy))
  expect(chain).toHaveLength(2)
})

describe('one key', () => {
  /** Two calls under one key, both waiting for the row before either can see the other's key. */
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const row = await holdRow(world.stranger, 'deployment', id)
    const input = { id, idempotencyKey: crypto.randomUUID() }
    const first = mutations.redeployDeployment(world.context, input)
    await untilBlocked(world.stranger, 'redeployDeployment')
    const second = underWay(mutations.redeployDeployment(world.context, input))
    await untilBlocked(world.stranger, 'redeployDeployment', 2)
    await row.release()
    const outcomes = [outcomeOf(await first), outcomeOf(await second)]
    const { generation } = await seen(world, id)
    return { outcomes, generation, operations: (await operationsOf(world, id)).length }
  }
  const once = { outcomes: ['BUILDING', 'replayed'], generation: 2, operations: 1 }
  const twice = { outcomes: ['BUILDING', 'BUILDING'], generation: 3, operations: 2 }

  test('R22 one key runs once though neither call sees the other one: the unique row decides', async () => {
    expect(await play(real)).toEqual(once)
    const keyless = await openWorld()
    await keyless.stranger`alter table idempotency_key drop constraint idempotency_key_actor_id_mutation_key_pk`
    expect(await play(keyless)).toEqual(twice)
    await keyless.close()
  })

  test('R23 one key runs once: the reservation that fails takes everything back', async () => {
    expect(await play(real)).toEqual(once)
    const from = 'from moved m cross join found where $22::text is not null'
    const deaf = { name: 'redeployDeployment', from, to: `${from} on conflict do nothing` }
    expect(await play(bare.withMutants(deaf))).toEqual(twice)
  })
})

test('R33 of a storm of redeploys only the newest generation runs', async () => {
  const storm = 10
  const play = async (world: World) => {
    const kind = 'deployment.roll_out'
    const values = { kind, kinds: kind, workerId: 'test', leaseMs: 10_000 }
    const id = await world.deployment({ state: 'DEPLOYING' })
    const running = await world.operation({ subjectId: id, state: 'RUNNING', claimToken: 'first', dueInSeconds: 60 })
    const row = await holdRow(world.stranger, 'deployment', id)
    const replica = { ...world.context, db: world.openPool(storm).db }
    const calls = Array.from({ length: storm }, () => underWay(mutations.redeployDeployment(replica, { id })))
    await untilBlocked(world.stranger, 'redeployDeployment', storm)
    await row.release()
    const outcomes = (await Promise.all(calls)).map(outcomeOf)
    const claimed: number[] = []
    const claim = async () => {
      await transitionEach(
        world.pool.db,
        supersedeOutdated('Deployment') as unknown as Rule,
        callOf(world, values),
        200,
      )
      const rows = await transitionEach(world.pool.db, claimOperation('Deployment'), callOf(world, values), 100)
      return rows.map(({ row }) => row as Operation).filter((row) => row.subjectId === id)
    }
    // While the first generation is at work nothing of the subject is begun.
    expect(await claim()).toHaveLength(0)
    const end = (operationId: string, claimToken: string) =>
      transition(world.pool.db, failOperation, callOf(world, { id: operationId, claimToken, outcome: 'left' }))
    expect((await end(running, 'first')).kind).toBe('moved')
    for (let held = await claim(); held.length > 0; held = await claim()) {
      claimed.push(...held.map((row) => row.generation))
      for (const row of held) await end(row.id, String(row.claimToken))
    }
    return { won: outcomes.filter((outcome) => outcome === 'BUILDING').length, claimed }
  }
  expect(await play(real)).toEqual({ won: storm, claimed: [storm + 1] })
  const name = 'supersedeOutdated:Deployment'
  const keeping = { name, from: '"deployment"."generation" > ', to: 'false and "deployment"."generation" > ' }
  // Without it each of the storm is begun, one after another.
  expect(await play(bare.withMutants(keeping))).toEqual({
    won: storm,
    claimed: Array.from({ length: storm }, (_, n) => n + 2),
  })
})
