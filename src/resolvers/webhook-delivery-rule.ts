// The rules of a delivery's moves: who may send it now, and how that ended. A delivery is sent by whoever holds its claim token
// until the lease is over; what it has to say afterwards is not written. In order: a delivery is due only when no earlier one of
// the same webhook and subject is open, so that one subject never waits for another.
import { eq, type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { webhook } from '../db/webhook.ts'
import { webhookDelivery } from '../db/webhook-delivery.ts'
import { type WebhookDeliveryState, webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import { defineBirth, defineCarried, defineRule } from './transition.ts'
import { intParam, listParam, textParam } from './transition-statement.ts'
import { isGone, isTold } from './webhook-rule.ts'

type Delivery = typeof webhookDelivery
const part = { table: webhookDelivery, machine: webhookDeliveryMachine } as const
const waiting = sql.raw(quoted(['PENDING'] satisfies WebhookDeliveryState[]))
const open = sql.raw(quoted(['PENDING', 'SENDING'] satisfies WebhookDeliveryState[]))
const ofTold = sql`exists (select from ${webhook} w where w.id = ${webhookDelivery.webhookId} and ${isTold(sql`w.state`)})`

/** The same event once more, for a delivery that has ended. */
export const redeliverWebhookEvent = defineBirth({
  ...part,
  name: 'redeliverWebhookEvent',
  action: 'redeliverWebhookEvent',
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    webhookId: textParam('webhookId'),
    position: sql`${textParam('position')}::bigint`,
    subjectId: textParam('subjectId'),
    messageId: textParam('messageId'),
    redeliveryOf: textParam('redeliveryOf'),
  },
  data: sql`jsonb_build_object('webhookId', ${textParam('webhookId')}, 'redeliveryOf', ${textParam('redeliveryOf')})`,
})

/** Takes what is due, but for the webhooks that have enough under way. For what is SENDING, due means that its lease is over. */
export const claimDelivery = defineRule({
  name: 'claimDelivery',
  subject: {
    ...part,
    action: 'claimDelivery',
    where: sql`${webhookDelivery.state} in (${open}) and ${webhookDelivery.dueAt} <= now()
      and ${webhookDelivery.webhookId} <> all(${listParam('busy')}) and ${ofTold}
      and not exists (select from ${webhookDelivery} o where o.webhook_id = ${webhookDelivery.webhookId}
        and o.subject_id = ${webhookDelivery.subjectId} and o.state in (${open})
        and (o.position, o.id) < (${webhookDelivery.position}, ${webhookDelivery.id}))`,
    batch: { orderBy: sql`${webhookDelivery.dueAt}, ${webhookDelivery.position}`, limit: intParam('limit') },
    guard: (found) => sql`${found.dueAt} <= now()`,
    set: (found) => ({
      claimToken: sql`gen_random_uuid()::text`,
      attempt: sql`${found.attempt} + 1`,
      dueAt: sql`clock_timestamp() + ${intParam('leaseMs')} * interval '1 millisecond'`,
    }),
  },
})

const claimed = {
  ...part,
  where: eq(webhookDelivery.id, textParam('id')) as SQL,
  guard: (found: Delivery) => sql`${found.claimToken} = ${textParam('claimToken')}`,
} as const
const heard = () => ({ claimToken: sql`null`, status: intParam('status'), outcome: textParam('outcome') })

/** It has arrived. */
export const markDelivered = defineRule({
  name: 'markDelivered',
  subject: {
    ...claimed,
    action: 'markDelivered',
    set: () => ({ ...heard(), deliveredAt: sql`clock_timestamp()` }),
  },
})

const inMs = sql`clock_timestamp() + ${intParam('afterMs')} * interval '1 millisecond'`

/** What waits behind it, so that a claim need not look at all that waits for a receiver that is dead. */
const behind = defineCarried<Delivery>({
  ...part,
  action: 'deferDelivery',
  where: sql`${webhookDelivery.webhookId} = ${textParam('webhookId')} and ${webhookDelivery.subjectId} = ${textParam('subjectId')}
    and ${webhookDelivery.state} in (${waiting}) and ${webhookDelivery.dueAt} < ${inMs} and ${webhookDelivery.id} <> ${textParam('id')}`,
  set: () => ({ dueAt: inMs }),
})

/** It has not arrived: again after `afterMs`. Needs `webhookId` and `subjectId`. */
export const postponeDelivery = defineRule({
  name: 'postponeDelivery',
  subject: { ...claimed, action: 'postponeDelivery', set: () => ({ ...heard(), dueAt: inMs }) },
  carries: [behind],
})

const buried = { ...claimed, action: 'buryDelivery', set: heard } as const
/** It has not arrived, and is not tried again by itself. */
export const buryDelivery = defineRule({ name: 'buryDelivery', subject: buried })
/** The receiver is gone for good (410): the webhook is told of nothing more. */
export const buryWithWebhook = defineRule({ name: 'buryWithWebhook', subject: buried, also: isGone })

/** Whatever is open of webhooks that want nothing more. */
export const dropDelivery = defineRule({
  name: 'dropDelivery',
  subject: {
    ...part,
    action: 'dropDelivery',
    where: sql`${webhookDelivery.state} in (${open}) and not ${ofTold}`,
    batch: { orderBy: sql`${webhookDelivery.id}`, limit: intParam('limit') },
    set: () => ({ claimToken: sql`null` }),
  },
})
