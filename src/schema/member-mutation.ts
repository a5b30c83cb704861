// The mutations of members and invitations: their inputs, payloads and what the manual says of them beyond what is derived.
import { invitationMachine } from '../lifecycle/invitation.ts'
import { memberMachine } from '../lifecycle/member.ts'
import * as invitations from '../resolvers/invitation.ts'
import { invitationDays } from '../resolvers/invitation-rule.ts'
import * as members from '../resolvers/member.ts'
import type { Fields, InputFields } from './builder.ts'
import { RoleRef } from './member.ts'
import { declareMutation } from './mutation.ts'
import { ApiTokenRef, InvitationRef, MemberRef } from './ref.ts'

const plaintext = <P extends { readonly plaintext: string | null }>(t: Fields<P>, description: string) =>
  t.string({ nullable: true, description, resolve: (row) => (row as P).plaintext })
const invited = (t: Fields<invitations.InvitationPayload>) => ({
  invitation: t.field({
    type: InvitationRef,
    nullable: true,
    description: 'The invitation after the move; never null here.',
    resolve: (row) => row.invitation,
  }),
})
const owners = 'Only an owner makes, demotes or removes an owner; others are told Forbidden, with the role.'
const noMore = 'Who gives a role must itself have every scope of it and every class of actions.'

declareMutation<invitations.InvitationPayload>({
  name: 'inviteMember',
  machine: invitationMachine,
  summary:
    'Makes an invitation to the caller’s team. Its token is shown once, here: hand it to whom it is for, nothing is sent. It ' +
    `can be accepted once, by \`acceptInvitation\`, for ${invitationDays} days. ${noMore} ${owners}`,
  undo: '`withdrawInvitation`, as long as nobody has accepted it.',
  versioned: false,
  input: (t) => ({
    email: t.string({ required: true, description: 'Whom it is for; shown in lists, never written to.' }),
    role: t.field({ type: RoleRef, required: true, description: 'The role that the new member gets.' }),
  }),
  payload: (t) => ({
    ...invited(t),
    plaintext: plaintext(t, 'The token of the invitation. Shown once and kept nowhere: null in a replay.'),
  }),
  refusals: [],
  resolve: invitations.inviteMember,
})

declareMutation<invitations.InvitationPayload>({
  name: 'withdrawInvitation',
  machine: invitationMachine,
  summary: 'Takes an invitation back: its token is good for nothing from then on.',
  undo: 'none: make a new one by `inviteMember`.',
  versioned: true,
  input: (t) => ({ id: t.id({ required: true, description: 'Id of the invitation, `inv_…`.' }) }),
  payload: invited,
  refusals: ['IllegalState'],
  resolve: invitations.withdrawInvitation,
})

declareMutation<invitations.AcceptancePayload>({
  name: 'acceptInvitation',
  machine: invitationMachine,
  summary:
    'Makes a member by an invitation. Called with the token of the invitation itself as the bearer, it makes a member whom ' +
    'only tokens stand for. Called by somebody else, with that token in the input, the caller’s own identity joins: that of ' +
    'an API token’s member, or of an OIDC issuer. Who does not call by OIDC gets a first API token with the scopes of the role.',
  undo: '`removeMember`, by an admin of the team.',
  versioned: false,
  input: (t) => ({
    token: t.string({
      description: 'The token of the invitation, `pawl_…`; not needed when the call is made with it.',
    }),
    name: t.string({
      description:
        'How the new member is shown: 1 to 100 characters; what is known of the caller when nothing is said.',
    }),
  }),
  payload: (t) => ({
    invitation: t.field({
      type: InvitationRef,
      nullable: true,
      description: 'The invitation after the move; never null here.',
      resolve: (row) => row.invitation,
    }),
    member: t.field({
      type: MemberRef,
      nullable: true,
      description: 'The new member; never null here.',
      resolve: (row) => row.member,
    }),
    token: t.field({
      type: ApiTokenRef,
      nullable: true,
      description: 'Its first API token; null for a caller by OIDC, who needs none.',
      resolve: (row) => row.token as never,
    }),
    plaintext: plaintext(t, 'That API token itself. Shown once and kept nowhere: null in a replay.'),
  }),
  refusals: ['IllegalState', 'AlreadyMember', 'QuotaExceeded'],
  resolve: invitations.acceptInvitation,
})

const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the member, `mem_…`.' }) })
const moved = (t: Fields<members.MemberPayload>) => ({
  member: t.field({
    type: MemberRef,
    nullable: true,
    description: 'The member after the move; never null here.',
    resolve: (row) => row.member,
  }),
})

declareMutation<members.MemberPayload>({
  name: 'setMemberRole',
  machine: memberMachine,
  summary:
    'Gives a member another role. Its tokens may do from the next request on what both they and the new role have; no token ' +
    `gains a scope that it was not given. A team keeps an owner, whoever steps down at the same time. ${noMore} ${owners}`,
  undo: '`setMemberRole` with the role that it had.',
  versioned: true,
  input: (t) => ({
    ...id(t),
    role: t.field({ type: RoleRef, required: true, description: 'The role that it gets.' }),
  }),
  payload: moved,
  refusals: ['IllegalState', 'LastOwner', 'QuotaExceeded'],
  resolve: members.setMemberRole,
})

declareMutation<members.MemberPayload>({
  name: 'removeMember',
  machine: memberMachine,
  summary:
    'Takes a member out of the team, perhaps the caller itself. Its tokens are dead at once, and revoked soon after. A team ' +
    `keeps an owner, whoever leaves at the same time. ${owners}`,
  undo: 'none: invite it again by `inviteMember`; its tokens stay dead.',
  versioned: true,
  input: id,
  payload: moved,
  refusals: ['IllegalState', 'LastOwner'],
  resolve: members.removeMember,
})
