// Approvals of promotions in the schema, and their list. Plans are in promotion-plan.ts, the mutations in promotion-mutation.ts.

import { entityOfId } from '../db/id.ts'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { approvalActions } from '../resolvers/allowed-action.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import {
  type ApprovalFilter,
  type ApprovalView,
  approvalFilter,
  copyPolicies,
  promotionApprovals,
} from '../resolvers/promotion-read.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { ApprovalRef, MemberRef, NodeRef, OperationRef } from './ref.ts'

const ApprovalState = stateEnum(promotionApprovalMachine)

const told = {
  COPY_MISSING: 'What the target lacks is copied; what it has is kept.',
  KEEP_TARGET: 'Nothing is copied.',
  REQUIRE: 'Nothing is copied, and the target must have all that the source has.',
} as const
export const CopyPolicyRef = builder.enumType('CopyPolicy', {
  description: 'What becomes of what the source of a promotion has and its target lacks.',
  values: Object.fromEntries(copyPolicies.map((name) => [name, { value: name, description: told[name] }])) as Record<
    (typeof copyPolicies)[number],
    { value: (typeof copyPolicies)[number]; description: string }
  >,
})

const KindRef = builder.enumType('PromotionKind', {
  description: 'What an approval is for.',
  values: {
    STACK: { value: 'STACK', description: 'The promotion of a stack: `promoteStack`.' },
    TWIN: { value: 'TWIN', description: 'A twin of a resource: `twinResource`.' },
  } as const,
})

/** What the mutations that use an approval take besides their source. */
export const approvalInput = (t: InputFields) => ({
  toEnvironment: t.string({ required: true, description: 'Where to: another environment than its own.' }),
  approvalId: t.id({ description: 'An approval that is APPROVED, `apr_…`; may be left out for `development`.' }),
})
/** And what they show of it. */
export const approvalUsed = <R extends { readonly approval: ApprovalView | null }>(t: Fields<R>) =>
  t.field({
    type: ApprovalRef,
    nullable: true,
    description: 'The approval, EXECUTED now; null where none was needed.',
    resolve: (row) => (row as R).approval,
  })
/** Why an approval cannot be used. */
export const approvalRefusals = [
  'ApprovalRequired',
  'ApprovalNotApproved',
  'ApprovalMismatch',
  'ApprovalExpired',
  'ApprovalAlreadyExecuted',
  'ApprovalStale',
] as const

ApprovalRef.implement({
  description:
    'The approval of one plan, shown and named by its digest, for one subject and one environment. It is used up by the very ' +
    'statement that carries the plan out; what fails before leaves it as it is.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, ApprovalState as never, (row, { actor }) => approvalActions(actor, row)),
    kind: t.field({ type: KindRef, description: 'What it is for.', resolve: (row) => row.kind }),
    subject: t.field({
      type: NodeRef,
      nullable: true,
      description: 'The stack or resource, as it is now.',
      resolve: (row, _args, { loaders }) => loaders.node(row.subjectId),
    }),
    toEnvironment: t.exposeString('toEnvironment', { description: 'Where to.' }),
    envPolicy: t.field({
      type: CopyPolicyRef,
      description: 'How variables are copied.',
      resolve: (row) => row.envPolicy,
    }),
    secretPolicy: t.field({
      type: CopyPolicyRef,
      description: 'How secrets are copied.',
      resolve: (row) => row.secretPolicy,
    }),
    planDigest: t.exposeString('planDigest', {
      description: 'SHA-256 of the one plan that it allows, in hex: compare it with `promotionPlan { digest }`.',
    }),
    plannedChanges: t.field({
      type: 'JSON',
      description: 'The plan as it was shown when the approval was asked for: names and revisions, never values.',
      resolve: (row) => row.plan,
    }),
    requestedBy: t.field({
      type: MemberRef,
      nullable: true,
      description: 'The member who asked.',
      resolve: (row, _args, { loaders }) => (row.requestedBy === null ? null : loaders.member.load(row.requestedBy)),
    }),
    decidedBy: t.field({
      type: MemberRef,
      nullable: true,
      description: 'The member who approved or rejected; null before.',
      resolve: (row, _args, { loaders }) => (row.decidedBy === null ? null : loaders.member.load(row.decidedBy)),
    }),
    decidedAt: t.expose('decidedAt', { type: 'DateTime', nullable: true, description: 'When that was; null before.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'Until when it can be decided on and used.' }),
    operation: t.field({
      type: OperationRef,
      nullable: true,
      description: 'The operation of the promotion that used it up; null before.',
      resolve: (row, _args, { loaders }) => (row.operationId === null ? null : loaders.operation.load(row.operationId)),
    }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})

const ApprovalConnection = connectionOf(ApprovalRef, 'newest first')

const Filter = builder.inputType('PromotionApprovalFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    subject: t.id({ description: 'Only for this stack or resource.' }),
    toEnvironment: t.string({ description: 'Only for this environment.' }),
    states: t.field({ type: [ApprovalState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  promotionApproval: t.field({
    type: ApprovalRef,
    nullable: true,
    description: 'An approval by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `apr_…`.' }) },
    resolve: async (_root, { id }, { loaders }) =>
      entityOfId(id) === 'PromotionApproval' ? loaders.promotionApproval.load(id) : null,
  }),
  promotionApprovals: t.field({
    type: ApprovalConnection,
    description: 'The approvals of the team, newest first; ended ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = approvalFilter(args.filter as ApprovalFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, promotionApprovals, args, filter)
      return connect(context, promotionApprovals, page, () => countOf(db, actor.teamId, promotionApprovals, filter))
    },
  }),
}))
