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
import { hasFailed, isGone, isTold, isUntold } from './webhook-rule.ts'

type Delivery = typeof webhookDelivery
const part = { table: webhookDelivery, machine: webhookDeliveryMachine } as const
const waiting = sql.raw(quoted(['PENDING'] satisfies WebhookDeliveryState[]))
const sending = sql.raw(quoted(['SENDING'] satisfies WebhookDeliveryState[]))
const open = sql.raw(quoted(['PENDING', 'SENDING'] satisfies WebhookDeliveryState[]))

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

/** The webhooks that have anything open, found one by one in the index: however much waits for one of them, it is one step. */
const someOpen = (after: SQL) =>
  sql`(select min(d.webhook_id) from ${webhookDelivery} d where d.state in (${open})${after})`
const waited = sql`with recursive waited (webhook_id) as (select ${someOpen(sql``)} union all
  select ${someOpen(sql` and d.webhook_id > r.webhook_id`)} from waited r where r.webhook_id is not null)`

/**
 * Of each webhook that wants it and has not enough under way the first few that are due and the first of their subject. For
 * what is SENDING, due means that its lease is over; who has used up its attempts so is buried instead.
 */
const due = sql`${waited} select n.id from waited join ${webhook} w on w.id = waited.webhook_id cross join lateral (
    select d.id from ${webhookDelivery} d where d.webhook_id = w.id and d.state in (${open}) and d.due_at <= now()
      and (d.state in (${waiting}) or d.attempt < ${intParam('attempts')})
      and d.id = (select o.id from ${webhookDelivery} o where o.webhook_id = d.webhook_id and o.subject_id = d.subject_id
        and o.state in (${open}) order by o.position, o.id limit 1)
    order by d.due_at limit ${intParam('limit')}) n
  where ${isTold(sql`w.state`)} and w.id <> all(${listParam('fullWebhooks')}) and w.team_id <> all(${listParam('fullTeams')})`

/** Takes what is due. Needs `attempts`, so many at most. */
export const claimDelivery = defineRule({
  name: 'claimDelivery',
  subject: {
    ...part,
    action: 'claimDelivery',
    where: sql`${webhookDelivery.state} in (${open}) and ${webhookDelivery.dueAt} <= now() and ${webhookDelivery.id} in (${due})`,
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

/** What waits behind it, and not what is redelivered from before it, so that a claim need not look at all that waits for a receiver that is dead. */
const behind = defineCarried<Delivery>({
  ...part,
  action: 'deferDelivery',
  where: sql`${webhookDelivery.webhookId} = ${textParam('webhookId')} and ${webhookDelivery.subjectId} = ${textParam('subjectId')}
    and ${webhookDelivery.state} in (${waiting}) and ${webhookDelivery.dueAt} < ${inMs} and ${webhookDelivery.id} <> ${textParam('id')}`,
  guard: (row) => sql`(${row.position}, ${row.id}) > (found.position, found.id)`,
  set: () => ({ dueAt: inMs }),
})

/** It has not arrived: again after `afterMs`. Needs `webhookId` and `subjectId`. */
export const postponeDelivery = defineRule({
  name: 'postponeDelivery',
  subject: { ...claimed, action: 'postponeDelivery', set: () => ({ ...heard(), dueAt: inMs }) },
  carries: [behind],
})

const buried = { ...claimed, action: 'buryDelivery', set: heard } as const
/** It can never be sent, for no fault of its receiver. */
export const buryDelivery = defineRule({ name: 'buryDelivery', subject: buried })
/** It has not arrived, and is not tried again by itself. Where nothing arrives, nothing more is tried. */
export const buryUnheard = defineRule({ name: 'buryUnheard', subject: buried, carries: [hasFailed] })
/** The receiver is gone for good (410): the webhook is told of nothing more. */
export const buryWithWebhook = defineRule({ name: 'buryWithWebhook', subject: buried, also: isGone })

/** Whose worker died at every attempt. Needs `attempts`. */
export const buryAbandoned = defineRule({
  name: 'buryAbandoned',
  subject: {
    ...part,
    action: 'buryDelivery',
    where: sql`${webhookDelivery.state} in (${sending}) and ${webhookDelivery.dueAt} <= now()
      and ${webhookDelivery.attempt} >= ${intParam('attempts')}`,
    batch: { orderBy: sql`${webhookDelivery.dueAt}`, limit: intParam('limit') },
    guard: (found) => sql`${found.dueAt} <= now()`,
    set: () => ({
      claimToken: sql`null`,
      outcome: sql`'Each worker that sent it ended before it could say what was answered.'`,
    }),
  },
})

/** Whatever is open of webhooks that want nothing more. */
export const dropDelivery = defineRule({
  name: 'dropDelivery',
  subject: {
    ...part,
    action: 'dropDelivery',
    where: sql`${webhookDelivery.state} in (${open})
      and ${webhookDelivery.webhookId} in (select w.id from ${webhook} w where ${isUntold(sql`w.state`)})`,
    batch: { orderBy: sql`${webhookDelivery.webhookId}, ${webhookDelivery.dueAt}`, limit: intParam('limit') },
    set: () => ({ claimToken: sql`null` }),
  },
})
