// Invitations: how somebody becomes a member. The token of one is shown once, kept as a hash, and works once, for a week.
import type { z } from 'zod'
import { actionClasses, type Lack, lackingToGive, type Role, roleWord, scopesOfRole } from '../auth.ts'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { invitation } from '../db/invitation.ts'
import { advice, forbidden, lookAt, type Refusal, refuse, validationFailed } from '../refusals.ts'
import { mintToken } from '../token.ts'
import { type ApiToken, firstTokenValues } from './api-token.ts'
import { apiTokensById } from './api-token-read.ts'
import { invitationBehind } from './authenticate.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  illegalState,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
} from './call.ts'
import { acceptanceInput, check, invitationInput, nothingElse } from './input.ts'
import * as rules from './invitation-rule.ts'
import { activeMemberOf, invitationsById, type MemberView, membersById } from './member-read.ts'
import { type ById, moveById } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import { bring, type Call, type Database, transition } from './transition.ts'

type Invitation = typeof invitation.$inferSelect

export interface InvitationPayload extends Payload {
  readonly invitation: Invitation
  /** Shown once: null in a replay, and where none was made. */
  readonly plaintext: string | null
}

/** Makes an invitation to the caller's team. */
export const inviteMember = (
  context: Context,
  input: CallInput & { email: string; role: Role },
): Promise<Result<InvitationPayload>> =>
  answer(context, 'Invitation', 'inviteMember', async (): Promise<Result<InvitationPayload>> => {
    const checked = check(invitationInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { actor } = context
    const { email, role } = checked.value
    if (actor.memberId === null) throw new Error('an invitation is made by a member')
    const { plaintext, lookupId, secretHash } = mintToken()
    const id = newId('Invitation')
    const call = {
      ...causeOf(context),
      id,
      values: { id, teamId: actor.teamId, email, role, lookupId, secretHash, invitedBy: actor.memberId },
      ...callOptions('inviteMember', input, checked),
    }
    const lack = lackingToGive(actor, role)
    const found = lack ? await answeredBefore(context.db, call) : await bring(context.db, rules.inviteMember, call)
    if (!found) return forbidden(lack as Lack)
    switch (found.kind) {
      case 'moved':
        return { invitation: found.row, plaintext, replayed: false }
      case 'replayed':
        return { invitation: await known(context, actor.teamId, found.subjectId), plaintext: null, replayed: true }
      case 'key-reused':
        return keyReused('inviteMember', found)
      default:
        throw new Error(`a birth cannot be ${found.kind}`)
    }
  })

/** Takes an invitation back. */
export const withdrawInvitation = (context: Context, input: ById) =>
  moveById(
    context,
    {
      table: invitation,
      entity: 'Invitation',
      word: 'invitation',
      wrongState: async (_db, action: 'withdrawInvitation', row) => ended(action, row),
    },
    'withdrawInvitation',
    rules.withdrawInvitation,
    nothingElse,
    input,
    { payload: ({ row, replayed }): InvitationPayload => ({ invitation: row, plaintext: null, replayed }) },
  )

export interface AcceptancePayload extends Payload {
  readonly invitation: Invitation
  readonly member: MemberView | null
  /** Null for who calls by an identity of an OIDC issuer: that one needs none. */
  readonly token: Pick<ApiToken, 'id'> | null
  readonly plaintext: string | null
}
export interface Acceptance extends CallInput {
  readonly token?: string | null
  readonly name?: string | null
}

/**
 * Makes a member by an invitation: the caller's own identity joins, or, where the call is made with the invitation's token
 * itself, somebody whom only tokens stand for from now on.
 */
export const acceptInvitation = (context: Context, input: Acceptance): Promise<Result<AcceptancePayload>> =>
  answer(context, 'Invitation', 'acceptInvitation', async (): Promise<Result<AcceptancePayload>> => {
    const checked = check(acceptanceInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { db, actor } = context
    const behind = await invitationMeant(context, checked.value)
    if ('refusal' in behind) return behind
    const { id, teamId, role } = behind
    const memberId = newId('Member')
    const person = await personBehind(context, memberId)
    const byToken = actor.kind === 'token' || actor.kind === 'invitation'
    const minted = mintToken()
    const token = byToken
      ? firstTokenValues({ name: 'first token', scopes: scopesOfRole[role], actionClasses }, minted)
      : { tokenId: null }
    const call: Call = {
      ...causeOf(context),
      values: {
        id,
        teamId,
        memberId,
        identity: person.identity,
        name: checked.value.name ?? person.name,
        ...token,
      },
      ...callOptions('acceptInvitation', input, checked),
    }
    const rule = byToken ? rules.acceptInvitation : rules.acceptAsIdentity
    const found = await transition(db, rule, call).catch((error: unknown) =>
      constrained(context, error, { teamId, role, identity: person.identity }),
    )
    if ('refusal' in found) return found
    switch (found.kind) {
      case 'moved':
        return {
          ...(await joined(context, teamId, found.row, { memberId, ...token }, found.born)),
          plaintext: byToken ? minted.plaintext : null,
          replayed: false,
        }
      case 'replayed': {
        const row = await known(context, teamId, found.subjectId)
        return { ...(await joined(context, teamId, row, found.result)), plaintext: null, replayed: true }
      }
      case 'key-reused':
        return keyReused('acceptInvitation', found)
      case 'missing':
        return noSuchInvitation()
      case 'refused':
        return ended('acceptInvitation', found.found, await noLongerGiven(db, found.found))
    }
  })

/** The invitation that the call is about: by the token in the input, or the one that the call itself is made with. */
async function invitationMeant(
  { db, actor }: Context,
  { token }: z.output<typeof acceptanceInput>,
): Promise<{ id: string; teamId: string; role: Role } | Refusal> {
  if (token === null) {
    const [own] = actor.kind === 'invitation' ? await invitationsById(db, actor.teamId, [actor.id]) : []
    if (own) return own
    return validationFailed([
      {
        path: ['input', 'token'],
        message: 'must be given, unless the call is made with the token of the invitation itself',
      },
    ])
  }
  const behind = await invitationBehind(db, token)
  if (!behind) return noSuchInvitation()
  if (actor.kind === 'invitation' && actor.id !== behind.id) {
    return validationFailed([
      { path: ['input', 'token'], message: 'is of another invitation than the one that the call is made with' },
    ])
  }
  if (behind.teamState !== 'ACTIVE') {
    return refuse('Forbidden', {
      message:
        'The team that the invitation is of is being deleted: nobody joins it unless an OWNER of it restores it.',
      facts: { missing: 'ACTIVE' },
    })
  }
  return behind
}

/** Who will be the member: nobody is behind an invitation's token but the new member itself. */
async function personBehind(
  { db, actor }: Context,
  memberId: string,
): Promise<{ identity: string; name: string | null }> {
  if (actor.person) return actor.person
  if (actor.memberId === null) return { identity: `local:${memberId}`, name: null }
  const [own] = await membersById(db, actor.teamId, [actor.memberId])
  if (!own) throw new Error(`the member ${actor.memberId} is gone`)
  return own
}

/** What came of it: the rows that were born, or, where they are not at hand, as they are now. */
async function joined(
  { db }: Context,
  teamId: string,
  row: Invitation,
  made: Record<string, unknown> | null,
  [member, first]: readonly unknown[] = [],
): Promise<Pick<AcceptancePayload, 'invitation' | 'member' | 'token'>> {
  if (member) return { invitation: row, member: member as MemberView, token: (first ?? null) as ApiToken | null }
  const { memberId, tokenId } = (made ?? {}) as { memberId: string; tokenId?: string | null }
  const [[own], [token]] = await Promise.all([
    membersById(db, teamId, [memberId]),
    tokenId ? apiTokensById(db, teamId, [tokenId]) : [],
  ])
  return { invitation: row, member: own ?? null, token: token ?? null }
}

/** A constraint decided: the identity is a member already, or the plan is full. */
async function constrained(
  { db }: Context,
  error: unknown,
  { teamId, role, identity }: { teamId: string; role: Role; identity: string },
): Promise<Refusal> {
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'member_identity') {
    const own = await activeMemberOf(db, teamId, identity)
    return refuse('AlreadyMember', {
      message: `The caller is a member of that team already${own ? `, as ${roleWord(own.role)}` : ''}. The invitation is as it was.`,
      facts: { member: own },
      remedies: [advice('Act for that team as the member that you are; withdraw the invitation if nobody needs it.')],
    })
  }
  if (error.constraint === 'plan_cap') {
    const refusal = await planIsFull(db, teamId, 'members', ...(role === 'owner' ? ['owners' as const] : []))
    // Whoever comes from outside sees nothing of that team, and can make no room there.
    const { limit, cap } = refusal.facts
    return {
      ...refusal,
      message: `The plan of that team has room for ${cap} ${limit}, and all of it is in use. The invitation is as it was.`,
      remedies: [advice('Ask a member of that team to make room, then accept the invitation again.')],
    }
  }
  throw error
}

/** Why a PENDING invitation is worth nothing though its time may not be over; null where who made it still may. */
async function noLongerGiven(db: Database, { state, teamId, invitedBy, role }: Invitation): Promise<string | null> {
  if (state !== 'PENDING') return null
  const [by] = await membersById(db, teamId, [invitedBy])
  if (by?.state !== 'ACTIVE') return 'was made by somebody who is no member of the team any more'
  return givers[role].includes(by.role)
    ? null
    : `was made by a member who may not give the role ${roleWord(role)} any more`
}
const admins: readonly Role[] = ['owner', 'admin']
const givers: Readonly<Record<Role, readonly Role[]>> = {
  owner: ['owner'],
  admin: admins,
  developer: admins,
  viewer: admins,
}

/** Its state is not PENDING, its time is over, or who made it may not any more. */
function ended(action: string, row: Invitation, notGiven: string | null = null): Refusal {
  const since =
    notGiven !== null
      ? notGiven
      : row.state === 'PENDING'
        ? `has expired at ${row.expiresAt.toISOString()}`
        : `has been ${row.state} since ${row.stateChangedAt.toISOString()}`
  return illegalState(
    'IllegalState',
    `${action} is not possible: the invitation of ${row.email} ${since}. ${action} starts from PENDING, before it expires${notGiven ? ', as long as who made it may give that role' : ''}.`,
    { invitation: row, action },
    [
      action === 'acceptInvitation'
        ? advice('Ask a member of the team for a new invitation.')
        : lookAt('invitation', { id: row.id }, 'See what became of it.'),
    ],
    false,
  )
}

/** The same words whatever is wrong with the token. */
const noSuchInvitation = (): Refusal =>
  refuse('NotFound', {
    message: 'There is no invitation with this token.',
    remedies: [advice('Use the token as it was shown, or ask a member of the team for a new invitation.')],
  })

async function known({ db }: Context, teamId: string, id: string): Promise<Invitation> {
  const [row] = await invitationsById(db, teamId, [id])
  if (!row) throw new Error(`the replayed invitation ${id} is gone`)
  return row as Invitation
}
