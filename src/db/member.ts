// Members: the people of a team. How many owners a team has is a counter of its plan usage, not a count of these rows.

import { sql } from 'drizzle-orm'
import { check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { type MemberRole, memberMachine, memberRoles } from '../lifecycle/member.ts'
import { lifecycleColumns, quoted, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

export const member = pgTable(
  'member',
  {
    ...lifecycleColumns(memberMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    /** Who it is, over teams: `oidc:<issuer>#<subject>`, or `local:<id>` for somebody whom only tokens stand for. */
    identity: text('identity').notNull(),
    /** For people: shown in lists. */
    name: text('name').notNull(),
    email: text('email'),
    role: text('role').$type<MemberRole>().notNull(),
  },
  (table) => [
    stateCheck(memberMachine),
    check('member_role', sql`role in (${sql.raw(quoted(memberRoles))})`),
    uniqueIndex('member_identity')
      .on(table.identity, table.teamId)
      .where(stateIn(['ACTIVE'])),
    index('member_list').on(table.teamId, table.createdAt, table.id),
  ],
)
