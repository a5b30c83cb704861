// What the approval of a promotion may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const promotionApprovalStates = ['PENDING', 'APPROVED', 'EXECUTED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'] as const

export const expectedPromotionApproval: ExpectedLifecycle<(typeof promotionApprovalStates)[number]> = {
  passing: ['PENDING', 'APPROVED'],
  resting: [],
  terminal: ['EXECUTED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'],
  births: ['PENDING'],
  pairs: {
    PENDING: ['APPROVED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'],
    APPROVED: ['EXECUTED', 'WITHDRAWN', 'EXPIRED'],
    EXECUTED: [],
    REJECTED: [],
    WITHDRAWN: [],
    EXPIRED: [],
  },
}

export const promotionApprovalGrid = `
action            refusal             effect PEN APP EXE                       REJ WIT EXP
approvePromotion  IllegalState        -      APP -   -                         -   -   (ApprovalExpired)
rejectPromotion   IllegalState        -      REJ -   -                         -   -   (ApprovalExpired)
withdrawPromotion IllegalState        -      WIT WIT -                         -   -   (ApprovalExpired)
promoteStack      ApprovalNotApproved -      -   EXE (ApprovalAlreadyExecuted) -   -   (ApprovalExpired)
twinResource      ApprovalNotApproved -      -   EXE (ApprovalAlreadyExecuted) -   -   (ApprovalExpired)
expirePromotion   refused             -      EXP EXP -                         -   -   -
`
