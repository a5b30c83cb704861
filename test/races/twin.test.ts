// Twins that meet a deletion, a withdrawal, another twin or the last place: the approval is used up by the statement that
// makes the twin and by nothing else, so whoever loses can use theirs later.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { withdrawPromotion } from '../../src/resolvers/promotion-decision.ts'
import { createResource, deleteResource } from '../../src/resolvers/resource.ts'
import { type TwinPayload, twinResource } from '../../src/resolvers/twin.ts'
import { patient } from '../database.ts'
import { createGates, holdCounters, holdKey, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { room } from '../promotions/refusal-case.ts'
import {
  accepted,
  openPromotionWorld,
  outcome,
  type PromotionWorld,
  toEnvironment,
  unique,
} from '../promotions/world.ts'
import { contextFor } from '../row.ts'
import { chainOf, operationsOf } from './world.ts'

let real: PromotionWorld
let bare: PromotionWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openPromotionWorld(), openPromotionWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const use = (world: PromotionWorld, resourceId: string, approvalId: string) =>
  twinResource(world.context, { resourceId, toEnvironment, approvalId })
const made = async (world: PromotionWorld) => {
  const name = unique('db-')
  const id = await world.resource('development', name)
  return { name, id, approval: await world.approved('TWIN', id) }
}
/** What has become of the approval, and how many twins there are. */
const seen = async (world: PromotionWorld, approval: string, name: string) => ({
  state: await world.approvalState(approval),
  twins: await world.live('resource', toEnvironment, name),
})

test('R51 a source that is deleted while its twin is asked for has none, and the approval is not used up', async () => {
  const play = async (world: PromotionWorld) => {
    const { id, name, approval } = await made(world)
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const deletion = deleteResource(world.context, { id })
    await untilBlocked(world.stranger, 'deleteResource')
    const twin = underWay(use(world, id, approval))
    await untilBlocked(world.stranger, 'twinResource')
    await counters.release()
    return { outcomes: [outcome(await deletion), outcome(await twin)], ...(await seen(world, approval, name)) }
  }
  expect(await play(real)).toEqual({ outcomes: ['accepted', 'ResourceAlreadyDeleted'], state: 'APPROVED', twins: 0 })
  const from = `"found_read".state in ('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED')`
  const careless = bare.withMutants({ name: 'twinResource', from, to: 'true' })
  expect(await play(careless)).toEqual({ outcomes: ['accepted', 'accepted'], state: 'EXECUTED', twins: 1 })
})

describe('a twin whose approval is taken back', () => {
  const play = async (world: PromotionWorld) => {
    const { id, name, approval } = await made(world)
    const idempotencyKey = unique('k')
    const key = await holdKey(world.stranger, world.team.actor.id, 'withdrawPromotion', idempotencyKey)
    const withdrawal = withdrawPromotion(world.context, { id: approval, idempotencyKey })
    await untilBlocked(world.stranger, 'withdrawPromotion')
    const twin = underWay(use(world, id, approval))
    await untilBlocked(world.stranger, 'twinResource')
    await key.undo()
    return { outcomes: [outcome(await withdrawal), outcome(await twin)], ...(await seen(world, approval, name)) }
  }

  test('R51 is not made', async () => {
    expect(await play(real)).toEqual({ outcomes: ['accepted', 'ApprovalNotApproved'], state: 'WITHDRAWN', twins: 0 })
    const ungated = { name: 'twinResource', from: `"found".state in ('APPROVED')`, to: 'true' }
    expect(await play(bare.withMutants(ungated))).toMatchObject({ outcomes: ['accepted', 'accepted'], twins: 1 })
  })

  test('R51 is not made before the swap: the mutant that does has a twin without an approval', async () => {
    const early: Mutation[] = [
      {
        name: 'twinResource',
        from: '(select s.limit_bytes from found_read s) from go join found on found.id = go.subject_id',
        to: '(select s.limit_bytes from found_read s) from found',
      },
    ]
    expect(await play(bare.withMutants(...early))).toEqual({
      outcomes: ['accepted', 'ApprovalNotApproved'],
      state: 'WITHDRAWN',
      twins: 1,
    })
  })
})

test('R51 a name that is taken at the last moment: TwinExists, and the same approval makes the twin once it is free', async () => {
  const { id, name, approval } = await made(real)
  const counters = await holdCounters(real.stranger, real.team.teamId)
  const other = underWay(createResource(real.context, { type: 'POSTGRES', name, environment: toEnvironment }))
  await untilBlocked(real.stranger, 'createResource')
  const twin = underWay(use(real, id, approval))
  await untilBlocked(real.stranger, 'twinResource')
  await counters.release()
  const taken = (await other) as unknown as { resource: { id: string } }
  expect(outcome(await twin)).toBe('TwinExists')
  expect(await seen(real, approval, name)).toEqual({ state: 'APPROVED', twins: 1 })
  await deleteResource(real.context, { id: taken.resource.id })
  expect(outcome(await use(real, id, approval))).toBe('accepted')
  expect(await seen(real, approval, name)).toEqual({ state: 'EXECUTED', twins: 1 })
  expect(await chainOf(real, approval)).toEqual([
    'requestTwin →PENDING',
    'approvePromotion PENDING→APPROVED',
    'twinResource APPROVED→EXECUTED',
  ])
})

test('R35 a twin that is asked for twice is made once, and the second call is told of the first one’s work', async () => {
  const play = async (world: PromotionWorld) => {
    const { id, name, approval } = await made(world)
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = underWay(use(world, id, approval))
    await untilBlocked(world.stranger, 'twinResource')
    const second = underWay(use(world, id, approval))
    await untilBlocked(world.stranger, 'twinResource', 2)
    await counters.release()
    const results = [await first, await second] as const
    return { results, outcomes: results.map(outcome), ...(await seen(world, approval, name)) }
  }
  const { results, ...rest } = await play(real)
  expect(rest).toEqual({ outcomes: ['accepted', 'ApprovalAlreadyExecuted'], state: 'EXECUTED', twins: 1 })
  const [won, lost] = results as unknown as [
    { operation: { id: string }; resource: { id: string } },
    { facts: Record<string, unknown> },
  ]
  expect(lost.facts.operation).toMatchObject({ id: won.operation.id, subjectId: won.resource.id })
  expect(await operationsOf(real, won.resource.id)).toEqual(['resource.provision PENDING'])
  const loose = await openPromotionWorld({ guards: false })
  await loose.stranger`drop index resource_name`
  const ungated = { name: 'twinResource', from: `"found".state in ('APPROVED')`, to: 'true' }
  expect(await play(loose.withMutants(ungated))).toMatchObject({ outcomes: ['accepted', 'accepted'], twins: 2 })
  await loose.close()
})

test('R86 two twins race for the last place: one has it, and the other one’s approval can still be used', async () => {
  const [one, two] = [await made(real), await made(real)]
  await room(real, 'resources', 1)
  const counters = await holdCounters(real.stranger, real.team.teamId)
  const first = underWay(use(real, one.id, one.approval))
  await untilBlocked(real.stranger, 'twinResource')
  const second = underWay(use(real, two.id, two.approval))
  await untilBlocked(real.stranger, 'twinResource', 2)
  await counters.release()
  expect([outcome(await first), outcome(await second)]).toEqual(['accepted', 'QuotaExceeded'])
  expect(await seen(real, two.approval, two.name)).toEqual({ state: 'APPROVED', twins: 0 })
  await room(real, 'resources', null)
  expect(outcome(await use(real, two.id, two.approval))).toBe('accepted')
})

test('R22 R23 a repeat that has looked its key up before the first call won is told of the twin that is there', async () => {
  const { id, approval } = await made(real)
  const wish = { resourceId: id, toEnvironment, approvalId: approval, idempotencyKey: unique('k') }
  const gates = createGates()
  const pool = openPool({ url: real.url, purpose: 'api', slots: 2, ...patient, wrap: gates.wrap })
  const looked = gates.park('read:answeredBefore', { when: 'after' })
  const repeat = underWay(twinResource(contextFor(pool.db, real.team.actor), wish))
  await looked.reached
  const { operation } = accepted<TwinPayload>(await twinResource(real.context, wish))
  looked.release()
  expect(await repeat).toMatchObject({ replayed: true, operation: { id: operation.id } })
  await pool.close()
})
