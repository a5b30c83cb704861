// Approvals of promotions and twins: bound to a subject, an environment and the digest of the one plan that was shown.
import { index, jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

/** What becomes of variables, or secrets, that the source has and the target lacks. */
export const copyPolicies = ['COPY_MISSING', 'KEEP_TARGET', 'REQUIRE'] as const
export type CopyPolicy = (typeof copyPolicies)[number]

export const promotionApproval = pgTable(
  'promotion_approval',
  {
    ...lifecycleColumns(promotionApprovalMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    kind: text('kind').$type<'STACK' | 'TWIN'>().notNull(),
    /** The stack or the resource. */
    subjectId: text('subject_id').notNull(),
    toEnvironment: text('to_environment').notNull(),
    envPolicy: text('env_policy').$type<CopyPolicy>().notNull().default('COPY_MISSING'),
    secretPolicy: text('secret_policy').$type<CopyPolicy>().notNull().default('COPY_MISSING'),
    /** SHA-256 of the plan, in hex: what was approved, and nothing else. */
    planDigest: text('plan_digest').notNull(),
    /** The plan as it was shown: names and revisions, never values. */
    plan: jsonb('plan').$type<Record<string, unknown>>().notNull(),
    /** The member who asked, whichever token did it; null when it was no member. */
    requestedBy: text('requested_by'),
    /** The member who approved or rejected. */
    decidedBy: text('decided_by'),
    decidedAt: moment('decided_at'),
    expiresAt: moment('expires_at').notNull(),
    /** The operation that used it up. */
    operationId: text('operation_id'),
  },
  (table) => [
    stateCheck(promotionApprovalMachine),
    index('promotion_approval_list').on(table.teamId, table.createdAt, table.id),
    index('promotion_approval_subject').on(table.subjectId, table.createdAt, table.id),
    index('promotion_approval_expiry')
      .on(table.expiresAt)
      .where(stateIn(['PENDING', 'APPROVED'])),
  ],
)
