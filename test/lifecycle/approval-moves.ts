// How each move of an approval is asked for in the matrix, on a row of its own in any state: by the mutation where a caller
// may, by the rule where the expirer does. Every way answers with null for a move, or how it was refused.
import type { PromotionApprovalState } from '../../src/lifecycle/promotion-approval.ts'
import { isRefusal } from '../../src/refusals.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion, rejectPromotion, withdrawPromotion } from '../../src/resolvers/promotion-decision.ts'
import { expirePromotion } from '../../src/resolvers/promotion-decision-rule.ts'
import { planPromotion } from '../../src/resolvers/promotion-plan.ts'
import { type Rule, transitionEach } from '../../src/resolvers/transition.ts'
import { twinResource } from '../../src/resolvers/twin.ts'
import { planTwin } from '../../src/resolvers/twin-plan.ts'
import { toEnvironment, withPromotions } from '../promotions/world.ts'
import { callOf, type World } from '../races/world.ts'
import type { Asked } from './team-moves.ts'

const copyAll = { envPolicy: 'COPY_MISSING', secretPolicy: 'COPY_MISSING' } as const
const decisions = { approvePromotion, rejectPromotion, withdrawPromotion } as const
const refusalOf = async (call: Promise<object>) => {
  const result = await call
  return isRefusal(result) ? result.refusal : null
}

export async function approvalMove(bare: World, action: string, state: PromotionApprovalState): Promise<Asked> {
  const world = withPromotions(bare)
  const { context, pool, team } = world
  switch (action) {
    case 'promoteStack': {
      const stackId = await world.stack()
      const plan = await planPromotion(pool.db, team.teamId, stackId, toEnvironment, copyAll)
      const id = await world.approval({ state, subjectId: stackId, planDigest: String(plan?.digest) })
      return { id, ask: () => refusalOf(promoteStack(context, { stackId, toEnvironment, approvalId: id })) }
    }
    case 'twinResource': {
      const resourceId = await world.resource()
      const plan = await planTwin(pool.db, team.teamId, resourceId, toEnvironment)
      const facts = { kind: 'TWIN', subjectId: resourceId, planDigest: String(plan?.digest) } as const
      const id = await world.approval({ state, ...facts })
      return { id, ask: () => refusalOf(twinResource(context, { resourceId, toEnvironment, approvalId: id })) }
    }
    case 'expirePromotion': {
      const id = await world.approval({ state, expiresInSeconds: -1 })
      const pass = () => transitionEach(pool.db, expirePromotion as unknown as Rule, callOf(world, {}), 1_000)
      return { id, ask: async () => ((await pass()).some(({ row }) => row.id === id) ? null : 'refused') }
    }
    case 'approvePromotion':
    case 'rejectPromotion':
    case 'withdrawPromotion': {
      const id = await world.approval({ state })
      return { id, ask: () => refusalOf(decisions[action](context, { id })) }
    }
    default:
      throw new Error(`no way is known to ask for ${action}`)
  }
}
