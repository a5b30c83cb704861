// The rules of a webhook's moves. What it is to be told of is stored in the very statement that moves its cursor, so that no
// event is left out and none is stored twice, whatever crashes; who else holds the webhook does the same work meanwhile.
import { and, eq, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { event } from '../db/event.ts'
import { webhook } from '../db/webhook.ts'
import { webhookDelivery } from '../db/webhook-delivery.ts'
import { type WebhookState, webhookMachine } from '../lifecycle/webhook.ts'
import { type WebhookDeliveryState, webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import { defineBirth, defineBorn, defineCarried, defineRule, type Part } from './transition.ts'
import { intParam, jsonParam, listParam, textParam } from './transition-statement.ts'

const part = { table: webhook, machine: webhookMachine } as const
const byId = and(eq(webhook.id, textParam('id')), eq(webhook.teamId, textParam('teamId'))) as SQL
const named = (...states: readonly WebhookState[]) => sql.raw(quoted(states))

const inState = (...states: readonly WebhookDeliveryState[]) => sql.raw(quoted(states))
const waiting = inState('PENDING')

/** What webhooks are told of, as a condition on the state of a webhook. */
export const isTold = (state: SQL): SQL => sql`${state} in (${named('ACTIVE')})`
/** What webhooks are told of nothing. */
export const isUntold = (state: SQL): SQL => sql`${state} in (${named('DISABLED', 'DELETED')})`

/** The last position that was given, as the statement sees it. */
const newest = sql`coalesce((select max(e.position) from ${event} e), 0)`

export const createWebhook = defineBirth({
  ...part,
  name: 'createWebhook',
  action: 'createWebhook',
  takes: [{ kind: 'webhooks' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    url: textParam('url'),
    filter: jsonParam('filter'),
    secret: textParam('sealed'),
    secretChangedAt: sql`clock_timestamp()`,
    cursor: newest,
  },
})

const hasSecret = sql`${textParam('sealed')} is not null`

/** What is not given stays; a new secret makes the one before it the previous one. */
const change =
  (action: string, more: (found: typeof webhook) => Record<string, SQL> = () => ({})) =>
  (name: string) =>
    defineRule({
      name,
      subject: {
        ...part,
        action,
        where: byId,
        set: (found: typeof webhook) => ({
          url: sql`coalesce(${textParam('url')}, ${found.url})`,
          filter: sql`coalesce(${jsonParam('filter')}, ${found.filter})`,
          previousSecret: sql`case when ${hasSecret} then ${found.secret} else ${found.previousSecret} end`,
          secret: sql`coalesce(${textParam('sealed')}, ${found.secret})`,
          secretChangedAt: sql`case when ${hasSecret} then clock_timestamp() else ${found.secretChangedAt} end`,
          ...more(found),
        }),
      },
      data: () =>
        sql`jsonb_build_object('url', ${textParam('url')} is not null, 'filter', ${textParam('filter')} is not null, 'secret', ${hasSecret})`,
      called: true,
    })

export const updateWebhook = change('updateWebhook')('updateWebhook')
export const disableWebhook = change('disableWebhook')('disableWebhook')
/** What happened while it was disabled is not told. */
export const enableWebhook = change('enableWebhook', (found) => ({
  cursor: sql`case when ${isTold(sql`${found.state}`)} then ${found.cursor} else greatest(${found.cursor}, ${newest}) end`,
}))('enableWebhook')

/** Only of the address that was asked can be said what was heard; after a change the delivery goes to the new one. */
const isAsked = ({ url }: Pick<typeof webhook, 'url'>) => sql`${url} = ${textParam('url')}`

/** Its receiver has said that it is gone for good; goes with the end of the delivery that heard it. */
export const isGone: Part<typeof webhook> = {
  ...part,
  action: 'disableWebhook',
  where: eq(webhook.id, textParam('webhookId')) as SQL,
  guard: isAsked,
  set: () => ({ stateReason: sql`'its receiver answered 410 Gone'` }),
}

/** After so many deliveries in a row that ended DEAD, each after hours of attempts, a webhook is disabled. */
export const deadInARow = 5

const before = String(deadInARow - 1)
/** Since it was enabled none has arrived of the last few that ended, of which the delivery that goes with this is one more. */
const noneArrives = sql`(select count(*) filter (where e.state in (${inState('DEAD')})) >= ${sql.raw(before)} from (
  select d.state from ${webhookDelivery} d where d.webhook_id = ${webhook.id} and d.state in (${inState('DEAD', 'DELIVERED')})
    and d.state_changed_at > ${webhook.stateChangedAt} order by d.state_changed_at desc limit ${sql.raw(before)}) e)`

/** Its receiver hears nothing any more; goes with the end of the delivery that was not heard either. */
export const hasFailed = defineCarried<typeof webhook>({
  ...part,
  action: 'disableWebhook',
  where: sql`${webhook.id} = ${textParam('webhookId')} and ${isTold(sql`${webhook.state}`)} and ${noneArrives}`,
  guard: isAsked,
  set: () => ({ stateReason: sql.raw(`'the last ${deadInARow} deliveries in a row ended DEAD'`) }),
})

export const deleteWebhook = defineRule({
  name: 'deleteWebhook',
  subject: {
    ...part,
    action: 'deleteWebhook',
    where: byId,
    set: () => ({ secret: sql`null`, previousSecret: sql`null` }),
  },
  releases: 'webhooks',
  called: true,
})

/** The most events of a team that one statement looks at for one webhook. */
export const fanOutEvents = 25

const heard = sql`e.team_id = found.team_id and e.position > found.cursor`
/** How far the statement looks: before the first event that is too many, or to the newest one that it sees. */
const until = sql`greatest(found.cursor, coalesce(
  (select e.position - 1 from ${event} e where ${heard} order by e.position offset ${sql.raw(String(fanOutEvents))} limit 1), ${newest}))`
const wants = (field: string, value: SQL) =>
  sql`(coalesce(jsonb_typeof(found.filter -> ${sql.raw(quoted([field]))}), 'null') = 'null' or found.filter -> ${sql.raw(quoted([field]))} ? ${value})`
const deliveryId = sql`(${listParam('deliveryIds')})[(row_number() over (order by n.position))::int]`

/** Whether the log has anything behind the cursor of a webhook. */
export const hasNews = ({ teamId, cursor }: Record<'teamId' | 'cursor', SQLWrapper>): SQL =>
  sql`exists (select from ${event} e where e.team_id = ${teamId} and e.position > ${cursor})`

/** One delivery for each event that the filter wants. Of deliveries themselves nobody is told: that would never end. */
const told = defineBorn<typeof webhookDelivery, typeof webhook>({
  table: webhookDelivery,
  machine: webhookDeliveryMachine,
  action: 'queueDelivery',
  each: sql`lateral (select e.position, e.subject_id from ${event} e where ${heard} and e.position <= ${until}
    and e.subject_type <> ${sql.raw(quoted([webhookDeliveryMachine.entity]))}
    and ${wants('kinds', sql`e.kind`)} and ${wants('subjectTypes', sql`e.subject_type`)} and ${wants('subjects', sql`e.subject_id`)}) n`,
  values: () => ({
    id: deliveryId,
    messageId: deliveryId,
    teamId: sql`found.team_id`,
    webhookId: sql`found.id`,
    position: sql`n.position`,
    subjectId: sql`n.subject_id`,
    // No sooner than what it waits for: a claim that looks for what is due need not look at it before.
    dueAt: sql`greatest(now(), (select max(o.due_at) from ${webhookDelivery} o where o.webhook_id = found.id
      and o.subject_id = n.subject_id and o.state in (${waiting})))`,
  }),
})

/**
 * Takes webhooks of these teams (`teams`) that have news for them, and stores what they are to be told of. Needs `deliveryIds`,
 * enough of them for all.
 */
export const fanOutWebhook = defineRule({
  name: 'fanOutWebhook',
  subject: {
    ...part,
    action: 'fanOutWebhook',
    where: sql`${isTold(sql`${webhook.state}`)} and ${webhook.teamId} = any(${listParam('teams')}) and ${hasNews(webhook)}`,
    batch: { orderBy: sql`${webhook.cursor}`, limit: intParam('limit') },
    // What callers see has not changed, so what they expect to find still holds.
    set: (found) => ({ cursor: until, version: sql`${found.version}` }),
  },
  bears: [told],
})
