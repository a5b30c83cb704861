// What can be followed: the event log, and single objects. Translation only: how it is followed is in src/live.
import { entityOfId, type IdEntity } from '../db/id.ts'
import { followEvents } from '../live/events.ts'
import { followSubject } from '../live/subject.ts'
import type { EventFilter, EventView } from '../resolvers/event-read.ts'
import { createLoaders } from '../resolvers/loader.ts'
import { builder, type SchemaContext } from './builder.ts'
import { EventFilterInput } from './event.ts'
import { DeploymentRef, EventRef, OperationRef, StackRef } from './ref.ts'

type Followed = { readonly id: string; readonly version: number }

/** The object of that id, each time read anew: loaders live as long as one answer. */
const followed = <R extends Followed>(
  entity: IdEntity,
  load: (loaders: SchemaContext['loaders'], id: string) => Promise<R | null>,
) => ({
  subscribe: (_root: unknown, { id }: { id: string }, { hub, db, actor, signal }: SchemaContext) =>
    followSubject(hub, {
      db,
      teamId: actor.teamId,
      id,
      read: async () => (entityOfId(id) === entity ? load(createLoaders(db, actor), id) : null),
      signal,
    }) as Promise<AsyncIterable<unknown>> as Promise<AsyncIterable<never>>,
  resolve: (row: unknown) => row as R | null,
})

const manual = (more: { readonly state: string; readonly repeat: string; readonly refusals: string }) =>
  `\n\n**State**: ${more.state}\n**Needs**: scope \`read\`.\n**Idempotence**: ${more.repeat}\n` +
  '**Reversibility**: nothing is changed.\n**Refusals**, as errors before the first answer: `FORBIDDEN`, ' +
  `${more.refusals}\`RATE_LIMITED\`, \`TOO_MANY_STREAMS { retryAfterMs }\`, \`SHUTTING_DOWN { retryAfterMs }\`.`

const description = (what: string, query: string) =>
  `${what} as it is now, and again at each change, at its newest: what changes faster than it is taken is sent once. Its ` +
  '`version` only grows. Null, and the end, when it is not there or is another team’s, as `Query.' +
  `${query}\`. What belongs to it without being it (its lists) is no change of it: follow \`events\` for that.` +
  manual({
    state: 'any; one that has ended is sent once, and the stream stays open.',
    repeat: 'asking again begins anew, with the object as it is then.',
    refusals: '',
  })

builder.subscriptionFields((t) => ({
  events: t.field({
    type: EventRef,
    description:
      'The events of the team as they come, in the order of `Query.events` and with its cursors: from `after` on, or, without ' +
      'it, what happens from now on. Goes on with no gap and no repeat, on any replica.' +
      manual({
        state: 'any of the objects that it tells of.',
        repeat: '`after` the last cursor that was seen goes on from there.',
        refusals:
          '`BAD_USER_INPUT` for a cursor that is none of this list, `EVENTS_LAGGED { oldestCursor }` where what follows it is ' +
          'not all kept any more (read the objects anew, and subscribe after that one), ',
      }),
    args: {
      after: t.arg.string({ description: 'A cursor of `events`: only what comes after it.' }),
      filter: t.arg({ type: EventFilterInput, description: 'Which ones.' }),
    },
    subscribe: (_root, { after, filter }, { hub, db, actor, signal }) =>
      followEvents(hub, {
        db,
        teamId: actor.teamId,
        after: after ?? null,
        filter: filter as EventFilter | null,
        signal,
      }) as Promise<AsyncIterable<EventView>>,
    resolve: (event) => event as EventView,
  }),
  deployment: t.field({
    type: DeploymentRef,
    nullable: true,
    description: description('A deployment', 'deployment'),
    args: { id: t.arg.id({ required: true, description: 'Its id, `dep_…`.' }) },
    ...followed('Deployment', (loaders, id) => loaders.deployment.load(id)),
  }),
  stack: t.field({
    type: StackRef,
    nullable: true,
    description: description('A stack', 'stack'),
    args: { id: t.arg.id({ required: true, description: 'Its id, `stk_…`.' }) },
    ...followed('Stack', (loaders, id) => loaders.stack.load(id)),
  }),
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: description('An operation', 'operation'),
    args: { id: t.arg.id({ required: true, description: 'Its id, `op_…`.' }) },
    ...followed('Operation', (loaders, id) => loaders.operation.load(id)),
  }),
}))
