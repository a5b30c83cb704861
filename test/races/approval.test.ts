// Decisions about one approval that meet: approved, rejected, withdrawn, expired, used. Each pair is forced both ways round,
// the first one held with the row moved, the second one queued behind it; then all four of them in every order of arrival.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion, rejectPromotion, withdrawPromotion } from '../../src/resolvers/promotion-decision.ts'
import { expirePromotion } from '../../src/resolvers/promotion-decision-rule.ts'
import { setSelfApproval } from '../../src/resolvers/self-approval.ts'
import { transitionEach } from '../../src/resolvers/transition.ts'
import { hold, holdKey, holdRow, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import {
  openPromotionWorld,
  outcome,
  outdate,
  type PromotionWorld,
  toEnvironment,
  unique,
} from '../promotions/world.ts'
import { callOf, chainOf } from './world.ts'

let real: PromotionWorld
let bare: PromotionWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openPromotionWorld(), openPromotionWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

type Decision = 'approve' | 'reject' | 'withdraw'
const names = { approve: 'approvePromotion', reject: 'rejectPromotion', withdraw: 'withdrawPromotion' } as const
const mutations = { approve: approvePromotion, reject: rejectPromotion, withdraw: withdrawPromotion } as const
const decide = (world: PromotionWorld, decision: Decision, id: string, idempotencyKey: string | null = null) =>
  mutations[decision](world.context, { id, idempotencyKey })
const pass = async (world: PromotionWorld) =>
  (await transitionEach(world.pool.db, expirePromotion, callOf(world, {}), 1_000)).map(({ row }) => row.id)

/** The first decision has moved the row, and waits for its key to be free, when the second one comes. */
async function behind(world: PromotionWorld, id: string, first: Decision, name: string, second: () => Promise<object>) {
  const idempotencyKey = unique('k')
  const key = await holdKey(world.stranger, world.team.actor.id, names[first], idempotencyKey)
  const winner = underWay(decide(world, first, id, idempotencyKey))
  await untilBlocked(world.stranger, names[first])
  const loser = underWay(second())
  await untilBlocked(world.stranger, name, name === names[first] ? 2 : 1)
  await key.undo()
  return [outcome(await winner), outcome(await loser)]
}

describe('R28', () => {
  /** What the second one is told, by hand: only who is first decides, but what was approved can be withdrawn. */
  const pairs: readonly [Decision, Decision, second: string, state: string][] = [
    ['approve', 'approve', 'IllegalState', 'APPROVED'],
    ['approve', 'reject', 'IllegalState', 'APPROVED'],
    ['approve', 'withdraw', 'accepted', 'WITHDRAWN'],
    ['reject', 'approve', 'IllegalState', 'REJECTED'],
    ['reject', 'reject', 'IllegalState', 'REJECTED'],
    ['reject', 'withdraw', 'IllegalState', 'REJECTED'],
    ['withdraw', 'approve', 'IllegalState', 'WITHDRAWN'],
    ['withdraw', 'reject', 'IllegalState', 'WITHDRAWN'],
    ['withdraw', 'withdraw', 'IllegalState', 'WITHDRAWN'],
  ]
  const play = async (world: PromotionWorld, first: Decision, second: Decision) => {
    const id = await world.approval({ state: 'PENDING' })
    const outcomes = await behind(world, id, first, names[second], () => decide(world, second, id))
    return { outcomes, state: await world.approvalState(id), events: (await chainOf(world, id)).length }
  }
  const stateless = (decision: Decision): Mutation => ({
    name: names[decision],
    from: `"found".state in (${decision === 'withdraw' ? `'PENDING', 'APPROVED'` : `'PENDING'`})`,
    to: 'true',
  })

  test.each(pairs)('R28 %s, then %s: %s, and it is %s', async (first, second, told, state) => {
    const once = told === 'accepted' ? 2 : 1
    expect(await play(real, first, second)).toEqual({ outcomes: ['accepted', told], state, events: once })
    if (told === 'accepted') return
    const mutant = bare.withMutants(stateless(second))
    expect(await play(mutant, first, second)).toMatchObject({ outcomes: ['accepted', 'accepted'], events: 2 })
  })

  test('R28 the database itself refuses a decision that has lost its guard', async () => {
    const careless = real.withMutants(stateless('approve'))
    await expect(play(careless, 'reject', 'approve')).rejects.toMatchObject({
      constraint: 'promotion_approval_lifecycle',
    })
  })

  /** The uses: into development's neighbour, by an approval that is APPROVED. */
  const used = async (world: PromotionWorld, first: 'use' | 'withdraw') => {
    const stackId = await world.stack()
    const id = await world.approved('STACK', stackId)
    const use = () => promoteStack(world.context, { stackId, toEnvironment, approvalId: id })
    if (first === 'withdraw') {
      const outcomes = await behind(world, id, 'withdraw', 'promoteStack:new', use)
      return { outcomes, state: await world.approvalState(id) }
    }
    const team = await hold(world.stranger, `select 1 from team where id = '${world.team.teamId}' for update`)
    const winner = underWay(use())
    await untilBlocked(world.stranger, 'promoteStack:new')
    const loser = underWay(decide(world, 'withdraw', id))
    await untilBlocked(world.stranger, 'withdrawPromotion')
    await team.release()
    return { outcomes: [outcome(await winner), outcome(await loser)], state: await world.approvalState(id) }
  }

  test('R28 used, then withdrawn; withdrawn, then used: who is first', async () => {
    expect(await used(real, 'use')).toEqual({ outcomes: ['accepted', 'IllegalState'], state: 'EXECUTED' })
    expect(await used(real, 'withdraw')).toEqual({ outcomes: ['accepted', 'ApprovalNotApproved'], state: 'WITHDRAWN' })
    const careless = bare.withMutants(stateless('withdraw'))
    expect(await used(careless, 'use')).toEqual({ outcomes: ['accepted', 'accepted'], state: 'WITHDRAWN' })
  })

  test('R28 a pass of the expirer leaves alone what is being decided, and what was decided since its look', async () => {
    for (const decision of ['reject', 'withdraw'] as const) {
      const id = await real.approval({ state: 'PENDING', expiresInSeconds: -1 })
      const idempotencyKey = unique('k')
      const key = await holdKey(real.stranger, real.team.actor.id, names[decision], idempotencyKey)
      const winner = underWay(decide(real, decision, id, idempotencyKey))
      await untilBlocked(real.stranger, names[decision])
      expect(await pass(real)).not.toContain(id)
      await key.undo()
      expect(outcome(await winner)).toBe('accepted')
    }
    const play = async (world: PromotionWorld) => {
      const id = await world.approval({ state: 'APPROVED', expiresInSeconds: -1 })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(28)')
      const late = underWay(pass(world))
      await untilBlocked(world.stranger, 'expirePromotion')
      expect(outcome(await decide(world, 'withdraw', id))).toBe('accepted')
      await stall.release()
      return { expired: (await late).includes(id), state: await world.approvalState(id) }
    }
    const stalled = stalling('expirePromotion', 'promotion_approval', 28)
    expect(await play(real.withMutants(...stalled))).toEqual({ expired: false, state: 'WITHDRAWN' })
    // The search is repeated under the lock, as the guard is: either of them is enough, and without both it is ended twice.
    const guard = { name: 'expirePromotion', from: `"found".state in ('PENDING', 'APPROVED')`, to: 'true' }
    const search = {
      name: 'expirePromotion',
      from: '"promotion_approval"."state" in (',
      to: 'true or "promotion_approval"."state" in (',
    }
    expect(await play(bare.withMutants(...stalled, guard))).toEqual({ expired: false, state: 'WITHDRAWN' })
    expect(await play(bare.withMutants(...stalled, guard, search))).toEqual({ expired: true, state: 'EXPIRED' })
  })

  /** In one order of arrival, behind a row that is held: whatever the outcome is, one chain explains it. */
  const orders = <T>(of: readonly T[]): T[][] =>
    of.length < 2
      ? [[...of]]
      : of.flatMap((each, at) => orders(of.filter((_, n) => n !== at)).map((rest) => [each, ...rest]))
  const arriving = async (world: PromotionWorld, order: readonly (Decision | 'expire')[], expiresInSeconds: number) => {
    const id = await world.approval({ state: 'PENDING', expiresInSeconds })
    const row = await holdRow(world.stranger, 'promotion_approval', id)
    const calls: Promise<string>[] = []
    for (const each of order) {
      const expiry = () => pass(world).then((ids) => (ids.includes(id) ? 'accepted' : 'left'))
      calls.push(underWay(each === 'expire' ? expiry() : decide(world, each, id).then(outcome)))
      await untilBlocked(world.stranger, each === 'expire' ? 'expirePromotion' : names[each])
    }
    await row.release()
    const told = await Promise.all(calls)
    const [chain, state] = [await chainOf(world, id), await world.approvalState(id)]
    expect(chain).toHaveLength(told.filter((answer) => answer === 'accepted').length)
    expect(chain.at(-1)).toMatch(new RegExp(`→${state}$`))
    // Only an approval is ever followed by another move, and somebody always ends it.
    for (const event of chain.slice(0, -1)) expect(event).toBe('approvePromotion PENDING→APPROVED')
    expect(['REJECTED', 'WITHDRAWN', 'EXPIRED']).toContain(state)
    return Object.fromEntries(told.map((answer, at) => [order[at], answer]))
  }

  test('R28 approve, reject and withdraw in every order', async () => {
    for (const order of orders(['approve', 'reject', 'withdraw'] as const)) {
      const told = await arriving(real, order, 3_600)
      expect(Object.values(told)).toContain('accepted')
    }
  })

  test('R28 approve, reject, withdraw and expire in every order, when the time is over', {
    timeout: 60_000,
  }, async () => {
    // The expirer waits here like all others, so that it has its place in the order, too.
    const skipping = ' for no key update skip locked'
    const world = real.withMutants({ name: 'expirePromotion', from: skipping, to: ' for no key update' })
    for (const order of orders(['approve', 'reject', 'withdraw', 'expire'] as const)) {
      const told = await arriving(world, order, -1)
      expect(['ApprovalExpired', 'IllegalState']).toContain(told.approve)
      expect(Object.values(told).filter((answer) => answer === 'accepted')).toHaveLength(1)
    }
  })
})

test('R57 what nobody uses expires, PENDING or APPROVED, and what is in time does not', async () => {
  const [pending, approved] = [await real.approval({ state: 'PENDING' }), await real.approval({ state: 'APPROVED' })]
  const [waiting, unused] = await Promise.all(
    (['PENDING', 'APPROVED'] as const).map((state) => real.approval({ state, expiresInSeconds: -1 })),
  )
  const told: string[] = []
  const loop = expireLoop(real.pool.db, ({ name }, count) => told.push(`${name} ${count}`))
  await loop.pass(new AbortController().signal)
  const states = await Promise.all([pending, approved, waiting, unused].map((id) => real.approvalState(String(id))))
  expect(states).toEqual(['PENDING', 'APPROVED', 'EXPIRED', 'EXPIRED'])
  expect(await chainOf(real, String(unused))).toEqual(['expirePromotion APPROVED→EXPIRED'])
  expect(told).toEqual([expect.stringMatching(/^expirePromotion \d+$/)])
  const blind = { name: 'expirePromotion', from: '"expires_at" <= now()', to: '"expires_at" > now()' }
  const early = await bare.approval({ state: 'APPROVED' })
  expect(await pass(bare.withMutants(blind))).toContain(early)
})

test('R57 an approval whose time is over can neither be approved nor used, before the expirer has come by', async () => {
  const play = async (world: PromotionWorld) => {
    const stackId = await world.stack()
    const [pending, approved] = [await world.asked('STACK', stackId), await world.approved('STACK', stackId)]
    // It runs out while the decision waits for the row.
    const row = await holdRow(world.stranger, 'promotion_approval', pending)
    const approval = underWay(decide(world, 'approve', pending))
    await untilBlocked(world.stranger, 'approvePromotion')
    await row.run(`set local session_replication_role = replica`)
    await row.run(`update promotion_approval set expires_at = now() where id = '${pending}'`)
    await row.release()
    await outdate(world, approved)
    const use = await promoteStack(world.context, { stackId, toEnvironment, approvalId: approved })
    return [outcome(await approval), outcome(use)]
  }
  expect(await play(real)).toEqual(['ApprovalExpired', 'ApprovalExpired'])
  const timeless = { name: 'approvePromotion', from: '"found"."expires_at" > clock_timestamp()', to: 'true' }
  expect(await play(bare.withMutants(timeless))).toEqual(['accepted', 'ApprovalExpired'])
})

test('R28 nobody approves their own wish behind the word of the team that this is over', async () => {
  /** The approval waits for its row; meanwhile the team's word is given, and answered. */
  const play = async (world: PromotionWorld) => {
    await setSelfApproval(world.context, { policy: 'ALWAYS' })
    const id = await world.approval({ state: 'PENDING' })
    const row = await holdRow(world.stranger, 'promotion_approval', id)
    const approval = underWay(decide(world, 'approve', id))
    await untilBlocked(world.stranger, 'approvePromotion')
    expect(outcome(await setSelfApproval(world.context, { policy: 'NEVER' }))).toBe('accepted')
    await row.release()
    const told = [outcome(await approval), await world.approvalState(id)]
    await setSelfApproval(world.context, { policy: 'UNLESS_OTHERS_CAN' })
    return told
  }
  expect(await play(real)).toEqual(['SelfApprovalForbidden', 'PENDING'])
  const unlocked = { name: 'approvePromotion', from: ' for share of t', to: '' }
  expect(await play(bare.withMutants(unlocked))).toEqual(['accepted', 'APPROVED'])
})
