// What callers and loops may rely on: a refusal is asked anew each time, no loop writes what the database does not know,
// and a caller who has lost the id finds its deployment by name instead of making another.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deployment as table } from '../../src/db/deployment.ts'
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import type { Machine } from '../../src/lifecycle/machine.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import { defineRule, transition } from '../../src/resolvers/transition.ts'
import { holdCounters, holdQueue, underWay, untilBlocked } from '../interleave.ts'
import { callOf, openWorld, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

test('R97 a refusal is not replayed: the same key is asked anew once the state has changed', async () => {
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const queue = await holdQueue(world.stranger, world.team.teamId)
    const stop = mutations.stopDeployment(world.context, { id })
    await untilBlocked(world.stranger, 'stopDeployment')
    const input = { id, idempotencyKey: crypto.randomUUID() }
    const early = underWay(mutations.redeployDeployment(world.context, input))
    await untilBlocked(world.stranger, 'redeployDeployment')
    await queue.release()
    await stop
    const outcomes = [outcomeOf(await early)]
    await world.stranger`update deployment set state = 'STOPPED', version = version + 1 where id = ${id}`
    await mutations.startDeployment(world.context, { id })
    outcomes.push(outcomeOf(await mutations.redeployDeployment(world.context, input)))
    return { outcomes, generation: (await seen(world, id)).generation }
  }
  expect(await play(real)).toEqual({ outcomes: ['NotRedeployable', 'BUILDING'], generation: 4 })
  // A key that is kept with whatever was found: the refusal itself is told as a success, and so is its repeat.
  const from = 'from moved m cross join found where'
  const keeping = { name: 'redeployDeployment', from, to: 'from found m cross join found where' }
  expect(await play(bare.withMutants(keeping))).toEqual({ outcomes: ['replayed', 'replayed'], generation: 3 })
})

/** A loop of the next version, which knows one state, or one move, more than the database. */
const looping = (machine: Machine, action: string) =>
  defineRule({ name: `loop.${action}`, subject: { table, machine, action, where: rules.stopDeployment.subject.where } })
const move = (from: string, to: string) => ({
  from: [from],
  to,
  by: ['reconcile-instances'] as const,
  refusal: 'IllegalState',
  description: 'Of another version.',
})

test('R100 a loop that writes a state that the database does not know writes nothing', async () => {
  const newer: Machine = {
    ...deploymentMachine,
    states: { ...deploymentMachine.states, PAUSED: { kind: 'resting', description: 'Of another version.' } },
    moves: { pauseDeployment: move('HEALTHY', 'PAUSED') },
  }
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const outcome = await transition(world.pool.db, looping(newer, 'pauseDeployment'), callOf(world, { id })).then(
      ({ kind }) => kind,
      (error: { constraint?: string }) => error.constraint,
    )
    return { outcome, state: (await seen(world, id)).state }
  }
  expect(await play(real)).toEqual({ outcome: 'deployment_lifecycle', state: 'HEALTHY' })
  // Without the trigger the CHECK constraint still knows the states; without both the row is lost to everybody.
  expect(await play(bare)).toEqual({ outcome: 'deployment_state', state: 'HEALTHY' })
  await bare.stranger`alter table deployment drop constraint deployment_state`
  expect(await play(bare)).toEqual({ outcome: 'moved', state: 'PAUSED' })
})

test('R101 a loop that makes a move that the database does not know makes none', async () => {
  const other: Machine = { ...deploymentMachine, moves: { reviveDeployment: move('EXPIRED', 'HEALTHY') } }
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'EXPIRED' })
    const outcome = await transition(world.pool.db, looping(other, 'reviveDeployment'), callOf(world, { id })).then(
      ({ kind }) => kind,
      (error: { constraint?: string }) => error.constraint,
    )
    return { outcome, state: (await seen(world, id)).state }
  }
  expect(await play(real)).toEqual({ outcome: 'deployment_lifecycle', state: 'EXPIRED' })
  expect(await play(bare)).toEqual({ outcome: 'moved', state: 'HEALTHY' })
})

test('R108 three deploys of one name make one deployment, and the losers are told how to redeploy it', async () => {
  const play = async (world: World) => {
    const input = { name: `agent-${crypto.randomUUID().slice(0, 8)}`, environment: 'production', image: 'hello:1' }
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const calls = [underWay(mutations.deploy(world.context, input))]
    await untilBlocked(world.stranger, 'deploy')
    for (const count of [2, 3]) {
      calls.push(underWay(mutations.deploy(world.context, input)))
      await untilBlocked(world.stranger, 'deploy', count)
    }
    await counters.release()
    const results = await Promise.all(calls)
    const [{ made } = { made: 0 }] = await world.stranger<{ made: number }[]>`
      select count(*)::int as made from deployment where name = ${input.name}`
    return { results, made, input }
  }
  const { results, made, input } = await play(real)
  expect(results.map(outcomeOf)).toEqual(['BUILDING', 'NameTaken', 'NameTaken'])
  expect(made).toBe(1)
  const [first, second] = results
  if (!first || !second || isRefusal(first) || !isRefusal(second)) throw new Error('one wins, the others are refused')
  const remedy = second.remedies.find(({ mutation }) => mutation === 'deploy')
  expect(remedy?.arguments).toEqual({ input: { ...input, redeploy: true } })
  const again = await mutations.deploy(real.context, remedy?.arguments?.input as mutations.DeployInput)
  expect(again).toMatchObject({ deployment: { id: first.deployment.id, generation: 2 } })
  await bare.stranger`drop index deployment_name`
  expect((await play(bare)).made).toBe(3)
})
