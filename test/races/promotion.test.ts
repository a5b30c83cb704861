// Promotions that meet a deletion, each other, or the last place of the plan: one statement decides from what its locks show.
// In each race the winner is held half-way, moved and locked, while the loser has looked already and is seen to queue behind.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { type PromotionPayload, promoteStack } from '../../src/resolvers/promotion.ts'
import { withdrawPromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { deleteStack } from '../../src/resolvers/stack.ts'
import { patient } from '../database.ts'
import { createGates, holdCounters, holdKey, holdQueue, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { room } from '../promotions/refusal-case.ts'
import {
  accepted,
  openPromotionWorld,
  outcome,
  type PromotionWorld,
  pair,
  toEnvironment,
  unique,
} from '../promotions/world.ts'
import { contextFor } from '../row.ts'
import { seenStack } from './stack-world.ts'
import { chainOf, operationsOf } from './world.ts'

let real: PromotionWorld
let bare: PromotionWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openPromotionWorld(), openPromotionWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const live = `.state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')`
const use = (world: PromotionWorld, stackId: string, approvalId: string) =>
  promoteStack(world.context, { stackId, toEnvironment, approvalId })

describe('R08', () => {
  /** The one that is deleted has left its state, and waits at the counters. */
  const play = async (world: PromotionWorld, which: 'source' | 'target') => {
    const { stackId, targetId } = await pair(world)
    const approval = await world.approved('STACK', stackId)
    const id = which === 'source' ? stackId : targetId
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const deletion = deleteStack(world.context, { id })
    await untilBlocked(world.stranger, 'deleteStack')
    const promotion = underWay(use(world, stackId, approval))
    await untilBlocked(world.stranger, 'promoteStack:into')
    await counters.release()
    const outcomes = [outcome(await deletion), outcome(await promotion)]
    const { state, services } = await seenStack(world, targetId)
    return { outcomes, approval: await world.approvalState(approval), state, services: services.length }
  }
  const mutantOf = (which: 'source' | 'target'): Mutation => {
    const cte = which === 'source' ? '"found_read"' : '"found_also"'
    return { name: 'promoteStack:into', from: cte + live, to: 'true' }
  }

  test('R08 a promotion behind the deletion of its target does not bring it back, and its approval is not used up', async () => {
    expect(await play(real, 'target')).toEqual({
      outcomes: ['accepted', 'StackDeleting'],
      approval: 'APPROVED',
      state: 'DELETING',
      services: 1,
    })
    expect(await play(bare.withMutants(mutantOf('target')), 'target')).toEqual({
      outcomes: ['accepted', 'accepted'],
      approval: 'EXECUTED',
      state: 'BUILDING',
      services: 2,
    })
  })

  test('R08 the database itself refuses a promotion that has lost that guard, as a whole', async () => {
    await expect(play(real.withMutants(mutantOf('target')), 'target')).rejects.toMatchObject({
      constraint: 'stack_lifecycle',
    })
    const [{ executed } = { executed: 0 }] = await real.stranger<{ executed: number }[]>`
      select count(*)::int as executed from promotion_approval where state = 'EXECUTED'`
    expect(executed).toBe(0)
  })

  test('R08 nothing is promoted out of a source behind its deletion', async () => {
    expect(await play(real, 'source')).toEqual({
      outcomes: ['accepted', 'StackDeleting'],
      approval: 'APPROVED',
      state: 'BUILDING',
      services: 1,
    })
    expect(await play(bare.withMutants(mutantOf('source')), 'source')).toMatchObject({
      approval: 'EXECUTED',
      services: 2,
    })
  })
})

describe('R27', () => {
  /** Two stacks of one name, in environments of their own, or one of them twice, into an environment that has none yet. */
  const play = async (world: PromotionWorld, sources: 1 | 2) => {
    const name = unique('shop-')
    const first = await world.stack({ name })
    const second = sources === 1 ? first : await world.stack({ name, environment: 'qa' })
    const approvals = [await world.approved('STACK', first), await world.approved('STACK', second)] as const
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const winner = underWay(use(world, first, approvals[0]))
    await untilBlocked(world.stranger, 'promoteStack:new')
    const loser = underWay(use(world, second, approvals[1]))
    await untilBlocked(world.stranger, 'promoteStack:new', 2)
    await counters.release()
    const outcomes = [outcome(await winner), outcome(await loser)]
    const states = await Promise.all(approvals.map((id) => world.approvalState(id)))
    return { outcomes, states, targets: await world.live('stack', toEnvironment, name) }
  }

  test.each([1, 2] as const)('R27 two promotions make one target: of %i sources', async (sources) => {
    expect(await play(real, sources)).toEqual({
      outcomes: ['accepted', 'ApprovalStale'],
      states: ['EXECUTED', 'APPROVED'],
      targets: 1,
    })
  })

  test('R27 without the unique name there are two', async () => {
    const loose = await openPromotionWorld({ guards: false })
    await loose.stranger`drop index stack_name`
    expect(await play(loose, 2)).toMatchObject({ outcomes: ['accepted', 'accepted'], targets: 2 })
    await loose.close()
  })
})

/** The first of two uses is held with the approval and the target moved, when the second one has looked already. */
async function twice(world: PromotionWorld, approvals: 1 | 2) {
  const { stackId, targetId } = await pair(world)
  const first = await world.approved('STACK', stackId)
  const second = approvals === 1 ? first : await world.approved('STACK', stackId)
  const queue = await holdQueue(world.stranger, world.team.teamId)
  const winner = underWay(use(world, stackId, first))
  await untilBlocked(world.stranger, 'promoteStack:into')
  const loser = underWay(use(world, stackId, second))
  await untilBlocked(world.stranger, 'promoteStack:into', 2)
  await queue.release()
  const results = [await winner, await loser] as const
  const { generation, specVersion } = await seenStack(world, targetId)
  const states = [await world.approvalState(first), await world.approvalState(second)]
  const work = (await operationsOf(world, targetId)).length
  return { results, outcomes: results.map(outcome), states, generation, specVersion, work, targetId, first }
}

test('R26 two approvals of one plan are live: once one of them is used the other one is stale', async () => {
  expect(await twice(real, 2)).toMatchObject({
    outcomes: ['accepted', 'ApprovalStale'],
    states: ['EXECUTED', 'APPROVED'],
    generation: 2,
    specVersion: 2,
    work: 2,
  })
  // Locked, but not compared with what was planned.
  const blind = { name: 'promoteStack:into', from: '"found_also"."spec_version" = ', to: '0 <> ' }
  expect(await twice(bare.withMutants(blind), 2)).toMatchObject({ outcomes: ['accepted', 'accepted'], generation: 3 })
})

test('R35 a promotion that is asked for twice happens once, and the second call is told of the first one’s work', async () => {
  const { results, first, targetId, ...seen } = await twice(real, 1)
  expect(seen).toEqual({
    outcomes: ['accepted', 'ApprovalAlreadyExecuted'],
    states: ['EXECUTED', 'EXECUTED'],
    generation: 2,
    specVersion: 2,
    work: 2,
  })
  const [won, lost] = results as unknown as [{ operation: { id: string } }, { facts: Record<string, unknown> }]
  expect(lost.facts).toMatchObject({
    operation: { id: won.operation.id, subjectId: targetId },
    promotionApproval: { id: first, operationId: won.operation.id },
  })
  const ungated = { name: 'promoteStack:into', from: `"found".state in ('APPROVED')`, to: 'true' }
  const blind = { name: 'promoteStack:into', from: '"found_also"."spec_version" = ', to: '0 <> ' }
  expect(await twice(bare.withMutants(ungated, blind), 1)).toMatchObject({
    outcomes: ['accepted', 'accepted'],
    work: 3,
  })
})

describe('R52', () => {
  /** The approval is taken back, not committed yet, when the promotion comes for it. */
  const play = async (world: PromotionWorld) => {
    const { stackId, targetId } = await pair(world)
    const approval = await world.approved('STACK', stackId)
    const before = await world.row('stack', targetId)
    const idempotencyKey = unique('k')
    const key = await holdKey(world.stranger, world.team.actor.id, 'withdrawPromotion', idempotencyKey)
    const withdrawal = withdrawPromotion(world.context, { id: approval, idempotencyKey })
    await untilBlocked(world.stranger, 'withdrawPromotion')
    const promotion = underWay(use(world, stackId, approval))
    await untilBlocked(world.stranger, 'promoteStack:into')
    await key.undo()
    const outcomes = [outcome(await withdrawal), outcome(await promotion)]
    const untouched = (await world.row('stack', targetId)) === before
    return { outcomes, state: await world.approvalState(approval), untouched, chain: await chainOf(world, approval) }
  }

  test('R52 a promotion that loses its approval changes nothing', async () => {
    expect(await play(real)).toEqual({
      outcomes: ['accepted', 'ApprovalNotApproved'],
      state: 'WITHDRAWN',
      untouched: true,
      chain: ['requestPromotion →PENDING', 'approvePromotion PENDING→APPROVED', 'withdrawPromotion APPROVED→WITHDRAWN'],
    })
    const ungated = { name: 'promoteStack:into', from: `"found".state in ('APPROVED')`, to: 'true' }
    expect(await play(bare.withMutants(ungated))).toMatchObject({
      outcomes: ['accepted', 'accepted'],
      untouched: false,
    })
  })

  test('R52 nor does one whose writes do not wait for the swap: the mutant changes the target and is refused', async () => {
    const from = `from go, "found", "found_read", "found_also"
    where t.id = "found_also".id and go.subject_id = found.id`
    const early = { name: 'promoteStack:into', from, to: 'from "found_also" where t.id = "found_also".id' }
    expect(await play(bare.withMutants(early))).toMatchObject({
      outcomes: ['accepted', 'ApprovalNotApproved'],
      state: 'WITHDRAWN',
      untouched: false,
    })
  })
})

test('R86 two promotions race for the last place: one has it, and the other one’s approval can still be used', async () => {
  const play = async (world: PromotionWorld) => {
    const ids = [await world.stack(), await world.stack()] as const
    const approvals = [await world.approved('STACK', ids[0]), await world.approved('STACK', ids[1])] as const
    await room(world, 'stacks', 1)
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = underWay(use(world, ids[0], approvals[0]))
    await untilBlocked(world.stranger, 'promoteStack:new')
    const second = underWay(use(world, ids[1], approvals[1]))
    await untilBlocked(world.stranger, 'promoteStack:new', 2)
    await counters.release()
    const outcomes = [outcome(await first), outcome(await second)]
    const states = await Promise.all(approvals.map((id) => world.approvalState(id)))
    const [counter] =
      await world.stranger`select used - (select count(*)::int from stack where team_id = ${world.team.teamId}
      and state not in ('DELETING', 'DELETED')) as wrong from plan_usage where team_id = ${world.team.teamId} and kind = 'stacks'`
    await room(world, 'stacks', null)
    return { outcomes, states, wrong: counter?.wrong, again: outcome(await use(world, ids[1], approvals[1])) }
  }
  expect(await play(real)).toEqual({
    outcomes: ['accepted', 'QuotaExceeded'],
    states: ['EXECUTED', 'APPROVED'],
    wrong: 0,
    again: 'accepted',
  })
  const boundless = { name: 'promoteStack:new', from: 'c.n > 0 and u.used + c.n > u.cap', to: 'false' }
  expect(await play(bare.withMutants(boundless))).toMatchObject({ outcomes: ['accepted', 'accepted'] })
})

test('R22 R23 a repeat that has looked its key up before the first call won is told what that one was told', async () => {
  const { stackId } = await pair(real)
  const wish = {
    stackId,
    toEnvironment,
    approvalId: await real.approved('STACK', stackId),
    idempotencyKey: unique('k'),
  }
  const gates = createGates()
  const pool = openPool({ url: real.url, purpose: 'api', slots: 2, ...patient, wrap: gates.wrap })
  const looked = gates.park('read:answeredBefore', { when: 'after' })
  const repeat = underWay(promoteStack(contextFor(pool.db, real.team.actor), wish))
  await looked.reached
  const { operation } = accepted<PromotionPayload>(await promoteStack(real.context, wish))
  looked.release()
  expect(await repeat).toMatchObject({ replayed: true, operation: { id: operation.id } })
  await pool.close()
})

test('R22 R23 a request that is repeated so is answered as it was, though its source has ended since', async () => {
  const { stackId } = await pair(real)
  const wish = { stackId, toEnvironment, idempotencyKey: unique('k') }
  const gates = createGates()
  const pool = openPool({ url: real.url, purpose: 'api', slots: 2, ...patient, wrap: gates.wrap })
  const looked = gates.park('read:answeredBefore', { when: 'after' })
  const repeat = underWay(requestPromotion(contextFor(pool.db, real.team.actor), wish))
  await looked.reached
  const { approval } = accepted<RequestPayload>(await requestPromotion(real.context, wish))
  accepted(await deleteStack(real.context, { id: stackId }))
  looked.release()
  expect(await repeat).toMatchObject({ replayed: true, approval: { id: approval.id } })
  await pool.close()
})
