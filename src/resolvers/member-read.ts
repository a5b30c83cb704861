// Reading members and invitations: the team's lists and many by id. What is kept of an invitation's token never leaves.
import { getTableColumns, sql } from 'drizzle-orm'
import { invitation } from '../db/invitation.ts'
import { member } from '../db/member.ts'
import type { InvitationState } from '../lifecycle/invitation.ts'
import type { MemberState } from '../lifecycle/member.ts'
import { lookUp } from './look-up.ts'
import { defineList, names } from './page.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'

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
  filters: { states: sql`${member.state} = any(${listParam('states')})` },
})

export const invitations = defineList<InvitationView>({
  name: 'invitations',
  table: invitation,
  columns: shownInvitation,
  key: 'created',
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
