// Webhooks: addresses that are told what happens in a team. The cursor is how far the log was looked through for them.
import { sql } from 'drizzle-orm'
import { check, index, jsonb, pgTable, text } from 'drizzle-orm/pg-core'
import { webhookMachine } from '../lifecycle/webhook.ts'
import { counter, lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

/** Which events; what is null is not asked for. */
export interface WebhookFilter {
  kinds: string[] | null
  subjectTypes: string[] | null
  subjects: string[] | null
}

export const webhook = pgTable(
  'webhook',
  {
    ...lifecycleColumns(webhookMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    url: text('url').notNull(),
    filter: jsonb('filter').$type<WebhookFilter>().notNull(),
    /** Sealed for this row; null once it is deleted. */
    secret: text('secret'),
    /** Sealed like it; signs as well until `secretChangedAt` is a day ago, so that a receiver can change over. */
    previousSecret: text('previous_secret'),
    secretChangedAt: moment('secret_changed_at').notNull(),
    /** The position in the log up to which its deliveries are stored. */
    cursor: counter('cursor').notNull(),
  },
  (table) => [
    stateCheck(webhookMachine),
    check('webhook_erased', sql`${stateIn(['ACTIVE', 'DISABLED'])} or (secret is null and previous_secret is null)`),
    index('webhook_list').on(table.teamId, table.createdAt, table.id),
    index('webhook_fan_out')
      .on(table.cursor)
      .where(stateIn(['ACTIVE'])),
  ],
)
