// The mutations of webhooks: their inputs, payloads and what the manual says of them beyond what is derived.
import { webhookMachine } from '../lifecycle/webhook.ts'
import { webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import * as calls from '../resolvers/webhook.ts'
import { type RedeliveryPayload, redeliverWebhookEvent } from '../resolvers/webhook-delivery.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { WebhookDeliveryRef, WebhookRef } from './ref.ts'

const Filter = builder.inputType('WebhookEventFilterInput', {
  description: 'Which events: all that is given must hold; what is left out is no condition.',
  fields: (t) => ({
    kinds: t.stringList({
      description: 'Only these actions, e.g. `markDeploymentFailed`; `lifecycles` tells them all.',
    }),
    subjectTypes: t.stringList({ description: 'Only objects of these types, e.g. `Deployment`.' }),
    subjects: t.idList({ description: 'Only these objects, at most 100.' }),
  }),
})
const filter = (t: InputFields, otherwise: string) =>
  t.field({ type: Filter, description: `Which events it is told of; ${otherwise}.` })

const webhook = (t: Fields<{ readonly webhook: object } & calls.WebhookPayload>) =>
  t.field({
    type: WebhookRef,
    nullable: true,
    description: 'The webhook after the move; never null here.',
    resolve: (row) => row.webhook,
  })
const signingSecret = (t: Fields<calls.SecretPayload>) =>
  t.string({
    nullable: true,
    description:
      'What its receiver checks signatures with, `whsec_…`, when one was made. Shown once: null in a replay.',
    resolve: (row) => row.secret,
  })
const urlForm =
  'http or https, at most 2,000 characters, no user or password in it. All addresses of its host must be public, or allowed by ' +
  'the operator; they are checked again before each delivery.'

declareMutation<calls.SecretPayload>({
  name: 'createWebhook',
  machine: webhookMachine,
  summary:
    'Has an address told of what happens in the team from now on: one POST for each event that the filter wants, signed as ' +
    'Standard Webhooks say, at least once, in the order of the events of each object. Whatever is answered but 2xx within 5 s is ' +
    'tried again, for about 17 hours; 410 disables the webhook. Redirects are not followed.',
  undo: '`deleteWebhook`.',
  versioned: false,
  input: (t) => ({
    url: t.string({ required: true, description: `Where it is sent: ${urlForm}` }),
    filter: filter(t, 'all when left out'),
  }),
  payload: (t) => ({ webhook: webhook(t as never), signingSecret: signingSecret(t) }),
  refusals: ['AddressRefused', 'QuotaExceeded'],
  resolve: calls.createWebhook,
})

declareMutation<calls.SecretPayload>({
  name: 'updateWebhook',
  machine: webhookMachine,
  summary:
    'Changes what is given and leaves the rest. `enabled: false` has it told of nothing and drops what is on its way; `enabled: ' +
    'true` has it told of what happens from then on. `rotateSecret: true` makes a new secret, shown once; for a day the one ' +
    'before it signs as well, so that the receiver can change over.',
  undo: 'call it again with what was there before; a secret that was replaced does not come back.',
  versioned: true,
  input: (t) => ({
    id: t.id({ required: true, description: 'Id of the webhook, `whk_…`.' }),
    url: t.string({ description: `A new address: ${urlForm}` }),
    filter: filter(t, 'replaces the former one as a whole'),
    enabled: t.boolean({ description: 'Whether it is told of anything.' }),
    rotateSecret: t.boolean({ description: 'Whether it is given a new signing secret.' }),
  }),
  payload: (t) => ({ webhook: webhook(t as never), signingSecret: signingSecret(t) }),
  refusals: ['AddressRefused', 'IllegalState'],
  resolve: calls.updateWebhook,
})

declareMutation<calls.WebhookPayload>({
  name: 'deleteWebhook',
  machine: webhookMachine,
  summary:
    'Ends a webhook for good: its secret is erased, what is on its way to it is dropped, its place in the plan is free.',
  undo: 'none: `createWebhook` makes another one.',
  versioned: true,
  input: (t) => ({ id: t.id({ required: true, description: 'Id of the webhook, `whk_…`.' }) }),
  payload: (t) => ({ webhook: webhook(t as never) }),
  refusals: ['IllegalState'],
  resolve: calls.deleteWebhook,
})

declareMutation<RedeliveryPayload>({
  name: 'redeliverWebhookEvent',
  machine: webhookDeliveryMachine,
  summary:
    'Sends the event of a delivery that has ended once more, whether it had arrived or not, under the same `webhook-id`: a new ' +
    'delivery with all its attempts. Until it has ended, later events of the same object wait for it.',
  undo: 'none: what was sent cannot be called back; disable the webhook to drop what is on its way.',
  versioned: false,
  input: (t) => ({ id: t.id({ required: true, description: 'Id of the delivery, `whd_…`.' }) }),
  payload: (t) => ({
    webhook: webhook(t as never),
    delivery: t.field({
      type: WebhookDeliveryRef,
      nullable: true,
      description: 'The new delivery; never null here.',
      resolve: (row) => row.delivery,
    }),
  }),
  refusals: ['IllegalState'],
  resolve: redeliverWebhookEvent,
})
