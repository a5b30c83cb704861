// Operations in the schema: accepted work, its list, and what callers may ask of it.
import { entityOfId } from '../db/id.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { operationMachine } from '../lifecycle/operation.ts'
import { operationActions, type Subject } from '../resolvers/allowed-action.ts'
import * as calls from '../resolvers/operation.ts'
import { type OperationFilter, operationFilter, operations } from '../resolvers/operation-read.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { declareMutation } from './mutation.ts'
import { NodeRef, OperationRef } from './ref.ts'

const OperationState = stateEnum(operationMachine)

OperationRef.implement({
  description:
    'Accepted work: it is carried out after the answer, survives crashes, and is here until it is trimmed long after its end. ' +
    'Follow `state` until it is SUCCEEDED, FAILED, SUPERSEDED or CANCELLED.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, OperationState as never, async (row, { actor, loaders }) =>
      operationActions(actor, row, (await loaders.node(row.subjectId)) as Subject | null),
    ),
    kind: t.exposeString('kind', { description: 'The effect, e.g. `deployment.roll_out`.' }),
    generation: t.exposeInt('generation', { description: 'The generation of the subject that it works for.' }),
    attempt: t.exposeInt('attempt', { description: 'How many times it was taken up.' }),
    startedAt: t.expose('startedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was first taken up; null before.',
    }),
    finishedAt: t.expose('finishedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it ended; null before.',
    }),
    outcome: t.exposeString('outcome', { nullable: true, description: 'What the driver last answered, in words.' }),
    requestId: t.exposeString('requestId', { description: 'The request that it follows from.' }),
    subject: t.field({
      type: NodeRef,
      nullable: true,
      description: 'What it works on, as it is now.',
      resolve: (row, _args, { loaders }) => loaders.node(row.subjectId),
    }),
    retryOf: t.field({
      type: OperationRef,
      nullable: true,
      description: 'The failed operation that it repeats; null when it repeats none.',
      resolve: (row, _args, { loaders }) => (row.retryOf === null ? null : loaders.operation.load(row.retryOf)),
    }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})

const OperationConnection = connectionOf(OperationRef, 'newest first')

/** The field `operations` of an object: the work that was accepted for it, or for what it is part of. */
export const operationsField = <R extends { readonly id: string }>(
  t: Fields<R>,
  description = 'The work that was accepted for it, newest first.',
  subjectOf = (row: R) => row.id,
) =>
  t.field({
    type: OperationConnection,
    description,
    args: pageArgs(),
    complexity: pageCost,
    resolve: async (row, args, context) => {
      const id = subjectOf(row as R)
      return connect(context, operations, await context.loaders.operationsOf.page(id, args), () =>
        context.loaders.operationsOf.count(id),
      )
    },
  })

const Filter = builder.inputType('OperationFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    subject: t.id({ description: 'Only of this object.' }),
    kind: t.string({ description: 'Only of this kind, e.g. `deployment.roll_out`.' }),
    states: t.field({
      type: [OperationState],
      description: 'Only in one of these states; none matches an empty list.',
    }),
  }),
})

builder.queryFields((t) => ({
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: 'An operation by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `op_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Operation' ? loaders.operation.load(id) : null),
  }),
  operations: t.field({
    type: OperationConnection,
    description: 'The operations of the team, newest first.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = operationFilter(args.filter as OperationFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, operations, args, filter)
      return connect(context, operations, page, () => countOf(db, actor.teamId, operations, filter))
    },
  }),
}))

const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the operation, `op_…`.' }) })
const payload = (t: Fields<calls.OperationPayload>) => ({
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: 'The operation, the new one of a retry; never null here.',
    resolve: (row) => row.operation,
  }),
})

declareMutation<calls.OperationPayload>({
  name: 'retryOperation',
  machine: operationMachine,
  move: { machine: deploymentMachine, action: 'redeployDeployment' },
  summary:
    'Repeats a FAILED roll-out as a new operation of a new generation, if its deployment is still FAILED at the generation that ' +
    'failed. The failed operation stays as it is; the new one names it in `retryOf`.',
  undo: '`cancelOperation` while the new one is PENDING.',
  versioned: true,
  input: id,
  payload,
  refusals: ['IllegalState', 'SecretUnresolved'],
  resolve: calls.retryOperation,
})

declareMutation<calls.OperationPayload>({
  name: 'cancelOperation',
  machine: operationMachine,
  summary:
    'Takes back a roll-out or provision that has not begun; its subject becomes FAILED in the same step. A teardown is never cancelled.',
  undo: '`redeployDeployment`: the deployment is FAILED, not gone.',
  versioned: true,
  input: id,
  payload,
  refusals: ['IllegalState'],
  resolve: calls.cancelOperation,
})
