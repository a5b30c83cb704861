// The rules of an invitation's moves. Who accepts one becomes a member in the same statement, so that one invitation makes
// one member, whoever comes at the same time.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { invitation } from '../db/invitation.ts'
import { member } from '../db/member.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { type InvitationState, invitationMachine } from '../lifecycle/invitation.ts'
import { type MemberState, memberMachine } from '../lifecycle/member.ts'
import { firstToken } from './api-token.ts'
import { defineBirth, defineBorn, defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

/** How long an invitation can be accepted. */
export const invitationDays = 7

const part = { table: invitation, machine: invitationMachine } as const
const byId = and(eq(invitation.id, textParam('id')), eq(invitation.teamId, textParam('teamId'))) as SQL

export const inviteMember = defineBirth({
  ...part,
  name: 'inviteMember',
  action: 'inviteMember',
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    email: textParam('email'),
    role: textParam('role'),
    lookupId: textParam('lookupId'),
    secretHash: textParam('secretHash'),
    expiresAt: sql`clock_timestamp() + ${sql.raw(String(invitationDays))} * interval '1 day'`,
    invitedBy: textParam('invitedBy'),
  },
})

/** In which state a member acts for its team. */
const acting = sql.raw(quoted(['ACTIVE'] satisfies MemberState[]))

const isOwner = (row: LifecycleTable) => sql`${(row as typeof member).role} = 'owner'`

const newMember = defineBorn<typeof member, typeof invitation>({
  table: member,
  machine: memberMachine,
  action: 'joinTeam',
  values: (found) => ({
    id: textParam('memberId'),
    teamId: sql`${found.teamId}`,
    identity: textParam('identity'),
    name: sql`coalesce(${textParam('name')}, ${found.email})`,
    email: sql`${found.email}`,
    role: sql`${found.role}`,
  }),
  takes: [{ kind: 'members' }, { kind: 'owners', when: isOwner }],
})

/**
 * Whether who made it is still a member that may give its role: at its newest, and it stays so until the statement ends. Who
 * is being removed or demoted is waited for.
 */
const stillGiven = (found: typeof invitation) => sql`exists (select 1 from ${member} i where i.id = ${found.invitedBy}
  and i.team_id = ${found.teamId} and i.state in (${acting})
  and (i.role = 'owner' or (i.role = 'admin' and ${found.role} <> 'owner')) for share)`

const accepted = {
  ...part,
  action: 'acceptInvitation',
  where: byId,
  guard: (found: typeof invitation) => sql`${found.expiresAt} > clock_timestamp() and ${stillGiven(found)}`,
} as const
const made = () => sql`jsonb_build_object('memberId', ${textParam('memberId')}, 'tokenId', ${textParam('tokenId')})`
const facts = { data: made, result: made, called: true } as const

/** By somebody who calls by tokens: the member gets its first one. */
export const acceptInvitation = defineRule({
  name: 'acceptInvitation',
  subject: accepted,
  bears: [newMember, firstToken<typeof invitation>((found) => sql`${found.teamId}`)],
  ...facts,
})

/** By somebody who calls by another credential, and needs no token. */
export const acceptAsIdentity = defineRule({
  name: 'acceptInvitationAsIdentity',
  subject: accepted,
  bears: [newMember],
  ...facts,
})

export const withdrawInvitation = defineRule({
  name: 'withdrawInvitation',
  subject: { ...part, action: 'withdrawInvitation', where: byId },
  called: true,
})

const pending = sql.raw(quoted(['PENDING'] satisfies InvitationState[]))

export const expireInvitation = defineRule({
  name: 'expireInvitation',
  subject: {
    ...part,
    action: 'expireInvitation',
    where: sql`${invitation.state} in (${pending}) and ${invitation.expiresAt} <= now()`,
    batch: { orderBy: sql`${invitation.expiresAt}`, limit: intParam('limit') },
    guard: (found) => sql`${found.expiresAt} <= now()`,
  },
})
