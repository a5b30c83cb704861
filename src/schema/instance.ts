// Instances in the schema: the object, its list, and the field by which deployments and stacks show theirs. The mutations are in
// instance-mutation.ts.
import { entityOfId } from '../db/id.ts'
import { instanceMachine } from '../lifecycle/instance.ts'
import { instanceActions } from '../resolvers/allowed-action.ts'
import { type InstanceFilter, type InstanceView, instances } from '../resolvers/instance-read.ts'
import { namedFilter } from '../resolvers/named-list.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder, type Fields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { operationsField } from './operation.ts'
import { DeploymentRef, InstanceRef, NodeRef, StackRef } from './ref.ts'

const InstanceState = stateEnum(instanceMachine)
const InstanceRuntime = builder.enumType('InstanceRuntime', {
  description: 'What runs an instance.',
  values: {
    PROCESS: { value: 'PROCESS', description: 'Pawl, as a process on the host of a worker.' },
    DOCKER: { value: 'DOCKER', description: 'Pawl, by Docker Engine.' },
    EXTERNAL: { value: 'EXTERNAL', description: 'Somebody else: it makes itself known and sends heartbeats.' },
  } as const,
})

InstanceRef.implement({
  description:
    'A running unit of a deployment or of a stack’s service, or one that runs elsewhere (`EXTERNAL`). It lasts over restarts: each ' +
    'start is a new run with a new `instanceId`. Pawl asks the runtime about the very runs that it has started and starts again ' +
    'what is gone; an `EXTERNAL` one is moved by its heartbeats, and is OFFLINE once they cease.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, InstanceState as never, async (row, { actor, loaders }) => {
      const { subjectType, subjectId, runtime } = row
      const counts = runtime === 'EXTERNAL' && subjectType === 'Deployment' && subjectId !== null
      return instanceActions(actor, row, counts ? await loaders.deployment.load(subjectId) : null)
    }),
    runtime: t.field({ type: InstanceRuntime, description: 'What runs it.', resolve: (row) => row.runtime }),
    instanceId: t.exposeString('instanceId', {
      nullable: true,
      description:
        'The provider’s id of this very run, another one at every start; null while there is none or it is not known.',
    }),
    name: t.exposeString('name', { description: 'Its name, for people; several may have it.' }),
    environment: t.exposeString('environment', { description: 'Its environment, e.g. `development`.' }),
    service: t.exposeString('service', {
      nullable: true,
      description: 'Of which service of its stack it is; null where it is not part of a stack.',
    }),
    generation: t.exposeInt('generation', {
      description: 'The generation of its deployment or stack for which it runs.',
    }),
    url: t.exposeString('url', { nullable: true, description: 'Where it answers; null where that is not known.' }),
    lastCheckedAt: t.expose('checkedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the runtime last answered about this run; null before, and for `EXTERNAL`.',
    }),
    lastHeartbeatAt: t.expose('heartbeatAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When its last heartbeat came; null before, and for what Pawl runs.',
    }),
    heartbeatSeconds: t.exposeInt('heartbeatSeconds', {
      nullable: true,
      description:
        'How often it promises a heartbeat: it is OFFLINE after three that did not come. Null for what Pawl runs.',
    }),
    restarts: t.exposeInt('restarts', { description: 'How often it was started again.' }),
    startedAt: t.expose('startedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When this run was first seen to run; null while none runs.',
    }),
    restartDueAt: t.expose('restartDueAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it is started again; null when nothing is to be done.',
    }),
    deployment: t.field({
      type: DeploymentRef,
      nullable: true,
      description: 'The deployment that it is part of; null where it is part of none.',
      resolve: ({ subjectType, subjectId }, _args, { loaders }) =>
        subjectType === 'Deployment' && subjectId !== null ? loaders.deployment.load(subjectId) : null,
    }),
    stack: t.field({
      type: StackRef,
      nullable: true,
      description: 'The stack that it is part of; null where it is part of none.',
      resolve: ({ subjectType, subjectId }, _args, { loaders }) =>
        subjectType === 'Stack' && subjectId !== null ? loaders.stack.load(subjectId) : null,
    }),
    operations: operationsField(
      t,
      'The work that was accepted for the deployment or stack that it is part of, newest first: its starts and restarts among it.',
      (row) => row.subjectId ?? row.id,
    ),
    events: eventsField(
      t,
      'What became of it, oldest first: one unbroken chain of states. A heartbeat that changes none is no event.',
    ),
  }),
})

const InstanceConnection = connectionOf(InstanceRef, 'newest first')

/** The field `instances` of an object: what runs for it. */
export const instancesField = <R extends { readonly id: string }>(t: Fields<R>, description: string) =>
  t.field({
    type: InstanceConnection,
    description,
    args: pageArgs(),
    complexity: pageCost,
    resolve: async (row, args, context) => {
      const { id } = row as R
      return connect(context, instances, await context.loaders.instancesOf.page(id, args), () =>
        context.loaders.instancesOf.count(id),
      )
    },
  })

const Filter = builder.inputType('InstanceFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    environment: t.string({ description: 'Only of this environment.' }),
    name: t.string({ description: 'Only of this name, removed ones too.' }),
    states: t.field({ type: [InstanceState], description: 'Only in one of these states; none matches an empty list.' }),
    runtime: t.field({ type: InstanceRuntime, description: 'Only run by this.' }),
  }),
})

builder.queryFields((t) => ({
  instance: t.field({
    type: InstanceRef,
    nullable: true,
    description: 'An instance by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `ins_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Instance' ? loaders.instance.load(id) : null),
  }),
  instances: t.field({
    type: InstanceConnection,
    description: 'The instances of the team, newest first; removed ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const given = args.filter as InstanceFilter | null | undefined
      const filter = { ...namedFilter(given), runtime: given?.runtime ?? null }
      const { db, actor } = context
      const page = await pageOf<InstanceView>(db, actor.teamId, instances, args, filter)
      return connect(context, instances, page, () => countOf(db, actor.teamId, instances, filter))
    },
  }),
}))
