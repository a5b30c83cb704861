// Asking for approvals and deciding on them, in the schema. What uses one is in promote-mutation.ts and twin-mutation.ts.
import { approvalHours, promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import * as decisions from '../resolvers/promotion-decision.ts'
import * as requests from '../resolvers/promotion-request.ts'
import * as twins from '../resolvers/twin.ts'
import type { Fields, InputFields } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { CopyPolicyRef } from './promotion.ts'
import { PromotionPlanRef, TwinPlanRef } from './promotion-plan.ts'
import { ApprovalRef } from './ref.ts'

const machine = promotionApprovalMachine
const toEnvironment = (t: InputFields) =>
  t.string({ required: true, description: 'Where to: 1 to 32 of a-z, 0-9 and -; another environment than its own.' })
const approval = <R extends { readonly approval: requests.RequestPayload['approval'] }>(t: Fields<R>) =>
  t.field({
    type: ApprovalRef,
    nullable: true,
    description: 'The approval as it is now; never null here.',
    resolve: (row) => row.approval,
  })
const planned =
  'The plan as it is now; its digest is that of the approval, unless this is a replay and something has changed since.'
const until = `It can be decided on and used for ${approvalHours} h.`

declareMutation<requests.RequestPayload>({
  name: 'requestPromotion',
  machine,
  summary:
    `Asks for the approval of one plan: that of \`promotionPlan\` with the same arguments. ${until} Several may be asked for at ` +
    'a time; as soon as one is used, those of the same plan are stale. What promoteStack would refuse is refused here already, ' +
    'but for a lack of room.',
  undo: '`withdrawPromotion`.',
  versioned: false,
  input: (t) => ({
    stackId: t.id({ required: true, description: 'The source, `stk_…`.' }),
    toEnvironment: toEnvironment(t),
    envPolicy: t.field({ type: CopyPolicyRef, description: 'How variables are copied; COPY_MISSING when left out.' }),
    secretPolicy: t.field({ type: CopyPolicyRef, description: 'How secrets are copied; COPY_MISSING when left out.' }),
  }),
  payload: (t) => ({
    approval: approval(t),
    plan: t.field({
      type: PromotionPlanRef,
      nullable: true,
      description: planned,
      resolve: (row) => row.plan,
    }),
  }),
  refusals: ['NothingToPromote', 'NoServices', 'MissingImage', 'SecretUnresolved', 'StackDeleting'],
  resolve: requests.requestPromotion,
})

declareMutation<twins.TwinRequestPayload>({
  name: 'requestTwin',
  machine,
  summary: `Asks for the approval of a twin: a resource of the same type and name in another environment, empty. ${until}`,
  undo: '`withdrawPromotion`.',
  versioned: false,
  input: (t) => ({
    resourceId: t.id({ required: true, description: 'The source, `res_…`.' }),
    toEnvironment: toEnvironment(t),
  }),
  payload: (t) => ({
    approval: approval(t),
    plan: t.field({ type: TwinPlanRef, nullable: true, description: planned, resolve: (row) => row.plan }),
  }),
  refusals: ['TwinExists', 'ResourceTypeUnavailable', 'ResourceAlreadyDeleted'],
  resolve: twins.requestTwin,
})

const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the approval, `apr_…`.' }) })
const decided = (t: Fields<decisions.ApprovalPayload>) => ({ approval: approval(t) })

declareMutation<decisions.ApprovalPayload>({
  name: 'approvePromotion',
  machine,
  summary:
    'Allows the one plan that the approval names, to whoever may promote, once. Whether the member who asked may approve is the ' +
    'team’s word: see `setSelfApproval`.',
  undo: '`withdrawPromotion`, until it is used.',
  versioned: true,
  input: id,
  payload: decided,
  refusals: ['IllegalState', 'ApprovalExpired', 'SelfApprovalForbidden'],
  resolve: decisions.approvePromotion,
})

declareMutation<decisions.ApprovalPayload>({
  name: 'rejectPromotion',
  machine,
  summary: 'Decides against it. The member who asked may do so, too.',
  undo: 'None; `requestPromotion` asks for another one.',
  versioned: true,
  input: id,
  payload: decided,
  refusals: ['IllegalState', 'ApprovalExpired'],
  resolve: decisions.rejectPromotion,
})

declareMutation<decisions.ApprovalPayload>({
  name: 'withdrawPromotion',
  machine,
  summary: 'Takes an approval back before it is used, whoever asked for it and whether or not it was approved.',
  undo: 'None; `requestPromotion` asks for another one.',
  versioned: true,
  input: id,
  payload: decided,
  refusals: ['IllegalState', 'ApprovalExpired'],
  resolve: decisions.withdrawPromotion,
})
