// Moves of stacks that must lose: what comes behind a deletion never brings a stack back, and what a worker has to say of an
// outdated wish, or under a claim that another one has, is not written, be it about one service or about all of them.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StackState } from '../../src/lifecycle/stack.ts'
import { createStack, deleteStack, redeployStack } from '../../src/resolvers/stack.ts'
import { giveUpStack } from '../../src/resolvers/stack-restart-rule.ts'
import * as rules from '../../src/resolvers/stack-rule.ts'
import { transition, transitionEach } from '../../src/resolvers/transition.ts'
import { putInstance } from '../instances/row.ts'
import { holdCounters, holdQueue, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { giveStackRoom, serviceOf } from '../stacks/row.ts'
import {
  behindDeletion,
  liveStackGuard,
  openStackWorld,
  type StackWorld,
  seenStack,
  stackOutcome,
} from './stack-world.ts'
import { callOf, chainOf, operationsOf } from './world.ts'

let real: StackWorld
let bare: StackWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openStackWorld(), openStackWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

describe('R07', () => {
  const mutant = { name: 'redeployStack', from: liveStackGuard, to: 'true' }
  const play = async (world: StackWorld, state: StackState) => {
    const id = await world.stack({ state })
    const services = [serviceOf('other')]
    const { deletion, late } = await behindDeletion(world, id, 'redeployStack', () =>
      redeployStack(world.context, { id, services }),
    )
    const row = await seenStack(world, id)
    const outcomes = [deletion, stackOutcome(late)]
    return { outcomes, state: row.state, services: row.services.length, chain: await chainOf(world, id) }
  }

  test('R07 a redeploy behind a deletion never revives the stack, whatever its state was', async () => {
    for (const state of ['BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED'] as const) {
      expect(await play(real, state)).toEqual({
        outcomes: ['DELETING', 'StackDeleting'],
        state: 'DELETING',
        services: 2,
        chain: [`deleteStack ${state}→DELETING`],
      })
    }
    expect(await play(bare.withMutants(mutant), 'HEALTHY')).toMatchObject({
      outcomes: ['DELETING', 'BUILDING'],
      state: 'BUILDING',
      services: 1,
    })
  })

  test('R07 the database itself refuses a redeploy that has lost its guard', async () => {
    await expect(play(real.withMutants(mutant), 'HEALTHY')).rejects.toMatchObject({ constraint: 'stack_lifecycle' })
  })

  test('R07 redeploy first, deletion second: both are accepted, and the end is the end', async () => {
    const id = await real.stack({ state: 'HEALTHY' })
    const queue = await holdQueue(real.stranger, real.team.teamId)
    const redeploy = underWay(redeployStack(real.context, { id }))
    await untilBlocked(real.stranger, 'redeployStack')
    const deletion = underWay(deleteStack(real.context, { id }))
    await untilBlocked(real.stranger, 'deleteStack')
    await queue.release()
    expect([stackOutcome(await redeploy), stackOutcome(await deletion)]).toEqual(['BUILDING', 'DELETING'])
    expect(await operationsOf(real, id)).toEqual(['stack.roll_out PENDING', 'stack.tear_down PENDING'])
    expect(await seenStack(real, id)).toMatchObject({ state: 'DELETING', generation: 3 })
  })
})

/** What a worker may have to say, from which state, and the guard on that state. */
const sayings = {
  rollOutStack: { rule: rules.rollOutStack, from: 'BUILDING', guard: `"found".state in ('BUILDING')` },
  progressStack: { rule: rules.progressStack, from: 'DEPLOYING', guard: `"found".state in ('DEPLOYING')` },
  markStackHealthy: { rule: rules.markStackHealthy, from: 'DEPLOYING', guard: `"found".state in ('DEPLOYING')` },
  markStackFailed: {
    rule: rules.markStackFailed,
    from: 'DEPLOYING',
    guard: `"found".state in ('BUILDING', 'DEPLOYING')`,
  },
} as const
type Saying = keyof typeof sayings
const each = Object.keys(sayings) as Saying[]
const told = { state: 'HEALTHY', generation: 1, url: 'http://late', instanceId: 'late' }
const say = (world: StackWorld, saying: Saying, id: string, operationId: string, claimToken = 'mine') => {
  const values = {
    id,
    operationId,
    claimToken,
    generation: 1,
    outcome: 'late',
    removed: '',
    instances: '[]',
    runtime: 'PROCESS',
  }
  const placed = JSON.stringify({ web: told })
  return transition(world.pool.db, sayings[saying].rule as never, callOf(world, { ...values, placed }))
}
const stateless = (name: Saying): Mutation => ({ name, from: sayings[name].guard, to: 'true' })
const ageless = (name: Saying): Mutation => ({ name, from: '"found"."generation" = ', to: '0 <> ' })

describe('R09', () => {
  const late = async (world: StackWorld, saying: Saying) => {
    const id = await world.stack({ state: sayings[saying].from })
    const operationId = await world.work({ subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 })
    const { late } = await behindDeletion(world, id, saying, () => say(world, saying, id, operationId))
    const { state, placed } = await seenStack(world, id)
    return { said: late.kind, state, placed, operations: await operationsOf(world, id) }
  }
  const untouched = { web: {}, api: {} }

  test.each(each)('R09 an outcome that comes behind a deletion writes nothing: %s', async (saying) => {
    expect(await late(real, saying)).toEqual({
      said: 'refused',
      state: 'DELETING',
      placed: untouched,
      operations: ['stack.roll_out RUNNING', 'stack.tear_down PENDING'],
    })
    const careless = bare.withMutants(stateless(saying), ageless(saying))
    const written = await late(careless, saying)
    expect(written.said).toBe('moved')
    // A deletion leaves DELETING only where the outcome is a state of its own.
    expect(written.state).toBe(
      { rollOutStack: 'DEPLOYING', progressStack: 'DELETING', markStackHealthy: 'HEALTHY', markStackFailed: 'FAILED' }[
        saying
      ],
    )
    if (saying !== 'markStackHealthy') expect(written.placed.web).toEqual(told)
    // Either of the two guards is enough here.
    expect(await late(bare.withMutants(stateless(saying)), saying)).toMatchObject({ said: 'refused' })
    expect(await late(bare.withMutants(ageless(saying)), saying)).toMatchObject({ said: 'refused' })
  })

  test.each(each)('R09 an outcome of an older wish is not taken for one of the newer: %s', async (saying) => {
    const play = async (world: StackWorld) => {
      const id = await world.stack({ state: sayings[saying].from, generation: 2 })
      const operationId = await world.work({ subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 })
      const { kind } = await say(world, saying, id, operationId)
      return { kind, placed: (await seenStack(world, id)).placed.web }
    }
    expect(await play(real)).toEqual({ kind: 'refused', placed: {} })
    // The state is the right one: only the generation is against it.
    expect(await play(bare.withMutants(ageless(saying)))).toMatchObject({ kind: 'moved' })
  })

  test('R09 an outcome that comes while a newer redeploy is under way waits for it, and is refused', async () => {
    const play = async (world: StackWorld) => {
      const id = await world.stack({ state: 'DEPLOYING' })
      const operationId = await world.work({ subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 })
      const queue = await holdQueue(world.stranger, world.team.teamId)
      const newer = redeployStack(world.context, { id })
      await untilBlocked(world.stranger, 'redeployStack')
      const older = underWay(say(world, 'markStackHealthy', id, operationId))
      await untilBlocked(world.stranger, 'markStackHealthy')
      await queue.release()
      const outcomes = [stackOutcome(await newer), (await older).kind]
      return { outcomes, state: (await seenStack(world, id)).state }
    }
    expect(await play(real)).toEqual({ outcomes: ['BUILDING', 'refused'], state: 'BUILDING' })
    const careless = bare.withMutants(stateless('markStackHealthy'), ageless('markStackHealthy'))
    expect(await play(careless)).toEqual({ outcomes: ['BUILDING', 'moved'], state: 'HEALTHY' })
  })
})

test.each(each)(
  'R16 a worker whose claim another one has writes nothing about a service or a stack: %s',
  async (saying) => {
    const play = async (world: StackWorld) => {
      const id = await world.stack({ state: sayings[saying].from })
      const operationId = await world.work({ subjectId: id, state: 'RUNNING', claimToken: 'theirs', attempt: 2 })
      return (await say(world, saying, id, operationId)).kind
    }
    expect(await play(real)).toBe('refused')
    const claimless = { name: saying, from: '"found_also"."claim_token" = ', to: `'' <> ` }
    expect(await play(bare.withMutants(claimless))).toBe('moved')
  },
)

test('R15 what has been seen to die does not write over the end of a stack, nor over runs that are newer', async () => {
  const play = async (
    world: StackWorld,
    instanceId: string,
    ask: (run: () => Promise<{ kind: string }>, id: string) => Promise<{ kind: string }>,
  ) => {
    const id = await world.stack({ state: 'HEALTHY', placed: { web: { instanceId } } })
    const facts = {
      teamId: world.team.teamId,
      runtime: 'PROCESS',
      state: 'ONLINE',
      subjectId: id,
      service: 'web',
      instanceId,
    } as const
    const instance = await putInstance(world.stranger, facts)
    await world.stranger`update instance set recent_restarts = 5 where id = ${instance}`
    const captured = { instance, instanceId: 'old', generation: 1, service: 'web', reason: 'it died' }
    const { kind } = await ask(() => transition(world.pool.db, giveUpStack, callOf(world, { id, ...captured })), id)
    return { kind, state: (await seenStack(world, id)).state }
  }
  const behind = (world: StackWorld) =>
    play(world, 'old', async (run, id) => (await behindDeletion(world, id, 'giveUpStack', run)).late)
  expect(await behind(real)).toEqual({ kind: 'refused', state: 'DELETING' })
  const name = 'giveUpStack'
  const careless = [
    { name, from: `"found".state in ('HEALTHY', 'FAILED')`, to: 'true' },
    { name, from: '"found"."generation" = ', to: '0 <> ' },
  ]
  expect(await behind(bare.withMutants(...careless))).toEqual({ kind: 'moved', state: 'FAILED' })
  const replaced = (world: StackWorld) => play(world, 'new', (run) => run())
  expect(await replaced(real)).toEqual({ kind: 'refused', state: 'HEALTHY' })
  const anyRun = { name, from: '"found_also"."instance_id" = ', to: `'' <> ` }
  expect(await replaced(bare.withMutants(anyRun))).toEqual({ kind: 'moved', state: 'FAILED' })
})

test('R17 two deletions of a stack: one teardown, and the loser is told when it happened', async () => {
  const twice = async (world: StackWorld) => {
    const id = await world.stack({ state: 'HEALTHY' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = deleteStack(world.context, { id })
    await untilBlocked(world.stranger, 'deleteStack')
    const second = underWay(deleteStack(world.context, { id }))
    await untilBlocked(world.stranger, 'deleteStack', 2)
    await counters.release()
    const results = [await first, await second]
    return { id, results, operations: await operationsOf(world, id) }
  }
  const { id, results, operations } = await twice(real)
  expect(results.map(stackOutcome)).toEqual(['DELETING', 'StackAlreadyDeleted'])
  expect(results[1]).toMatchObject({ retryable: false, facts: { deletedAt: (await seenStack(real, id)).deletedAt } })
  expect(operations).toEqual(['stack.tear_down PENDING'])
  const careless = { name: 'deleteStack', from: liveStackGuard, to: 'true' }
  expect((await twice(bare.withMutants(careless))).operations).toHaveLength(2)
})

test('R20 the net under teardowns runs in two replicas at once and takes each stack once', async () => {
  const play = async (world: StackWorld, waits: boolean) => {
    const ids = [await world.stack({ state: 'DELETING' }), await world.stack({ state: 'DELETING' })]
    const pass = async () =>
      (await transitionEach(world.pool.db, rules.tearDownStack, callOf(world, {}), 100)).map(({ row }) => row.id)
    const queue = await holdQueue(world.stranger, world.team.teamId)
    const first = underWay(pass())
    await untilBlocked(world.stranger, 'tearDownStack')
    const second = underWay(pass())
    if (waits) await untilBlocked(world.stranger, 'tearDownStack', 2)
    else expect(await second).toEqual([])
    await queue.release()
    await Promise.all([first, second])
    return (await Promise.all(ids.map((id) => operationsOf(world, id)))).map((all) => all.length)
  }
  expect(await play(real, false)).toEqual([1, 1])
  const plain = { name: 'tearDownStack', from: ' for no key update skip locked', to: '' }
  const ageless = { name: 'tearDownStack', from: '"found"."version" = (', to: '0 <> (' }
  expect(await play(bare.withMutants(plain, ageless), true)).toEqual([2, 2])
})

describe('births', () => {
  const create = (world: StackWorld, name: string) => createStack(world.context, { name, services: [] })
  const both = async (world: StackWorld, names: [string, string]) => {
    // Whoever comes first has its row inserted and waits at the counters.
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = create(world, names[0])
    await untilBlocked(world.stranger, 'createStack')
    const second = underWay(create(world, names[1]))
    await untilBlocked(world.stranger, 'createStack', 2)
    await counters.release()
    return [stackOutcome(await first), stackOutcome(await second)]
  }

  test('R24 R25 of two that make a stack of one name one does, and the other is told who holds it', async () => {
    expect(await both(real, ['twin', 'twin'])).toEqual(['BUILDING', 'NameTaken'])
    const nameless = await openStackWorld()
    await nameless.stranger`drop index stack_name`
    expect(await both(nameless, ['twin', 'twin'])).toEqual(['BUILDING', 'BUILDING'])
    await nameless.close()
  })

  test('R85 R86 the last place of the plan is had once', async () => {
    const full = await openStackWorld()
    await giveStackRoom(full.stranger, full.team.teamId, 1)
    expect(await both(full, ['one', 'two'])).toEqual(['BUILDING', 'QuotaExceeded'])
    await full.close()
  })
})
