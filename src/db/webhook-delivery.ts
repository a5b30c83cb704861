// Deliveries: the events that webhooks are to be told of, each with how far it has got. The queue of the loop `deliver`.
import { sql } from 'drizzle-orm'
import { index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import { counter, lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'
import { webhook } from './webhook.ts'

export const webhookDelivery = pgTable(
  'webhook_delivery',
  {
    ...lifecycleColumns(webhookDeliveryMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    webhookId: text('webhook_id')
      .notNull()
      .references(() => webhook.id),
    /** The event, by its place in the log. */
    position: counter('position').notNull(),
    /** What the event is about: in order among those of the same webhook and subject. */
    subjectId: text('subject_id').notNull(),
    /** The header `webhook-id`: the same over all attempts and redeliveries. */
    messageId: text('message_id').notNull(),
    redeliveryOf: text('redelivery_of'),
    /** Counts claims. */
    attempt: integer('attempt').notNull().default(0),
    /** When a worker may next take it; for SENDING the end of the lease. */
    dueAt: moment('due_at').notNull().default(sql`now()`),
    claimToken: text('claim_token'),
    /** The last answer: its HTTP status, and what went wrong in words. */
    status: integer('status'),
    outcome: text('outcome'),
    deliveredAt: moment('delivered_at'),
  },
  (table) => [
    stateCheck(webhookDeliveryMachine),
    uniqueIndex('webhook_delivery_once').on(table.webhookId, table.position).where(sql`redelivery_of is null`),
    index('webhook_delivery_turn')
      .on(table.webhookId, table.dueAt)
      .where(stateIn(['PENDING', 'SENDING'])),
    index('webhook_delivery_order')
      .on(table.webhookId, table.subjectId, table.position)
      .where(stateIn(['PENDING', 'SENDING'])),
    index('webhook_delivery_list').on(table.teamId, table.createdAt, table.id),
    index('webhook_delivery_of').on(table.webhookId, table.createdAt, table.id),
    index('webhook_delivery_passing')
      .on(table.state, table.stateChangedAt)
      .where(stateIn(['PENDING', 'SENDING'])),
    index('webhook_delivery_heard')
      .on(table.webhookId, table.stateChangedAt)
      .where(stateIn(['DELIVERED', 'DEAD'])),
    index('webhook_delivery_ended')
      .on(table.stateChangedAt)
      .where(stateIn(['DELIVERED', 'DEAD', 'DROPPED'])),
  ],
)
