// Members and invitations in any state, for tests: a superuser puts them with the triggers off; counters are kept right.
import { type Actor, actionClasses, type Role, type Scope, scopesInEffect, scopes as scopesOfAll } from '../src/auth.ts'
import { newId } from '../src/db/id.ts'
import type { InvitationState } from '../src/lifecycle/invitation.ts'
import type { MemberState } from '../src/lifecycle/member.ts'
import { mintToken } from '../src/token.ts'
import { ownerOf } from './owner.ts'
import { type Where, withTriggersOff } from './row.ts'

export interface MemberFacts {
  readonly teamId: string
  readonly role: Role
  readonly state?: MemberState
  readonly identity?: string
  readonly scopes?: readonly Scope[]
}
export interface TestMember {
  readonly id: string
  /** By a token of its own. */
  readonly actor: Actor
  readonly token: string
}

/** A member with a token; an ACTIVE one counts as the plan would. */
export async function putMember(where: Where, facts: MemberFacts): Promise<TestMember> {
  const { teamId, role, state = 'ACTIVE', scopes = scopesOfAll } = facts
  const [id, tokenId] = [newId('Member'), newId('ApiToken')]
  const { plaintext, lookupId, secretHash } = mintToken()
  await withTriggersOff(where, async (sql) => {
    await sql`insert into member (id, state, team_id, identity, name, role)
      values (${id}, ${state}, ${teamId}, ${facts.identity ?? `local:${id}`}, ${`a ${role}`}, ${role})`
    await sql`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      values (${tokenId}, 'ACTIVE', ${teamId}, ${id}, 'test', ${lookupId}, ${secretHash}, ${[...scopes]}, ${[...actionClasses]},
        now() + interval '1 hour')`
    if (state === 'ACTIVE') {
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId}
        and kind in ('members', ${role === 'owner' ? 'owners' : 'members'})`
    }
  })
  const actor: Actor = {
    kind: 'token',
    id: tokenId,
    teamId,
    memberId: id,
    role,
    scopes: scopesInEffect(scopes, role),
    classes: new Set(actionClasses),
  }
  return { id, actor, token: plaintext }
}

export interface InvitationFacts {
  readonly teamId: string
  readonly role?: Role
  readonly state?: InvitationState
  readonly expiresInSeconds?: number
}
export interface TestInvitation {
  readonly id: string
  /** Its plaintext. */
  readonly token: string
  /** The caller who has nothing but this token. */
  readonly actor: Actor
}

/** An invitation by the owner of the team. */
export async function putInvitation(where: Where, facts: InvitationFacts): Promise<TestInvitation> {
  const { teamId, role = 'developer', state = 'PENDING', expiresInSeconds = 3_600 } = facts
  const id = newId('Invitation')
  const { plaintext, lookupId, secretHash } = mintToken()
  await withTriggersOff(where, async (sql) => {
    await sql`insert into invitation (id, state, team_id, email, role, lookup_id, secret_hash, expires_at, invited_by)
      values (${id}, ${state}, ${teamId}, 'ada@example.org', ${role}, ${lookupId}, ${secretHash},
        now() + ${expiresInSeconds}::float8 * interval '1 second', ${ownerOf(teamId)})`
  })
  const nobody = { memberId: null, role: null, scopes: new Set<Scope>() }
  return {
    id,
    token: plaintext,
    actor: { kind: 'invitation', id, teamId, ...nobody, classes: new Set(['creating']) },
  }
}

/** What the counters say, and what the rows say: the two must agree. */
export async function countedMembers(where: Where, teamId: string) {
  let seen = { members: 0, owners: 0, counted: { members: 0, owners: 0 } }
  await withTriggersOff(where, async (sql) => {
    const [rows] = await sql<{ members: number; owners: number }[]>`
      select count(*)::int as members, (count(*) filter (where role = 'owner'))::int as owners
      from member where team_id = ${teamId} and state = 'ACTIVE'`
    const usage = await sql<{ kind: string; used: number }[]>`
      select kind, used from plan_usage where team_id = ${teamId} and kind in ('members', 'owners')`
    const used = (kind: string) => usage.find((row) => row.kind === kind)?.used ?? 0
    seen = {
      members: rows?.members ?? 0,
      owners: rows?.owners ?? 0,
      counted: { members: used('members'), owners: used('owners') },
    }
  })
  return seen
}
