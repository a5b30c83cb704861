// Resources in the schema: the object, its list, and the mutations that move it.
import { lacking } from '../auth.ts'
import { entityOfId } from '../db/id.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import { resourceActions } from '../resolvers/allowed-action.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import * as calls from '../resolvers/resource.ts'
import { type ResourceFilter, resourceFilter, resources } from '../resolvers/resource-read.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { declareMutation } from './mutation.ts'
import { operationsField } from './operation.ts'
import { NodeRef, OperationRef, ResourceRef } from './ref.ts'

const ResourceState = stateEnum(resourceMachine)
const ResourceType = builder.enumType('ResourceType', {
  description: 'What a resource is.',
  values: {
    POSTGRES: { value: 'POSTGRES', description: 'A PostgreSQL database with a role and password of its own.' },
    REDIS: { value: 'REDIS', description: 'A Redis user of its own, confined to a prefix of keys.' },
  } as const,
})

const ConnectionRef = builder.objectRef<{ readonly url: string }>('ResourceConnectionInfo').implement({
  description: 'How a client connects. Secret.',
  fields: (t) => ({ url: t.exposeString('url', { description: 'The URL, with the password in it.' }) }),
})

ResourceRef.implement({
  description:
    'A thing that one can connect to. It is deprovisioned once, and DELETING is the only way to that. A deployment’s variable of ' +
    'the value `resource://NAME` becomes its URL when the workload starts.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, ResourceState as never, (row, { actor }) => resourceActions(actor, row)),
    type: t.field({ type: ResourceType, description: 'What it is.', resolve: (row) => row.type }),
    name: t.exposeString('name', { description: 'Its name in the environment.' }),
    environment: t.exposeString('environment', { description: 'Its environment, e.g. `development`.' }),
    generation: t.exposeInt('generation', {
      description: 'Goes up with each wish for new work; the work of older ones has no effect.',
    }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Its time limit; null for none.',
    }),
    deletedAt: t.expose('deletedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When its deletion was accepted; null while it lives.',
    }),
    sizeBytes: t.float({
      nullable: true,
      description: 'What it held when last measured, in bytes; null where that cannot be told.',
      resolve: (row) => row.sizeBytes,
    }),
    connection: t.field({
      type: ConnectionRef,
      nullable: true,
      description:
        'How to connect; null until it was first ACTIVE, once it is deleted, and without the scope `resource`.',
      complexity: 5,
      resolve: async (row, _args, { actor, loaders, sealing }) => {
        if (lacking(actor, 'readResourceConnection')) return null
        const sealed = await loaders.connection.load(row.id)
        return sealed === null ? null : { url: sealing.open(sealed, [row.teamId, row.id, 'connection']) }
      },
    }),
    operations: operationsField(t),
    events: eventsField(t, 'What became of it, oldest first: one unbroken chain of states.'),
  }),
})

const ResourceConnection = connectionOf(ResourceRef, 'newest first')

const Filter = builder.inputType('ResourceFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    environment: t.string({ description: 'Only of this environment.' }),
    name: t.string({ description: 'Only of this name, deleted ones too.' }),
    type: t.field({ type: ResourceType, description: 'Only of this type.' }),
    states: t.field({ type: [ResourceState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  resource: t.field({
    type: ResourceRef,
    nullable: true,
    description: 'A resource by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `res_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Resource' ? loaders.resource.load(id) : null),
  }),
  resources: t.field({
    type: ResourceConnection,
    description: 'The resources of the team, newest first; deleted ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = resourceFilter(args.filter as ResourceFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, resources, args, filter)
      return connect(context, resources, page, () => countOf(db, actor.teamId, resources, filter))
    },
  }),
}))

const payload = (t: Fields<calls.ResourcePayload>) => ({
  resource: t.field({
    type: ResourceRef,
    nullable: true,
    description: 'The resource as it is now; never null here.',
    resolve: (row) => row.resource,
  }),
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: 'The accepted work; null where nothing is carried out afterwards.',
    resolve: (row) => row.operation,
  }),
})
const id = (t: InputFields) => t.id({ required: true, description: 'Id of the resource.' })

declareMutation<calls.ResourcePayload>({
  name: 'createResource',
  machine: resourceMachine,
  summary:
    'Makes a resource. It can be connected to once it is ACTIVE; a provision that fails leaves nothing but a FAILED row.',
  undo: 'deleteResource removes it with everything in it.',
  versioned: false,
  input: (t) => ({
    type: t.field({ type: ResourceType, required: true, description: 'What it is to be.' }),
    name: t.string({ required: true, description: '1 to 63 of a-z, 0-9 and -, beginning with a letter.' }),
    environment: t.string({ description: '1 to 32 of a-z, 0-9 and -; `development` when left out.' }),
    ttlHours: t.int({ description: '1 to 8760 hours until it is deleted by itself; left out, it stays.' }),
  }),
  payload,
  refusals: ['ResourceTypeUnavailable', 'NameTaken', 'QuotaExceeded'],
  resolve: calls.createResource,
})

declareMutation<calls.ResourcePayload>({
  name: 'deleteResource',
  machine: resourceMachine,
  summary: 'Deprovisions a resource with everything in it, once, however often and by whomever it is asked for.',
  undo: 'None: what it held is gone.',
  versioned: true,
  input: (t) => ({ id: id(t) }),
  payload,
  refusals: ['ResourceAlreadyDeleted'],
  resolve: calls.deleteResource,
})

const illegal = ['IllegalState'] as const
declareMutation<calls.ResourcePayload>({
  name: 'pauseResource',
  machine: resourceMachine,
  summary: 'Ends all connections and lets nobody connect; what the resource holds is kept.',
  undo: 'resumeResource.',
  versioned: true,
  input: (t) => ({ id: id(t) }),
  payload,
  refusals: illegal,
  resolve: calls.pauseResource,
})
declareMutation<calls.ResourcePayload>({
  name: 'resumeResource',
  machine: resourceMachine,
  summary: 'Lets clients connect again.',
  undo: 'pauseResource.',
  versioned: true,
  input: (t) => ({ id: id(t) }),
  payload,
  refusals: illegal,
  resolve: calls.resumeResource,
})
declareMutation<calls.ResourcePayload>({
  name: 'rotateResourceCredentials',
  machine: resourceMachine,
  summary:
    'Replaces the password. `connection` shows the new URL once the operation has succeeded; the earlier one is dead then.',
  undo: 'None; rotate again for another password.',
  versioned: true,
  input: (t) => ({ id: id(t) }),
  payload,
  refusals: illegal,
  resolve: calls.rotateResourceCredentials,
})
declareMutation<calls.ResourcePayload>({
  name: 'setResourceTtl',
  machine: resourceMachine,
  summary: 'Sets, moves or takes away the time limit, counted from now.',
  undo: 'Call it again, in time.',
  versioned: true,
  input: (t) => ({
    id: id(t),
    ttlHours: t.int({ description: '1 to 8760 hours from now; null takes the limit away.' }),
  }),
  payload,
  refusals: illegal,
  resolve: calls.setResourceTtl,
})
