// Teams in the schema: everything else belongs to one, and a caller only ever sees its own.
import { teamMachine } from '../lifecycle/team.ts'
import { teamActions } from '../resolvers/allowed-action.ts'
import { eventsField } from './event.ts'
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
    events: eventsField(t, 'What became of the team itself, oldest first; for all that it owns see `Query.events`.'),
  }),
})
