// Teams in the schema: everything else belongs to one, and a caller only ever sees its own.
import { teamMachine } from '../lifecycle/team.ts'
import { teamActions } from '../resolvers/allowed-action.ts'
import { events } from '../resolvers/event-read.ts'
import { connect, pageArgs, pageCost } from './connection.ts'
import { EventConnection } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { NodeRef, TeamRef } from './ref.ts'

const TeamState = stateEnum(teamMachine)

TeamRef.implement({
  description: 'A team: the owner of deployments, operations and tokens.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, TeamState as never, (row, { actor }) => teamActions(actor, row)),
    name: t.exposeString('name', { description: 'Its name.' }),
    plan: t.exposeString('plan', { description: 'What it may have: the name of its plan.' }),
    events: t.field({
      type: EventConnection,
      description: 'What became of the team itself, oldest first; for all that it owns see `Query.events`.',
      args: pageArgs(),
      complexity: pageCost,
      resolve: async (row, args, context) =>
        connect(context, events, await context.loaders.eventsOf.page(row.id, args), () =>
          context.loaders.eventsOf.count(row.id),
        ),
    }),
  }),
})
