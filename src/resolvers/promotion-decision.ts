// What members decide about approvals: allowed, turned down, taken back. Each is one guarded swap of the approval's row;
// nothing of what it is for is touched.
import type { Context } from '../context.ts'
import { promotionApproval } from '../db/promotion-approval.ts'
import { type Approval, type Decision, expired, selfApproval, undecidable } from './approval-refusal.ts'
import type { Payload, Result } from './call.ts'
import { nothingElse } from './input.ts'
import { type Accepted, type ById, type Kind, moveById } from './move-by-id.ts'
import * as rules from './promotion-decision-rule.ts'
import { approvalOf } from './promotion-read.ts'
import { askAgain } from './promotion-refusal.ts'

export interface ApprovalPayload extends Payload {
  readonly approval: Approval
}

const kind = (context: Context): Kind<typeof promotionApproval, Decision> => ({
  table: promotionApproval,
  entity: 'PromotionApproval',
  word: 'promotionApproval',
  wrongState: async (_db, action, row) =>
    undecidable(action, row, row.state === 'EXPIRED' ? await askAgain(context, row) : []),
})
const payload = ({ row, replayed }: Accepted<typeof promotionApproval>): ApprovalPayload => ({
  approval: row,
  replayed,
})
/** The member behind the credential, whichever it is. */
const decider = (_: unknown, { actor }: Context) => ({ memberId: actor.memberId })

/** Allows the one plan. Who asked for it is turned away where the team says so, whichever of their tokens they use. */
export const approvePromotion = (context: Context, input: ById): Promise<Result<ApprovalPayload>> =>
  moveById(context, kind(context), 'approvePromotion', rules.approvePromotion, nothingElse, input, {
    values: decider,
    // Once its time is over it stays so: what is read here of the clock is still true of the row that was decided on.
    guard: async (row) => {
      const seen = await approvalOf(context.db, row.teamId, row.id)
      return seen?.isOver ? expired(row, await askAgain(context, row)) : selfApproval(row)
    },
    payload,
  })

/** Decides against it, for good. */
export const rejectPromotion = (context: Context, input: ById): Promise<Result<ApprovalPayload>> =>
  moveById(context, kind(context), 'rejectPromotion', rules.rejectPromotion, nothingElse, input, {
    values: decider,
    payload,
  })

/** Takes it back before it is used. */
export const withdrawPromotion = (context: Context, input: ById): Promise<Result<ApprovalPayload>> =>
  moveById(context, kind(context), 'withdrawPromotion', rules.withdrawPromotion, nothingElse, input, { payload })
