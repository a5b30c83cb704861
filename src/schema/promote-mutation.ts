// promoteStack in the schema: the use of an approval, in one step with what it allows.
import { stackMachine } from '../lifecycle/stack.ts'
import * as calls from '../resolvers/promotion.ts'
import { declareMutation } from './mutation.ts'
import { approvalInput, approvalRefusals, approvalUsed } from './promotion.ts'
import { OperationRef, StackRef } from './ref.ts'

declareMutation<calls.PromotionPayload>({
  name: 'promoteStack',
  machine: stackMachine,
  summary:
    'Moves services and variables of a stack into another environment: the stack of the family there is changed, or made. The ' +
    'approval is used up by the very statement that does it; whatever is refused leaves the approval as it is. Into ' +
    '`development` no approval is needed; without one no secret is copied, and a variable whose secret is lacking there is ' +
    'SecretUnresolved. With an approval its policies count. A roll-out that fails later is repeated by `retryOperation`, without a new approval.',
  undo: 'Promote or redeploy the target’s earlier services.',
  versioned: true,
  input: (t) => ({
    stackId: t.id({ required: true, description: 'The source, `stk_…`; `expectedVersion` is about it.' }),
    ...approvalInput(t),
  }),
  payload: (t) => ({
    stack: t.field({
      type: StackRef,
      nullable: true,
      description: 'The target after the move; never null here.',
      resolve: (row) => row.stack,
    }),
    operation: t.field({
      type: OperationRef,
      nullable: true,
      description: 'The roll-out that was accepted: follow it until it has ended.',
      resolve: (row) => row.operation,
    }),
    approval: approvalUsed(t),
  }),
  refusals: [...approvalRefusals, 'NoServices', 'MissingImage', 'SecretUnresolved', 'QuotaExceeded', 'StackDeleting'],
  resolve: calls.promoteStack,
})
