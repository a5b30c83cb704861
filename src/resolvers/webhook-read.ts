// Reading webhooks: the team's list and many by id, without their secrets.
import { getTableColumns, sql } from 'drizzle-orm'
import { webhook } from '../db/webhook.ts'
import { lookUp } from './look-up.ts'
import { defineList } from './page.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'

const { secret: _secret, previousSecret: _previous, ...shown } = getTableColumns(webhook)

/** A webhook without its secrets. */
export type WebhookView = Omit<typeof webhook.$inferSelect, 'secret' | 'previousSecret'>

export const webhooks = defineList<WebhookView>({
  name: 'webhooks',
  table: webhook,
  columns: shown,
  key: 'created',
  filters: { states: sql`${webhook.state} = any(${listParam('states')})` },
})

/** Webhooks of the team by id, in the order asked for; null where there is none. */
export const webhooksById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<WebhookView>(db, 'read:webhook.byId', { table: webhook, columns: shown }, teamId, ids)
