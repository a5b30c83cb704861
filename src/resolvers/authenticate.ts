// Who a credential stands for: an API token, the token of an invitation, or a JWT of the OIDC issuer. Named statements decide
// by the database's clock; why a credential was not taken is never told. Only which team is meant may have to be asked.
import { and, eq, sql } from 'drizzle-orm'
import {
  type ActionClass,
  type Actor,
  actionClasses,
  type Role,
  type Scope,
  scopesInEffect,
  scopesOfRole,
} from '../auth.ts'
import { apiToken } from '../db/api-token.ts'
import { invitation } from '../db/invitation.ts'
import { member } from '../db/member.ts'
import { statementOf } from '../db/prepared.ts'
import { team } from '../db/team.ts'
import type { TeamState } from '../lifecycle/team.ts'
import { parseToken, sameHash, type Token } from '../token.ts'
import { type Membership, membershipsOf } from './member-read.ts'
import { ofUsableTeam } from './team-rule.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

/** Compared with when no token was found, so that both ways take as long. */
const nobody = '0'.repeat(64)

/** The caller is known, and is not a member of the team that it names, or names none of several. Its message may be told. */
export class TeamNotClear extends Error {
  override readonly name = 'TeamNotClear'
  readonly code: 'TEAM_REQUIRED' | 'NOT_A_MEMBER'

  constructor(code: TeamNotClear['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** Who a JWT of the OIDC issuer speaks of. */
export interface Person {
  readonly issuer: string
  readonly subject: string
  readonly email: string | null
  readonly name: string | null
  /** When the JWT runs out. */
  readonly expiresAt?: Date
}

export interface Asked {
  /** The team that the caller says that it acts for: the header `Pawl-Team`. */
  readonly team?: string | null
  /** Reads JWTs; absent or null: none is taken. */
  readonly oidc?: { verify(jwt: string): Promise<Person | null> } | null
}

/**
 * The actor behind a credential, which is what follows `Bearer `; null for anything but a good one of somebody whom its team lets in: an ACTIVE, unexpired
 * token of an ACTIVE member; an invitation's token until a week after it has ended, for `acceptInvitation` alone; a JWT.
 * Throws `TeamNotClear`, `DatabaseFault` when the database cannot be asked, `OidcUnavailable` when the issuer cannot.
 */
export async function authenticate(
  db: Database,
  text: string,
  { team: named = null, oidc = null }: Asked = {},
): Promise<Actor | null> {
  const token = parseToken(text)
  if (token) {
    const actor = (await byApiToken(db, token)) ?? (await byInvitation(db, token))
    if (actor && named !== null && named !== actor.teamId) throw notOf(named)
    return actor
  }
  if (oidc === null || text.startsWith('pawl_')) return null
  const person = await oidc.verify(text)
  const actor = person && (await byIdentity(db, person, named))
  return actor && person?.expiresAt ? { ...actor, goodUntil: person.expiresAt } : actor
}

async function byApiToken(db: Database, token: Token): Promise<Actor | null> {
  const statement = statementOf(db, 'read:authenticate', () =>
    db
      .select({
        id: apiToken.id,
        teamId: apiToken.teamId,
        secretHash: apiToken.secretHash,
        scopes: apiToken.scopes,
        classes: apiToken.actionClasses,
        memberId: apiToken.memberId,
        role: member.role,
        teamState: team.state,
        deletionAt: team.deletionAt,
        leftMs: sql<number>`extract(epoch from ${apiToken.expiresAt} - now())::float8 * 1000`,
        unnoted: sql<boolean>`coalesce(${apiToken.lastUsedAt} < now() - interval '1 minute', true)`,
      })
      .from(apiToken)
      .innerJoin(team, eq(team.id, apiToken.teamId))
      .innerJoin(member, eq(member.id, apiToken.memberId))
      .where(
        and(
          eq(apiToken.lookupId, textParam('lookupId')),
          eq(apiToken.state, 'ACTIVE'),
          sql`${apiToken.expiresAt} > now()`,
          ofUsableTeam,
          eq(member.state, 'ACTIVE'),
        ),
      )
      .prepare('read:authenticate'),
  )
  const [row] = await statement.execute({ lookupId: token.lookupId })
  if (!sameHash(row?.secretHash ?? nobody, token.secretHash) || !row) return null
  // Only a figure for people: when it cannot be written the request goes on.
  if (row.unnoted) void noteUse(db, row.id).catch(() => {})
  const { id, teamId, memberId, role, teamState, deletionAt } = row
  const goodUntil = new Date(Date.now() + Number(row.leftMs))
  const scopes = scopesInEffect(row.scopes as Scope[], role)
  const classes = new Set(row.classes as ActionClass[])
  return { kind: 'token', id, teamId, memberId, role, scopes, classes, goodUntil, ...endingAt(teamState, deletionAt) }
}

/** The guard is repeated in the statement, so that of many requests at once one writes. */
async function noteUse(db: Database, id: string): Promise<void> {
  const statement = statementOf(db, 'noteTokenUse', () =>
    db
      .update(apiToken)
      .set({ lastUsedAt: sql`now()` })
      .where(
        and(
          eq(apiToken.id, textParam('id')),
          sql`coalesce(${apiToken.lastUsedAt} < now() - interval '1 minute', true)`,
        ),
      )
      .prepare('noteTokenUse'),
  )
  await statement.execute({ id })
}

/** Nobody is behind it yet: it can be accepted, and nothing else. */
async function byInvitation(db: Database, token: Token): Promise<Actor | null> {
  const found = await invitationOf(db, token)
  return (
    found && {
      kind: 'invitation',
      id: found.id,
      teamId: found.teamId,
      memberId: null,
      role: null,
      scopes: new Set(),
      classes: new Set(['creating']),
      ...endingAt(found.teamState, found.deletionAt),
    }
  )
}

/** An invitation as its token finds it. */
export interface InvitationBehind {
  readonly id: string
  readonly teamId: string
  readonly role: Role
  readonly teamState: TeamState
  readonly deletionAt: Date | null
}

/** The invitation that a token in plain text is of; null for anything else. */
export async function invitationBehind(db: Database, text: string): Promise<InvitationBehind | null> {
  const token = parseToken(text)
  return token && invitationOf(db, token)
}

/** Ended ones too, for a while: who repeats a call is told what became of it. */
async function invitationOf(db: Database, token: Token): Promise<InvitationBehind | null> {
  const statement = statementOf(db, 'read:invitation.behind', () =>
    db
      .select({
        id: invitation.id,
        teamId: invitation.teamId,
        role: invitation.role,
        secretHash: invitation.secretHash,
        teamState: team.state,
        deletionAt: team.deletionAt,
      })
      .from(invitation)
      .innerJoin(team, eq(team.id, invitation.teamId))
      .where(
        and(
          eq(invitation.lookupId, textParam('lookupId')),
          sql`${invitation.expiresAt} > now() - interval '7 days'`,
          ofUsableTeam,
        ),
      )
      .prepare('read:invitation.behind'),
  )
  const [row] = await statement.execute({ lookupId: token.lookupId })
  if (!sameHash(row?.secretHash ?? nobody, token.secretHash) || !row) return null
  return row
}

/** Members over teams are one identity: which team is meant is clear when there is one, and else told by the caller. */
async function byIdentity(db: Database, person: Person, named: string | null): Promise<Actor> {
  const identity = `oidc:${person.issuer}#${person.subject}`
  const memberships = await membershipsOf(db, identity)
  const self = { identity, name: person.name ?? person.email }
  if (named === null && memberships.length > 1) {
    const teams = memberships.map(({ teamId, name }) => `${teamId} (${name})`).join(', ')
    throw new TeamNotClear(
      'TEAM_REQUIRED',
      `You are a member of several teams. Name the one that you act for in the header Pawl-Team: ${teams}.`,
    )
  }
  const meant = named === null ? memberships[0] : memberships.find(({ teamId }) => teamId === named)
  if (meant) return asMember(meant, self)
  if (named !== null) throw notOf(named)
  return {
    kind: 'identity',
    id: identity,
    // No team has such an id: nothing is seen by it.
    teamId: identity,
    memberId: null,
    role: null,
    scopes: new Set(),
    classes: new Set(['creating']),
    person: self,
  }
}

const asMember = ({ memberId, teamId, role, state, deletionAt }: Membership, person: Actor['person']): Actor => ({
  kind: 'member',
  id: memberId,
  teamId,
  memberId,
  role,
  scopes: new Set(scopesOfRole[role]),
  classes: new Set(actionClasses),
  ...(person ? { person } : {}),
  ...endingAt(state, deletionAt),
})

/** Set for every team that is not in use. */
const endingAt = (state: TeamState, deletionAt: Date | null) =>
  state === 'ACTIVE' ? {} : { teamEndsAt: deletionAt ?? new Date() }

/** The same words for a team that is not there. */
const notOf = (named: string) =>
  new TeamNotClear(
    'NOT_A_MEMBER',
    `You are no member of a team ${JSON.stringify(named.slice(0, 80))}, which the header Pawl-Team names.`,
  )
