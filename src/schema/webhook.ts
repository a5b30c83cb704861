// Webhooks and their deliveries in the schema: where is told what, and how far each has got; never a secret. The mutations are
// in webhook-mutation.ts.
import { lacking } from '../auth.ts'
import { entityOfId } from '../db/id.ts'
import type { WebhookFilter } from '../db/webhook.ts'
import { webhookMachine } from '../lifecycle/webhook.ts'
import { webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import { deliveryActions, webhookActions } from '../resolvers/allowed-action.ts'
import { cursorAt } from '../resolvers/event-read.ts'
import { countOf, names, pageOf } from '../resolvers/page.ts'
import { deliveries } from '../resolvers/webhook-delivery-read.ts'
import { webhooks } from '../resolvers/webhook-read.ts'
import { builder } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { NodeRef, WebhookDeliveryRef, WebhookRef } from './ref.ts'

const WebhookState = stateEnum(webhookMachine)
const DeliveryState = stateEnum(webhookDeliveryMachine)

const FilterRef = builder.objectRef<WebhookFilter>('WebhookEventFilter').implement({
  description: 'Which events a webhook is told of: all that is given must hold; null is no condition.',
  fields: (t) => ({
    kinds: t.exposeStringList('kinds', {
      nullable: true,
      description: 'Only these actions, e.g. `markDeploymentFailed`.',
    }),
    subjectTypes: t.exposeStringList('subjectTypes', { nullable: true, description: 'Only objects of these types.' }),
    subjects: t.field({
      type: ['ID'],
      nullable: true,
      description: 'Only these objects.',
      resolve: ({ subjects }) => subjects,
    }),
  }),
})

const deliveryFilter = ({ filter }: { filter?: unknown }) => ({
  states: names((filter as { states?: string[] } | null | undefined)?.states),
})
const DeliveryFilter = builder.inputType('WebhookDeliveryFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    states: t.field({ type: [DeliveryState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

WebhookDeliveryRef.implement({
  description:
    'One event that one webhook is to be told of. Delivered at least once, in the order of the events of each object; the ' +
    'header `webhook-id` is the same over all attempts, so that a receiver can tell what it has had already.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, DeliveryState as never, async (row, { actor, loaders }) =>
      deliveryActions(actor, row, await loaders.webhook.load(row.webhookId)),
    ),
    webhook: t.field({
      type: WebhookRef,
      nullable: true,
      description: 'Whose it is.',
      resolve: (row, _args, { loaders }) => loaders.webhook.load(row.webhookId),
    }),
    eventCursor: t.string({
      description: 'The cursor of the event: `events(after: …)` goes on behind it.',
      resolve: (row, _args, { actor }) => cursorAt(actor.teamId, row.position),
    }),
    subjectId: t.exposeID('subjectId', { description: 'The object that the event is about.' }),
    messageId: t.exposeString('messageId', { description: 'The header `webhook-id`.' }),
    redeliveryOf: t.exposeID('redeliveryOf', {
      nullable: true,
      description: 'The delivery that this one repeats; null for the first of its event.',
    }),
    attempts: t.int({ description: 'How often it was tried.', resolve: (row) => row.attempt }),
    status: t.exposeInt('status', {
      nullable: true,
      description: 'The HTTP status of the last answer; null when there was none.',
    }),
    lastError: t.string({
      nullable: true,
      description: 'Why the last attempt failed; null when none did.',
      resolve: (row) => row.outcome,
    }),
    nextAttemptAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it is tried next at the earliest; null when it is not waiting.',
      resolve: (row) => (row.state === 'PENDING' ? row.dueAt : null),
    }),
    deliveredAt: t.expose('deliveredAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it had arrived; null until then.',
    }),
    events: eventsField(t, 'What callers made of it: attempts are in no log, for they would have to be told of, too.'),
  }),
})
const DeliveryConnection = connectionOf(WebhookDeliveryRef, 'newest first')

WebhookRef.implement({
  description: 'An address that is told what happens in the team, by signed POST requests (Standard Webhooks).',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, WebhookState as never, (row, { actor }) => webhookActions(actor, row)),
    url: t.string({
      nullable: true,
      description: 'Where it is sent; null without the scope `admin`, for a URL may hold a secret of its receiver.',
      resolve: (row, _args, { actor }) => (lacking(actor, 'readWebhookUrl') ? null : row.url),
    }),
    filter: t.field({ type: FilterRef, description: 'Which events it is told of.', resolve: (row) => row.filter }),
    secretChangedAt: t.expose('secretChangedAt', {
      type: 'DateTime',
      description: 'When it was given its signing secret; the one before it signs as well for a day after that.',
    }),
    cursor: t.string({
      description: 'How far the log was looked through for it: what is behind it has its delivery.',
      resolve: (row, _args, { actor }) => cursorAt(actor.teamId, row.cursor),
    }),
    deliveries: t.field({
      type: DeliveryConnection,
      description: 'What it was or is to be told of, newest first.',
      args: { ...pageArgs(), filter: t.arg({ type: DeliveryFilter, description: 'Which ones.' }) },
      complexity: pageCost,
      resolve: async (row, args, context) => {
        const { deliveriesOf } = context.loaders
        const filter = deliveryFilter(args)
        return connect(context, deliveries, await deliveriesOf.page(row.id, args, filter), () =>
          deliveriesOf.count(row.id, filter),
        )
      },
    }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})
const WebhookConnection = connectionOf(WebhookRef, 'newest first')

const Filter = builder.inputType('WebhookListFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    states: t.field({ type: [WebhookState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  webhook: t.field({
    type: WebhookRef,
    nullable: true,
    description: 'A webhook by its id, without its secret; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `whk_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'Webhook' ? loaders.webhook.load(id) : null),
  }),
  webhooks: t.field({
    type: WebhookConnection,
    description: 'The webhooks of the team, newest first; deleted ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = { states: names((args.filter as { states?: string[] } | null)?.states) }
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, webhooks, args, filter)
      return connect(context, webhooks, page, () => countOf(db, actor.teamId, webhooks, filter))
    },
  }),
}))
