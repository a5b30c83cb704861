// API tokens: only a hash is kept, the plaintext is shown once when the token is made.
import { index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { apiTokenMachine } from '../lifecycle/api-token.ts'
import { lifecycleColumns, moment, stateCheck } from './columns.ts'
import { member } from './member.ts'
import { team } from './team.ts'

export const apiToken = pgTable(
  'api_token',
  {
    ...lifecycleColumns(apiTokenMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    /** Who it stands for: what it may do is never more than this member's role. */
    memberId: text('member_id')
      .notNull()
      .references(() => member.id),
    name: text('name').notNull(),
    /** The public part of the token, by which it is found. */
    lookupId: text('lookup_id').notNull(),
    /** SHA-256 of the secret part, in hex. */
    secretHash: text('secret_hash').notNull(),
    scopes: text('scopes').array().notNull(),
    /** The classes of actions that it was given: read, reversible, creating, irreversible. */
    actionClasses: text('action_classes').array().notNull(),
    expiresAt: moment('expires_at').notNull(),
    lastUsedAt: moment('last_used_at'),
  },
  (table) => [
    stateCheck(apiTokenMachine),
    uniqueIndex('api_token_lookup_id').on(table.lookupId),
    index('api_token_member').on(table.memberId),
    index('api_token_list').on(table.teamId, table.createdAt, table.id),
  ],
)
