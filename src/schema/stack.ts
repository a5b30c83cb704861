// Stacks in the schema: the object with its services, and its list. The mutations are in stack-mutation.ts.
import { entityOfId } from '../db/id.ts'
import { type StackState, stackMachine } from '../lifecycle/stack.ts'
import { stackActions } from '../resolvers/allowed-action.ts'
import { namedFilter } from '../resolvers/named-list.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { type ShownService, servicesOf } from '../resolvers/stack-progress.ts'
import { type StackFilter, stacks } from '../resolvers/stack-read.ts'
import { builder } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { envField } from './env.ts'
import { eventsField } from './event.ts'
import { instancesField } from './instance.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { operationsField } from './operation.ts'
import { NodeRef, StackRef } from './ref.ts'

const StackStateRef = stateEnum(stackMachine)

const ServiceRef = builder.objectRef<ShownService>('StackService').implement({
  description: 'One service of a stack, and how far it is.',
  fields: (t) => ({
    name: t.exposeString('name', {
      description: 'Its name in the stack; `service://NAME` in a variable is its address.',
    }),
    image: t.exposeString('image', { description: 'What is to run.' }),
    port: t.exposeInt('port', {
      nullable: true,
      description: 'Where it listens; null when that is left to the runtime, which tells it by PORT.',
    }),
    exposed: t.exposeBoolean('exposed', { description: 'Whether it is reached from outside the stack.' }),
    state: t.field({
      type: StackStateRef,
      description: 'How far this service is: the stack may be FAILED while this one is HEALTHY.',
      resolve: (service) => service.state as StackState,
    }),
    stateReason: t.exposeString('stateReason', { nullable: true, description: 'Why it failed; null otherwise.' }),
    url: t.exposeString('url', {
      nullable: true,
      description: 'Where it answers, if it is exposed and has been HEALTHY; during a redeploy where it did last.',
    }),
  }),
})

StackRef.implement({
  description:
    'Several services deployed as one, with one environment. Its name is its family: the stacks of that name in other ' +
    'environments, one in each. It moves only by the mutations named in `allowedActions` and the operations that they accept.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, StackStateRef as never, (row, { actor }) => stackActions(actor, row)),
    name: t.exposeString('name', { description: 'Its name in the environment, and the name of its family.' }),
    environment: t.exposeString('environment', { description: 'Its environment, e.g. `development`.' }),
    generation: t.exposeInt('generation', {
      description: 'Goes up with each wish for new work; the work of older ones has no effect.',
    }),
    specVersion: t.exposeInt('specVersion', {
      description: 'Counts changes of services, images and environment only; what a promotion is planned on.',
    }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When its deletion was accepted; null while it lives.',
    }),
    services: t.field({
      type: [ServiceRef],
      description: 'Its services, in the order in which they were given.',
      complexity: { field: 1, multiplier: 5 },
      resolve: (row) => servicesOf(row),
    }),
    env: envField(
      t,
      (loaders, id) => loaders.stackEnv.load(id),
      'Its environment variables by key, the same for all services. They reach the services at the next roll-out.',
    ),
    instances: instancesField(
      t,
      'The running units of its services, newest first; those of older generations are REMOVED.',
    ),
    operations: operationsField(t),
    events: eventsField(t, 'What became of it, oldest first: one unbroken chain of states.'),
  }),
})

const StackConnection = connectionOf(StackRef, 'newest first')

const Filter = builder.inputType('StackFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    environment: t.string({ description: 'Only of this environment.' }),
    name: t.string({ description: 'Only of this family, ended ones too.' }),
    states: t.field({ type: [StackStateRef], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  stack: t.field({
    type: StackRef,
    nullable: true,
    description: 'A stack by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `stk_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Stack' ? loaders.stack.load(id) : null),
  }),
  stacks: t.field({
    type: StackConnection,
    description: 'The stacks of the team, newest first; deleted ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = namedFilter(args.filter as StackFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, stacks, args, filter)
      return connect(context, stacks, page, () => countOf(db, actor.teamId, stacks, filter))
    },
  }),
}))
