// Reading approvals of promotions: the team's list and many by id, each in one statement.
import { and, eq, getTableColumns, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { entityOfId } from '../db/id.ts'
import { promotionApproval } from '../db/promotion-approval.ts'
import type { PromotionApprovalState } from '../lifecycle/promotion-approval.ts'
import { lookUp } from './look-up.ts'
import { defineList, names, storable } from './page.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

export { copyPolicies } from '../db/promotion-approval.ts'

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

/** An approval, and whether its time is over by the database's clock. */
export type SeenApproval = ApprovalView & { readonly isOver: boolean }

/** One approval of the team, to decide by; null when there is none. */
export async function approvalOf(db: Database, teamId: string, id: string): Promise<SeenApproval | null> {
  if (entityOfId(id) !== 'PromotionApproval') return null
  const [row] = await db
    .select({
      ...getTableColumns(promotionApproval),
      isOver: sql<boolean>`${promotionApproval.expiresAt} <= clock_timestamp()`,
    })
    .from(promotionApproval)
    .where(and(eq(promotionApproval.id, id), eq(promotionApproval.teamId, teamId)))
  return row ?? null
}

const open: readonly PromotionApprovalState[] = ['APPROVED', 'PENDING']

/** An approval of this very plan that can be used or decided on now, APPROVED ones first; null when there is none. */
export async function openApprovalOf(db: Database, teamId: string, subjectId: string, digest: string) {
  const [row] = await db
    .select({ id: promotionApproval.id, state: promotionApproval.state })
    .from(promotionApproval)
    .where(
      and(
        eq(promotionApproval.teamId, teamId),
        eq(promotionApproval.subjectId, subjectId),
        eq(promotionApproval.planDigest, digest),
        sql`${promotionApproval.state} in (${sql.raw(quoted(open))}) and ${promotionApproval.expiresAt} > clock_timestamp()`,
      ),
    )
    .orderBy(promotionApproval.state, promotionApproval.expiresAt)
    .limit(1)
  return row ?? null
}
