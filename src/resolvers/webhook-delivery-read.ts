// Reading deliveries: those of a webhook, and many by id.
import { getTableColumns, sql } from 'drizzle-orm'
import { webhookDelivery } from '../db/webhook-delivery.ts'
import { lookUp } from './look-up.ts'
import { defineList } from './page.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'

const { claimToken: _claimToken, ...shown } = getTableColumns(webhookDelivery)

export type DeliveryView = Omit<typeof webhookDelivery.$inferSelect, 'claimToken'>

export const deliveries = defineList<DeliveryView>({
  name: 'deliveries',
  table: webhookDelivery,
  columns: shown,
  key: 'created',
  owner: webhookDelivery.webhookId,
  filters: { states: sql`${webhookDelivery.state} = any(${listParam('states')})` },
})

/** Deliveries of the team by id, in the order asked for; null where there is none. */
export const deliveriesById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<DeliveryView>(db, 'read:webhook_delivery.byId', { table: webhookDelivery, columns: shown }, teamId, ids)
