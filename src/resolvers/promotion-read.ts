// Reading approvals of promotions: the team's list and many by id, each in one statement.
import { eq, getTableColumns, sql } from 'drizzle-orm'
import { promotionApproval } from '../db/promotion-approval.ts'
import type { PromotionApprovalState } from '../lifecycle/promotion-approval.ts'
import { lookUp } from './look-up.ts'
import { defineList, names, storable } from './page.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

export type ApprovalView = typeof promotionApproval.$inferSelect

export interface ApprovalFilter {
  readonly subject?: string | null
  readonly toEnvironment?: string | null
  readonly states?: readonly PromotionApprovalState[] | null
}

export const promotionApprovals = defineList<ApprovalView>({
  name: 'promotionApprovals',
  table: promotionApproval,
  columns: getTableColumns(promotionApproval),
  key: 'created',
  filters: {
    subject: eq(promotionApproval.subjectId, textParam('subject')),
    toEnvironment: eq(promotionApproval.toEnvironment, textParam('toEnvironment')),
    states: sql`${promotionApproval.state} = any(${listParam('states')})`,
  },
})

/** The parameters of the list's filter. Throws `BadUserInput`. */
export const approvalFilter = (filter: ApprovalFilter | null | undefined) => ({
  subject: storable('filter.subject', filter?.subject),
  toEnvironment: storable('filter.toEnvironment', filter?.toEnvironment),
  states: names(filter?.states),
})

/** Approvals of the team by id, in the order asked for; null where there is none. */
export const approvalsById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<ApprovalView>(
    db,
    'read:promotion_approval.byId',
    { table: promotionApproval, columns: getTableColumns(promotionApproval) },
    teamId,
    ids,
  )
