// The moves of a promotion's approval: one plan, approved once, used once. Only the promotion's own statement executes it.
import { declareMachine } from './machine.ts'

const hours = (n: number) => n * 3_600_000
/** How long an approval can be decided on and used, from its request on. */
export const approvalHours = 24

export const promotionApprovalMachine = declareMachine({
  entity: 'PromotionApproval',
  table: 'promotion_approval',
  states: {
    PENDING: {
      kind: 'passing',
      deadlineMs: hours(approvalHours + 1),
      owner: 'expire',
      description: 'Asked for; somebody with the scope approve decides.',
    },
    APPROVED: {
      kind: 'passing',
      deadlineMs: hours(approvalHours + 1),
      owner: 'expire',
      description: 'The one plan that it names may be carried out, once, until its expiry.',
    },
    EXECUTED: { kind: 'terminal', description: 'Used up by the promotion that it names.' },
    REJECTED: { kind: 'terminal', description: 'Somebody decided against it.' },
    WITHDRAWN: { kind: 'terminal', description: 'Taken back before it was used.' },
    EXPIRED: { kind: 'terminal', description: 'Not used in time.' },
  },
  moves: {
    requestPromotion: {
      from: 'birth',
      to: 'PENDING',
      by: ['caller'],
      refusal: 'NothingToPromote',
      description: 'Ask for the approval of one plan to promote a stack.',
    },
    requestTwin: {
      from: 'birth',
      to: 'PENDING',
      by: ['caller'],
      refusal: 'TwinExists',
      description: 'Ask for the approval of a twin of a resource in another environment.',
    },
    approvePromotion: {
      from: ['PENDING'],
      to: 'APPROVED',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'its expiry has not passed, and the member who asked does not approve where the team forbids that',
      description: 'Allow the one plan that it names.',
    },
    rejectPromotion: {
      from: ['PENDING'],
      to: 'REJECTED',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Decide against it, for good.',
    },
    withdrawPromotion: {
      from: ['PENDING', 'APPROVED'],
      to: 'WITHDRAWN',
      by: ['caller', 'teardown'],
      refusal: 'IllegalState',
      description: 'Take it back before it is used.',
    },
    promoteStack: {
      from: ['APPROVED'],
      to: 'EXECUTED',
      by: ['caller'],
      refusal: 'ApprovalNotApproved',
      guard: 'its expiry has not passed, and source, target and secrets are as they were planned',
      description: 'Use it up, in the statement that changes the target.',
    },
    twinResource: {
      from: ['APPROVED'],
      to: 'EXECUTED',
      by: ['caller'],
      refusal: 'ApprovalNotApproved',
      guard: 'its expiry has not passed, and the name is free in the target environment',
      description: 'Use it up, in the statement that makes the twin.',
    },
    expirePromotion: {
      from: ['PENDING', 'APPROVED'],
      to: 'EXPIRED',
      by: ['expire'],
      refusal: 'IllegalState',
      guard: 'its expiry has passed',
      description: 'Not used in time.',
    },
  },
})

export type PromotionApprovalState = keyof typeof promotionApprovalMachine.states
export type PromotionApprovalAction = keyof typeof promotionApprovalMachine.moves
