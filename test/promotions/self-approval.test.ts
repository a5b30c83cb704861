// Who may approve what they asked for: by the word of the team, for the member behind whichever token, and whether somebody
// else could do it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Context } from '../../src/context.ts'
import { isRefusal } from '../../src/refusals.ts'
import { type ApprovalPayload, approvePromotion, rejectPromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { setSelfApproval } from '../../src/resolvers/self-approval.ts'
import { putMember } from '../member-row.ts'
import { contextFor, withTriggersOff } from '../row.ts'
import { accepted, openPromotionWorld, outcome, type PromotionWorld } from './world.ts'

let world: PromotionWorld
beforeAll(async () => {
  world = await openPromotionWorld()
})
afterAll(() => world.close())

describe('self-approval', () => {
  type Policy = 'NEVER' | 'UNLESS_OTHERS_CAN' | 'ALWAYS'
  const tries = async (
    alone: PromotionWorld,
    policy: Policy,
    environment: string,
    asker: Context,
    approver: Context,
  ) => {
    accepted(await setSelfApproval(alone.context, { policy }))
    const stackId = await alone.stack()
    const asked = await requestPromotion(asker, { stackId, toEnvironment: environment })
    const { id } = accepted<RequestPayload>(asked).approval
    const result = await approvePromotion(approver, { id })
    expect(await alone.approvalState(id)).toBe(isRefusal(result) ? 'PENDING' : 'APPROVED')
    return outcome(result)
  }
  const no = 'SelfApprovalForbidden'

  test('by the word of the team, and whether somebody else could', async () => {
    const alone = await openPromotionWorld()
    const mine = (policy: Policy, environment: string) => tries(alone, policy, environment, alone.context, other)
    // Another token of the same member is the same member.
    const other = contextFor(alone.pool.db, { ...alone.team.actor, id: 'tok_another' })
    expect(await mine('UNLESS_OTHERS_CAN', 'production')).toBe('accepted')
    expect(await mine('NEVER', 'staging')).toBe(no)
    expect(await mine('ALWAYS', 'production')).toBe('accepted')
    // Who cannot approve is no other.
    const developer = await alone.member('developer')
    expect(await mine('UNLESS_OTHERS_CAN', 'production')).toBe('accepted')
    const admin = await alone.member('admin')
    expect(await mine('UNLESS_OTHERS_CAN', 'production')).toBe(no)
    expect(await mine('UNLESS_OTHERS_CAN', 'staging')).toBe('accepted')
    expect(await mine('ALWAYS', 'production')).toBe('accepted')
    for (const policy of ['NEVER', 'UNLESS_OTHERS_CAN', 'ALWAYS'] as const) {
      expect(await tries(alone, policy, 'production', alone.context, admin)).toBe('accepted')
      expect(await tries(alone, policy, 'production', developer, alone.context)).toBe('accepted')
    }
    await alone.close()
  })

  test('the same identity under another member is the same person', async () => {
    const alone = await openPromotionWorld()
    const { teamId } = alone.team
    const identity = 'oidc:https://issuer.example#back-again'
    const first = await putMember(alone.stranger, { teamId, role: 'admin', identity })
    accepted(await setSelfApproval(alone.context, { policy: 'NEVER' }))
    const asker = contextFor(alone.pool.db, first.actor)
    const wish = { stackId: await alone.stack(), toEnvironment: 'staging' }
    const { id } = accepted<RequestPayload>(await requestPromotion(asker, wish)).approval
    await withTriggersOff(alone.stranger, async (sql) => {
      await sql`update member set state = 'REMOVED' where id = ${first.id}`
    })
    const back = await putMember(alone.stranger, { teamId, role: 'admin', identity })
    expect(outcome(await approvePromotion(contextFor(alone.pool.db, back.actor), { id }))).toBe(no)
    expect(await alone.approvalState(id)).toBe('PENDING')
    expect(outcome(await approvePromotion(await alone.member('admin'), { id }))).toBe('accepted')
    await alone.close()
  })

  test('the one who asked may reject, and is told who decided', async () => {
    const id = await world.asked('STACK', await world.stack())
    const { approval } = accepted<ApprovalPayload>(await rejectPromotion(world.context, { id }))
    expect(approval).toMatchObject({ state: 'REJECTED', decidedBy: world.team.actor.memberId })
    expect(approval.decidedAt).toBeInstanceOf(Date)
  })

  test('is set by an owner, for the own team alone', async () => {
    const admin = await world.member('admin')
    expect(await setSelfApproval(admin, { policy: 'ALWAYS' })).toMatchObject({
      refusal: 'Forbidden',
      facts: { missing: 'owner' },
    })
    const stranger = await openPromotionWorld()
    const foreign = await setSelfApproval(world.context, { policy: 'ALWAYS', teamId: stranger.team.teamId })
    expect(outcome(foreign)).toBe('NotFound')
    await stranger.close()
    const own = await setSelfApproval(world.context, { policy: 'NEVER', teamId: world.team.teamId })
    expect(own).toMatchObject({ team: { selfApproval: 'NEVER' } })
    await setSelfApproval(world.context, { policy: 'UNLESS_OTHERS_CAN' })
  })
})
