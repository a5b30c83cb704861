// The plan of a promotion as a query gives it: the same plan that an approval is asked for and that is carried out.
import type { Context } from '../context.ts'
import { entityOfId } from '../db/id.ts'
import type { CopyPolicy } from '../db/promotion-approval.ts'
import { promotionInput } from './input.ts'
import { BadUserInput } from './page.ts'
import { type PromotionPlan, planPromotion } from './promotion-plan.ts'

export interface PlanArgs {
  readonly stackId: string
  readonly toEnvironment: string
  readonly envPolicy?: CopyPolicy | null
  readonly secretPolicy?: CopyPolicy | null
}

/** The plan as rows are now; null for a stack that is not there or is another team's. Throws `BadUserInput`. */
export async function promotionPlan({ db, actor }: Context, args: PlanArgs): Promise<PromotionPlan | null> {
  const read = promotionInput.safeParse(args)
  if (!read.success)
    throw new BadUserInput(
      read.error.issues.map(({ path, message }) => `${path.map(String).join('.')} ${message}.`).join(' '),
    )
  const { toEnvironment, ...policies } = read.data
  if (entityOfId(args.stackId) !== 'Stack') return null
  const plan = await planPromotion(db, actor.teamId, args.stackId, toEnvironment, policies)
  if (plan?.source.environment === toEnvironment)
    throw new BadUserInput(`toEnvironment is ${toEnvironment}, where the stack is already: name another one.`)
  return plan
}
