// Moves that must lose: what comes late, or from a wish that is outdated, never brings a deployment back, never overwrites
// its end. In each race the winner is held half-way, moved and locked, while the loser is seen to queue behind it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { deployment as table } from '../../src/db/deployment.ts'
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import { unitsOf } from '../../src/resolvers/instance-rule.ts'
import { defineRule, transition } from '../../src/resolvers/transition.ts'
import { holdQueue, underWay, untilBlocked } from '../interleave.ts'
import { behind, expire, states, workable } from './behind.ts'
import { callOf, chainOf, openWorld, operationsOf, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

describe('R01', () => {
  const play = async (world: World, winner: 'expire' | 'delete') => {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
    const result = await behind(world, id, winner, 'redeployDeployment', () =>
      mutations.redeployDeployment(world.context, { id }),
    )
    return { outcome: outcomeOf(result), state: (await seen(world, id)).state, chain: await chainOf(world, id) }
  }
  const mutant = { name: 'redeployDeployment', from: workable, to: 'true' }

  test('R01 redeploy against expiry never revives', async () => {
    expect(await play(real, 'expire')).toEqual({
      outcome: 'NotRedeployable',
      state: 'EXPIRED',
      chain: ['expireDeployment HEALTHY→EXPIRED'],
    })
    expect(await play(bare.withMutants(mutant), 'expire')).toMatchObject({ outcome: 'BUILDING', state: 'BUILDING' })
  })

  test('R01 redeploy against deletion never revives', async () => {
    expect(await play(real, 'delete')).toEqual({
      outcome: 'NotRedeployable',
      state: 'DELETING',
      chain: ['deleteDeployment HEALTHY→DELETING'],
    })
    expect(await play(bare.withMutants(mutant), 'delete')).toMatchObject({ outcome: 'BUILDING', state: 'BUILDING' })
  })

  test('R01 the database itself refuses a redeploy that has lost its guard', async () => {
    await expect(play(real.withMutants(mutant), 'expire')).rejects.toMatchObject({
      kind: 'constraint',
      constraint: 'deployment_lifecycle',
    })
  })

  test('R01 redeploy first, expiry second: the expiry wins in the end', async () => {
    const id = await real.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
    const queue = await holdQueue(real.stranger, real.team.teamId)
    const redeploy = mutations.redeployDeployment(real.context, { id })
    await untilBlocked(real.stranger, 'redeployDeployment')
    // The row is held: a pass leaves it alone and does not wait.
    expect(await expire(real)).not.toContain(id)
    await queue.release()
    expect(outcomeOf(await redeploy)).toBe('BUILDING')
    expect(await expire(real)).toContain(id)
    expect(outcomeOf(await mutations.redeployDeployment(real.context, { id }))).toBe('NotRedeployable')
    expect(await seen(real, id)).toMatchObject({ state: 'EXPIRED', generation: 3 })
  })
})

describe('R02', () => {
  const play = async (world: World, winner: 'expire' | 'delete', ending: 'HEALTHY' | 'FAILED') => {
    const id = await world.deployment({ state: 'DEPLOYING', expiresInSeconds: -1 })
    const operationId = await world.operation({ subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 })
    const rule = ending === 'HEALTHY' ? rules.markDeploymentHealthy : rules.markDeploymentFailed
    const facts = {
      id,
      operationId,
      claimToken: 'mine',
      generation: 1,
      outcome: 'late',
      url: 'http://late',
      instanceId: 'i',
      ...unitsOf('PROCESS'),
    }
    const late = await behind(world, id, winner, rule.name, () => transition(world.pool.db, rule, callOf(world, facts)))
    return { late: late.kind, state: (await seen(world, id)).state, operations: await operationsOf(world, id) }
  }
  const atGeneration = '"found"."generation" = '

  test.each(['expire', 'delete'] as const)(
    'R02 a build that ends late writes nothing over a deployment that has ended: %s',
    async (winner) => {
      const state = winner === 'expire' ? 'EXPIRED' : 'DELETING'
      for (const ending of ['HEALTHY', 'FAILED'] as const) {
        expect(await play(real, winner, ending)).toEqual({
          late: 'refused',
          state,
          operations: ['deployment.roll_out RUNNING', 'deployment.tear_down PENDING'],
        })
        const name = ending === 'HEALTHY' ? 'markDeploymentHealthy' : 'markDeploymentFailed'
        const guard = ending === 'HEALTHY' ? states('DEPLOYING') : states('BUILDING', 'DEPLOYING')
        const stateless = { name, from: guard, to: 'true' }
        const ageless = { name, from: atGeneration, to: '0 <> ' }
        expect(await play(bare.withMutants(stateless, ageless), winner, ending)).toMatchObject({
          late: 'moved',
          state: ending,
        })
        // Either of the two guards is enough here.
        expect(await play(bare.withMutants(stateless), winner, ending)).toMatchObject({ late: 'refused', state })
        expect(await play(bare.withMutants(ageless), winner, ending)).toMatchObject({ late: 'refused', state })
      }
    },
  )
})

describe('R03', () => {
  /** The runner of the first image is about to start it when a second image is asked for. */
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'BUILDING', image: 'hello:1' })
    const operationId = await world.operation({ subjectId: id, state: 'RUNNING', claimToken: 'first', attempt: 1 })
    const queue = await holdQueue(world.stranger, world.team.teamId)
    const newer = mutations.redeployDeployment(world.context, { id, image: 'hello:2' })
    await untilBlocked(world.stranger, 'redeployDeployment')
    const facts = { id, operationId, claimToken: 'first', generation: 1, outcome: 'ready', ...unitsOf('PROCESS') }
    const older = underWay(transition(world.pool.db, rules.rollOutDeployment, callOf(world, facts)))
    await untilBlocked(world.stranger, 'rollOutDeployment')
    await queue.release()
    const outcomes = [outcomeOf(await newer), (await older).kind]
    const healthy = { ...facts, ...unitsOf('PROCESS'), url: 'http://first', instanceId: 'first' }
    outcomes.push((await transition(world.pool.db, rules.markDeploymentHealthy, callOf(world, healthy))).kind)
    const { state, generation, url } = await seen(world, id)
    return { outcomes, state, generation, url }
  }

  test('R03 two redeploys overlap and the newer image wins', async () => {
    expect(await play(real)).toEqual({
      outcomes: ['BUILDING', 'refused', 'refused'],
      state: 'BUILDING',
      generation: 2,
      url: null,
    })
    const ageless = ['rollOutDeployment', 'markDeploymentHealthy'].map((name) => ({
      name,
      from: '"found"."generation" = ',
      to: '0 <> ',
    }))
    expect(await play(bare.withMutants(...ageless))).toEqual({
      outcomes: ['BUILDING', 'moved', 'moved'],
      state: 'HEALTHY',
      generation: 2,
      url: 'http://first',
    })
  })
})

test('R15 a reconciler that has seen a crash does not write over the end of a deployment', async () => {
  const giveUp = defineRule({
    name: 'giveUpDeployment',
    subject: {
      table,
      machine: deploymentMachine,
      action: 'giveUpDeployment',
      where: rules.stopDeployment.subject.where,
    },
  })
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const result = await behind(world, id, 'delete', 'giveUpDeployment', () =>
      transition(world.pool.db, giveUp, callOf(world, { id })),
    )
    return { kind: result.kind, state: (await seen(world, id)).state }
  }
  expect(await play(real)).toEqual({ kind: 'refused', state: 'DELETING' })
  const mutant = bare.withMutants({ name: 'giveUpDeployment', from: states('HEALTHY'), to: 'true' })
  expect(await play(mutant)).toEqual({ kind: 'moved', state: 'FAILED' })
})
