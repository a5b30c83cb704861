// Deliveries: what a worker needs in order to send those that it has claimed, and the one thing that callers may ask of them,
// to send one that has ended once more.
import { sql } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { entityOfId, newId } from '../db/id.ts'
import type { webhookDelivery } from '../db/webhook-delivery.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import { callInstead, lookAt, notFound, type Refusal } from '../refusals.ts'
import {
  answer,
  callOptions,
  causeOf,
  faulty,
  illegalState,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
} from './call.ts'
import type { EventView } from './event-read.ts'
import { check, nothingElse } from './input.ts'
import type { ById } from './move-by-id.ts'
import { answeredBefore } from './read-back.ts'
import { bring, type Database } from './transition.ts'
import { type DeliveryView, deliveriesById } from './webhook-delivery-read.ts'
import * as rules from './webhook-delivery-rule.ts'
import { type WebhookView, webhooksById } from './webhook-read.ts'

export interface RedeliveryPayload extends Payload {
  readonly webhook: WebhookView
  readonly delivery: DeliveryView
}

const ended: readonly string[] = statesOfKind(webhookDeliveryMachine, 'terminal')

/** Why a delivery cannot be repeated now; null when it can. */
export const notRepeatable = (delivery: DeliveryView): string | null =>
  ended.includes(delivery.state) ? null : `It is ${delivery.state}: it has not ended yet.`

/** Sends the event of a delivery that has ended once more, under the same id. */
export const redeliverWebhookEvent = (context: Context, input: ById): Promise<Result<RedeliveryPayload>> =>
  answer(context, 'WebhookDelivery', 'redeliverWebhookEvent', async (): Promise<Result<RedeliveryPayload>> => {
    const checked = check(nothingElse, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { db, actor } = context
    const { teamId } = actor
    const call = { ...causeOf(context), ...callOptions('redeliverWebhookEvent', input, checked) }
    const before = entityOfId(input.id) === 'WebhookDelivery' ? await answeredBefore(db, call) : null
    const found = before ?? (await again(context, input.id, call))
    if ('refusal' in found) return found
    if (found.kind === 'key-reused') return keyReused('redeliverWebhookEvent', found)
    if (found.kind !== 'moved' && found.kind !== 'replayed') throw new Error(`a birth cannot be ${found.kind}`)
    const [delivery] = await deliveriesById(db, teamId, [found.kind === 'moved' ? found.row.id : found.subjectId])
    const [webhook] = delivery ? await webhooksById(db, teamId, [delivery.webhookId]) : []
    if (!delivery || !webhook) throw new Error('the delivery that was made is gone')
    return { webhook, delivery, replayed: found.kind === 'replayed' }
  })

/** What has ended stays so, and what is born for a webhook that is not told any more is dropped: so both are looked at before. */
async function again(
  { db, actor }: Context,
  id: string,
  call: Parameters<typeof answeredBefore>[1] & { requestId: string },
) {
  const { teamId } = actor
  const [first] = entityOfId(id) === 'WebhookDelivery' ? await deliveriesById(db, teamId, [id]) : []
  const [webhook] = first ? await webhooksById(db, teamId, [first.webhookId]) : []
  if (!first || !webhook) {
    const remedies = [lookAt('webhooks', {}, 'List the webhooks that you may see; each lists its deliveries.')]
    return { ...notFound('delivery', id), remedies }
  }
  const refusal = notYet(first) ?? notTold(webhook)
  if (refusal) return refusal
  const { webhookId, position, subjectId, messageId } = first
  const values = { teamId, webhookId, position, subjectId, messageId, redeliveryOf: id }
  return bring<typeof webhookDelivery>(db, rules.redeliverWebhookEvent, {
    ...call,
    id: newId('WebhookDelivery'),
    values,
  })
}

const action = 'redeliverWebhookEvent'
function notYet(delivery: DeliveryView): Refusal | null {
  const because = notRepeatable(delivery)
  if (because === null) return null
  const look = lookAt('node', { id: delivery.id }, 'See how far it has got.')
  return illegalState('IllegalState', `${action} is not possible. ${because}`, { delivery, action }, [look], true)
}

function notTold(webhook: WebhookView): Refusal | null {
  switch (webhook.state) {
    case 'ACTIVE':
      return null
    case 'DISABLED':
    case 'DELETED': {
      const remedy =
        webhook.state === 'DISABLED'
          ? callInstead('updateWebhook', { id: webhook.id, enabled: true }, 'Enable the webhook, then redeliver.')
          : lookAt('webhooks', {}, 'List the webhooks that are there.')
      const message = `${action} is not possible: the webhook has been ${webhook.state} since ${webhook.stateChangedAt.toISOString()}.`
      return illegalState('IllegalState', message, { webhook, action }, [remedy], false)
    }
  }
}

/** New ids, as the parameter that the fan-out needs. */
export const newDeliveryIds = (count: number): string =>
  Array.from({ length: count }, () => newId('WebhookDelivery')).join(',')

/** Of what the letter of one delivery is made: where to, signed by what, and the event. */
export interface Draft extends Record<string, unknown> {
  readonly deliveryId: string
  readonly teamId: string
  readonly webhookId: string
  readonly url: string
  /** Sealed; the newest first. Null: erased meanwhile. */
  readonly secret: string | null
  readonly previousSecret: string | null
  /** Null: the log does not reach back so far any more. */
  readonly event: EventView | null
}

/** The drafts of these deliveries; a secret that was replaced signs for a day after that. */
export async function draftsOf(db: Database, deliveryIds: readonly string[]): Promise<Map<string, Draft>> {
  const rows = await db.execute<
    Draft & { event: (EventView & { occurredAt: string }) | null }
  >(sql`/* read:webhook.drafts */
    select d.id as "deliveryId", d.team_id as "teamId", w.id as "webhookId", w.url, w.secret,
      case when w.secret_changed_at > now() - interval '1 day' then w.previous_secret end as "previousSecret",
      case when e.id is not null then jsonb_build_object('position', e.position, 'occurredAt', e.occurred_at, 'teamId', e.team_id,
        'subjectType', e.subject_type, 'subjectId', e.subject_id, 'kind', e.kind, 'fromState', e.from_state, 'toState', e.to_state,
        'generation', e.generation, 'version', e.version, 'actorKind', e.actor_kind, 'actorId', e.actor_id,
        'requestId', e.request_id, 'operationId', e.operation_id, 'data', e.data) end as event
    from webhook_delivery d join webhook w on w.id = d.webhook_id
      left join event e on e.team_id = d.team_id and e.position = d.position
    where d.id = any(string_to_array(${deliveryIds.join(',')}::text, ','))`)
  return new Map(
    rows.map((row) => [
      row.deliveryId,
      row.event ? { ...row, event: { ...row.event, occurredAt: new Date(row.event.occurredAt) } } : row,
    ]),
  )
}
