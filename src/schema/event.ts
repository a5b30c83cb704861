// The event log in the schema: audit trail and feed in one, read by the same cursors.
import { type GraphQLResolveInfo, Kind, type SelectionSetNode } from 'graphql'
import { eventPageOf } from '../resolvers/event-feed.ts'
import { type EventFilter, type EventView, eventFilter, events } from '../resolvers/event-read.ts'
import { settledUntil } from '../resolvers/event-settled.ts'
import { countOf, cursorOf } from '../resolvers/page.ts'
import { builder, type Fields, type SchemaContext } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { EventRef, NodeRef, OperationRef } from './ref.ts'

const ActorRef = builder.objectRef<Pick<EventView, 'actorKind' | 'actorId'>>('EventActor').implement({
  description: 'Who did it.',
  fields: (t) => ({
    kind: t.exposeString('actorKind', {
      description: '`token` for a caller; else the part of Pawl that did it, e.g. `runner`.',
    }),
    id: t.exposeString('actorId', { description: 'Id of the token, or name of that part.' }),
  }),
})

EventRef.implement({
  description:
    'One change of one object. Written in the very statement of the change, never changed, never without one.',
  fields: (t) => ({
    cursor: t.string({
      description: 'Its place in the log: pass it as `after` to go on from here.',
      resolve: (row, _args, { actor }) => cursorOf(events, actor.teamId, row),
    }),
    occurredAt: t.expose('occurredAt', { type: 'DateTime', description: 'When it happened.' }),
    kind: t.exposeString('kind', { description: 'The action: the same word as the mutation.' }),
    subjectType: t.exposeString('subjectType', { description: 'The type of the object that changed.' }),
    subjectId: t.exposeID('subjectId', { description: 'Its id.' }),
    subject: t.field({
      type: NodeRef,
      nullable: true,
      description: 'The object as it is now; null when it is there no more.',
      resolve: (row, _args, { loaders }) => loaders.node(row.subjectId),
    }),
    from: t.exposeString('fromState', { nullable: true, description: 'The state before; null for a birth.' }),
    to: t.exposeString('toState', { description: 'The state after.' }),
    generation: t.exposeInt('generation', { description: 'The generation after.' }),
    version: t.string({ description: 'The version after.', resolve: (row) => String(row.version) }),
    actor: t.field({ type: ActorRef, description: 'Who did it.', resolve: (row) => row }),
    requestId: t.exposeString('requestId', { description: 'The request that it follows from.' }),
    operation: t.field({
      type: OperationRef,
      nullable: true,
      description: 'The operation that was accepted with it, or that carried it out.',
      resolve: (row, _args, { loaders }) => (row.operationId === null ? null : loaders.operation.load(row.operationId)),
    }),
    data: t.field({
      type: 'JSON',
      nullable: true,
      description: 'Facts of the action: counts and names of keys, never values.',
      resolve: (row) => row.data,
    }),
  }),
})

const EventConnection = connectionOf(EventRef, 'oldest first')

/** Asked once in a request, before the first page that it is told with; of every later page it holds all the more. */
const settled = new WeakMap<SchemaContext, Promise<Date>>()
const settledOnce = (context: SchemaContext): Promise<Date> => {
  const asked = settled.get(context) ?? settledUntil(context.db)
  settled.set(context, asked)
  return asked
}

builder.objectField(EventConnection, 'settledUntil', (t) =>
  t.field({
    type: 'DateTime',
    description:
      'The log’s past before this time is settled: a filter whose `to` is this or earlier gives the same events whenever it is ' +
      'asked again, on this page already, until they are trimmed. Usually less than a second ago; earlier while something that ' +
      'happened has not been listed yet. By the clock of the database, like `occurredAt`.',
    complexity: 50,
    resolve: (_page, _args, context) => settledOnce(context),
  }),
)

/** Whether that field is selected, whatever it is called there and whatever `@include` says. */
function selects(name: string, { fieldNodes, fragments }: GraphQLResolveInfo): boolean {
  const within = (set: SelectionSetNode | undefined): boolean =>
    (set?.selections ?? []).some((node) => {
      if (node.kind === Kind.FIELD) return node.name.value === name
      return within(node.kind === Kind.INLINE_FRAGMENT ? node.selectionSet : fragments[node.name.value]?.selectionSet)
    })
  return fieldNodes.some(({ selectionSet }) => within(selectionSet))
}

/** What is settled is told of what is read after it was asked. */
const settledFirst = async (context: SchemaContext, info: GraphQLResolveInfo): Promise<void> => {
  if (selects('settledUntil', info)) await settledOnce(context)
}

/** The field `events` of an object: what became of it. */
export const eventsField = <R extends { readonly id: string }>(t: Fields<R>, description: string) =>
  t.field({
    type: EventConnection,
    description,
    args: pageArgs(),
    complexity: pageCost,
    resolve: async (row, args, context, info) => {
      const { id } = row as R
      await settledFirst(context, info)
      return connect(context, events, await context.loaders.eventsOf.page(id, args), () =>
        context.loaders.eventsOf.count(id),
      )
    },
  })

export const EventFilterInput = builder.inputType('EventFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    subject: t.id({ description: 'Only of this object.' }),
    subjectType: t.string({ description: 'Only of objects of this type, e.g. `Deployment`.' }),
    kind: t.string({ description: 'Only of this action.' }),
    actor: t.string({ description: 'Only by this actor id.' }),
    from: t.field({ type: 'DateTime', description: 'Only at or after this time.' }),
    to: t.field({
      type: 'DateTime',
      description: 'Only before this time. A window never changes again once it ends at `settledUntil` or earlier.',
    }),
  }),
})

builder.queryField('events', (t) =>
  t.field({
    type: EventConnection,
    description:
      'The event log of the team, oldest first. A cursor stays good: `after` the last one seen gives what has happened since, ' +
      'with no gap and no repeat. An event is listed a moment after it happened. Where what follows `after` is not all kept any ' +
      'more: an error with `extensions { code: "EVENTS_LAGGED", oldestCursor }`; read the objects anew and go on from there.',
    args: { ...pageArgs(), filter: t.arg({ type: EventFilterInput, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context, info) => {
      await settledFirst(context, info)
      const filter = eventFilter(args.filter as EventFilter | null)
      const { db, actor } = context
      const page = await eventPageOf(db, actor.teamId, args, filter)
      return connect(context, events, page, () => countOf(db, actor.teamId, events, filter))
    },
  }),
)
