// Why nothing was decided about an approval, told from its row as it was under the lock. Why one cannot be used is told in
// promotion-refusal.ts.
import type { promotionApproval } from '../db/promotion-approval.ts'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { advice, lookAt, type Refusal, type Remedy, refuse } from '../refusals.ts'
import { illegalState } from './call.ts'

export type Approval = typeof promotionApproval.$inferSelect
export type Decision = 'approvePromotion' | 'rejectPromotion' | 'withdrawPromotion'

const told = (row: Approval) => `the approval for ${row.subjectId} into ${row.toEnvironment}`
const look = (row: Approval) =>
  lookAt('promotionApproval', { id: row.id }, 'See what was asked for, and what became of it.')

/** `again`: the call that asks for another approval, where that would be accepted. */
export const expired = (row: Approval, again: readonly Remedy[]): Refusal<'ApprovalExpired'> =>
  refuse('ApprovalExpired', {
    message: `The time of ${told(row)} was over at ${row.expiresAt.toISOString()}. Nothing was changed.`,
    facts: { promotionApproval: row },
    remedies: [...again, look(row)],
  })

/** The state is not one that the decision may start from. */
export function undecidable(action: Decision, row: Approval, again: readonly Remedy[]): Refusal {
  if (row.state === 'EXPIRED') return expired(row, again)
  const from = promotionApprovalMachine.moves[action].from as readonly string[]
  return illegalState(
    'IllegalState',
    `${action} is not possible: ${told(row)} has been ${row.state} since ${row.stateChangedAt.toISOString()}. ` +
      `${action} starts from ${from.join(', ')}.`,
    { promotionApproval: row, action },
    [look(row)],
    false,
  )
}

/** The state was right and its time is not over: whoever approves is who asked. */
export const selfApproval = (row: Approval): Refusal<'SelfApprovalForbidden'> =>
  refuse('SelfApprovalForbidden', {
    message: `The team does not let the member who asked for ${told(row)} approve it. It is still ${row.state}.`,
    facts: { promotionApproval: row },
    remedies: [advice('Let another member decide, one with the scope approve.'), look(row)],
  })
