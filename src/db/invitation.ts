// Invitations: a token by which somebody may become a member. Only its hash is kept, as of API tokens.

import { sql } from 'drizzle-orm'
import { check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { invitationMachine } from '../lifecycle/invitation.ts'
import { type MemberRole, memberRoles } from '../lifecycle/member.ts'
import { lifecycleColumns, moment, quoted, stateCheck, stateIn } from './columns.ts'
import { member } from './member.ts'
import { team } from './team.ts'

export const invitation = pgTable(
  'invitation',
  {
    ...lifecycleColumns(invitationMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    email: text('email').notNull(),
    role: text('role').$type<MemberRole>().notNull(),
    /** The public part of the token, by which it is found. */
    lookupId: text('lookup_id').notNull(),
    /** SHA-256 of the secret part, in hex. */
    secretHash: text('secret_hash').notNull(),
    expiresAt: moment('expires_at').notNull(),
    invitedBy: text('invited_by')
      .notNull()
      .references(() => member.id),
  },
  (table) => [
    stateCheck(invitationMachine),
    check('invitation_role', sql`role in (${sql.raw(quoted(memberRoles))})`),
    uniqueIndex('invitation_lookup_id').on(table.lookupId),
    index('invitation_list').on(table.teamId, table.createdAt, table.id),
    index('invitation_expiry')
      .on(table.expiresAt)
      .where(stateIn(['PENDING'])),
  ],
)
