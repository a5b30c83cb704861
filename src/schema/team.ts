// Teams in the schema: everything else belongs to one, and a caller only ever sees its own. The mutations are in
// team-mutation.ts.
import { teamMachine } from '../lifecycle/team.ts'
import { teamActions } from '../resolvers/allowed-action.ts'
import { invitations, members } from '../resolvers/member-read.ts'
import type { Usage } from '../resolvers/team-read.ts'
import { builder } from './builder.ts'
import { connect, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { InvitationConnection, MemberConnection } from './member.ts'
import { NodeRef, TeamRef } from './ref.ts'

const TeamState = stateEnum(teamMachine)

export const UsageRef = builder.objectRef<Usage>('PlanUsage').implement({
  description: 'How much of one thing a team has, and how much its plan has room for.',
  fields: (t) => ({
    kind: t.exposeString('kind', { description: 'What, e.g. `deployments`.' }),
    used: t.exposeInt('used', { description: 'How many there are.' }),
    cap: t.exposeInt('cap', { description: 'How many there may be; 0 once the team is being deleted.' }),
  }),
})

TeamRef.implement({
  description: 'A team: the owner of deployments, operations and tokens.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, TeamState as never, (row, { actor }) => teamActions(actor, row)),
    name: t.exposeString('name', { description: 'Its name.' }),
    plan: t.exposeString('plan', { description: 'What it may have: the name of its plan.' }),
    usage: t.field({
      type: [UsageRef],
      description: 'What of its plan is in use; empty for another team than the one that the caller acts for.',
      resolve: (row, _args, { loaders }) => loaders.usage.load(row.id),
    }),
    deletionAt: t.expose('deletionAt', {
      type: 'DateTime',
      nullable: true,
      description: 'Until when it can be restored; null unless its deletion was asked for.',
    }),
    members: t.field({
      type: MemberConnection,
      description:
        'Its members, newest first, removed ones too; none of another team than the one that the caller acts for.',
      args: pageArgs(),
      complexity: pageCost,
      resolve: async (row, args, context) =>
        connect(context, members, await context.loaders.membersOf.page(row.id, args), () =>
          context.loaders.membersOf.count(row.id),
        ),
    }),
    invitations: t.field({
      type: InvitationConnection,
      description:
        'Its invitations, newest first, ended ones too; none of another team than the one that the caller acts for.',
      args: pageArgs(),
      complexity: pageCost,
      resolve: async (row, args, context) =>
        connect(context, invitations, await context.loaders.invitationsOf.page(row.id, args), () =>
          context.loaders.invitationsOf.count(row.id),
        ),
    }),
    events: eventsField(t, 'What became of the team itself, oldest first; for all that it owns see `Query.events`.'),
  }),
})

builder.queryField('team', (t) =>
  t.field({
    type: TeamRef,
    nullable: true,
    description: 'The team that the caller acts for; by an `id`, null when it is another one or none.',
    args: { id: t.arg.id({ description: 'Its id, `team_…`.' }) },
    resolve: async (_root, { id }, { actor, loaders }) =>
      id == null || id === actor.teamId ? loaders.team.load(actor.teamId) : null,
  }),
)
