// Reading members and invitations: the team's lists and many by id. What is kept of an invitation's token never leaves.
import { and, eq, getTableColumns, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { invitation } from '../db/invitation.ts'
import { member } from '../db/member.ts'
import { statementOf } from '../db/prepared.ts'
import { team } from '../db/team.ts'
import type { InvitationState } from '../lifecycle/invitation.ts'
import type { MemberState } from '../lifecycle/member.ts'
import type { TeamState } from '../lifecycle/team.ts'
import { lookUp } from './look-up.ts'
import { defineList, names } from './page.ts'
import { ofUsableTeam } from './team-rule.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

export type MemberView = typeof member.$inferSelect
const { secretHash: _secretHash, lookupId: _lookupId, ...shownInvitation } = getTableColumns(invitation)
export type InvitationView = Omit<typeof invitation.$inferSelect, 'secretHash' | 'lookupId'>

export interface MemberFilter {
  readonly states?: readonly MemberState[] | null
}
export interface InvitationFilter {
  readonly states?: readonly InvitationState[] | null
}

export const members = defineList<MemberView>({
  name: 'members',
  table: member,
  columns: getTableColumns(member),
  key: 'created',
  owner: member.teamId,
  filters: { states: sql`${member.state} = any(${listParam('states')})` },
})

export const invitations = defineList<InvitationView>({
  name: 'invitations',
  table: invitation,
  columns: shownInvitation,
  key: 'created',
  owner: invitation.teamId,
  filters: { states: sql`${invitation.state} = any(${listParam('states')})` },
})

export const stateFilter = (filter: { readonly states?: readonly string[] | null } | null | undefined) => ({
  states: names(filter?.states),
})

/** Members of the team by id, in the order asked for; null where there is none. */
export const membersById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<MemberView>(db, 'read:member.byId', { table: member, columns: getTableColumns(member) }, teamId, ids)

/** Invitations of the team by id, in the order asked for; null where there is none. */
export const invitationsById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<InvitationView>(db, 'read:invitation.byId', { table: invitation, columns: shownInvitation }, teamId, ids)

const active = sql`${member.state} in (${sql.raw(quoted(['ACTIVE'] satisfies MemberState[]))})`

/** The ACTIVE member of that identity in a team: at most one, by a unique index. */
export async function activeMemberOf(db: Database, teamId: string, identity: string): Promise<MemberView | null> {
  const statement = statementOf(db, 'read:member.active', () =>
    db
      .select()
      .from(member)
      .where(and(eq(member.teamId, textParam('teamId')), eq(member.identity, textParam('identity')), active))
      .prepare('read:member.active'),
  )
  const [row] = await statement.execute({ teamId, identity })
  return row ?? null
}

/** Where one identity is an ACTIVE member. */
export interface Membership {
  readonly teamId: string
  readonly memberId: string
  readonly role: MemberView['role']
  readonly name: string
  readonly state: TeamState
  readonly deletionAt: Date | null
}
/** The most that are read of one identity. */
export const maxMemberships = 100

/** The memberships of an identity over all teams that are not gone, oldest first. */
export async function membershipsOf(db: Database, identity: string): Promise<Membership[]> {
  const statement = statementOf(db, 'read:memberships', () =>
    db
      .select({
        teamId: member.teamId,
        memberId: member.id,
        role: member.role,
        name: team.name,
        state: team.state,
        deletionAt: team.deletionAt,
      })
      .from(member)
      .innerJoin(team, eq(team.id, member.teamId))
      .where(and(eq(member.identity, textParam('identity')), active, ofUsableTeam))
      .orderBy(member.createdAt, member.id)
      .limit(maxMemberships)
      .prepare('read:memberships'),
  )
  return statement.execute({ identity })
}
