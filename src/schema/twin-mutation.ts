// twinResource in the schema: the use of an approval, in one step with the resource that it allows.
import { resourceMachine } from '../lifecycle/resource.ts'
import * as calls from '../resolvers/twin.ts'
import { declareMutation } from './mutation.ts'
import { approvalInput, approvalRefusals, approvalUsed } from './promotion.ts'
import { OperationRef, ResourceRef } from './ref.ts'

declareMutation<calls.TwinPayload>({
  name: 'twinResource',
  machine: resourceMachine,
  summary:
    'Makes a resource of the same type and name in another environment: empty, with a password of its own and without a time ' +
    'limit. The approval is used up by the very statement that makes it; whatever is refused leaves the approval as it is. Into ' +
    '`development` no approval is needed. A provision that fails later leaves the approval EXECUTED.',
  undo: '`deleteResource` takes the twin away.',
  versioned: true,
  input: (t) => ({
    resourceId: t.id({ required: true, description: 'The source, `res_…`; `expectedVersion` is about it.' }),
    ...approvalInput(t),
  }),
  payload: (t) => ({
    resource: t.field({
      type: ResourceRef,
      nullable: true,
      description: 'The twin; never null here.',
      resolve: (row) => row.resource,
    }),
    operation: t.field({
      type: OperationRef,
      nullable: true,
      description: 'The provision that was accepted: follow it until it has ended.',
      resolve: (row) => row.operation,
    }),
    approval: approvalUsed(t),
  }),
  refusals: [...approvalRefusals, 'TwinExists', 'ResourceTypeUnavailable', 'ResourceAlreadyDeleted', 'QuotaExceeded'],
  resolve: calls.twinResource,
})
