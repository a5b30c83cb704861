// Members and invitations in the schema, with their lists. The mutations are in member-mutation.ts and
// invitation-mutation.ts.
import { roles } from '../auth.ts'
import { entityOfId } from '../db/id.ts'
import { invitationMachine } from '../lifecycle/invitation.ts'
import { memberMachine } from '../lifecycle/member.ts'
import { invitationActions, memberActions } from '../resolvers/allowed-action.ts'
import {
  type InvitationFilter,
  invitations,
  type MemberFilter,
  members,
  stateFilter,
} from '../resolvers/member-read.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { InvitationRef, MemberRef, NodeRef } from './ref.ts'

const MemberState = stateEnum(memberMachine)
const InvitationState = stateEnum(invitationMachine)

const told = {
  owner: 'Everything, the team itself and its owners included.',
  admin: 'Everything but what only owners may.',
  developer: 'Deployments, resources, stacks, secrets and promotions; no approvals, no members, no tokens.',
  viewer: 'Reads.',
} as const

export const RoleRef = builder.enumType('Role', {
  description: 'What a member may do at most; each of its tokens may be given less.',
  values: Object.fromEntries(
    roles.map((role) => [role.toUpperCase(), { value: role, description: told[role] }]),
  ) as Record<Uppercase<(typeof roles)[number]>, { value: (typeof roles)[number]; description: string }>,
})

MemberRef.implement({
  description: 'A person in a team, with a role.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, MemberState as never, (row, { actor }) => memberActions(actor, row)),
    name: t.exposeString('name', { description: 'For people.' }),
    email: t.exposeString('email', { nullable: true, description: 'Where it was invited; null where nobody said.' }),
    role: t.field({ type: RoleRef, description: 'What it may do at most.', resolve: (row) => row.role }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})

InvitationRef.implement({
  description:
    'A token by which somebody may become a member, once. The token itself is shown by the mutation that makes it.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, InvitationState as never, (row, { actor }) => invitationActions(actor, row)),
    email: t.exposeString('email', { description: 'Whom it is for.' }),
    role: t.field({ type: RoleRef, description: 'The role that the new member gets.', resolve: (row) => row.role }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'Until when it can be accepted.' }),
    invitedBy: t.field({
      type: MemberRef,
      nullable: true,
      description: 'Who made it.',
      resolve: (row, _args, { loaders }) => loaders.member.load(row.invitedBy),
    }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})

export const MemberConnection = connectionOf(MemberRef, 'newest first')
export const InvitationConnection = connectionOf(InvitationRef, 'newest first')

const ofMembers = builder.inputType('MemberFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    states: t.field({ type: [MemberState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})
const ofInvitations = builder.inputType('InvitationFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    states: t.field({
      type: [InvitationState],
      description: 'Only in one of these states; none matches an empty list.',
    }),
  }),
})

builder.queryFields((t) => ({
  member: t.field({
    type: MemberRef,
    nullable: true,
    description: 'A member by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `mem_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Member' ? loaders.member.load(id) : null),
  }),
  members: t.field({
    type: MemberConnection,
    description: 'The members of the team, newest first; removed ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: ofMembers, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = stateFilter(args.filter as MemberFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, members, args, filter)
      return connect(context, members, page, () => countOf(db, actor.teamId, members, filter))
    },
  }),
  invitation: t.field({
    type: InvitationRef,
    nullable: true,
    description: 'An invitation by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `inv_…`.' }) },
    resolve: async (_root, { id }, { loaders }) =>
      entityOfId(id) === 'Invitation' ? loaders.invitation.load(id) : null,
  }),
  invitations: t.field({
    type: InvitationConnection,
    description: 'The invitations of the team, newest first; ended ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: ofInvitations, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = stateFilter(args.filter as InvitationFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, invitations, args, filter)
      return connect(context, invitations, page, () => countOf(db, actor.teamId, invitations, filter))
    },
  }),
}))
