// What callers may ask of webhooks: make one, change it, end it. The signing secret is made here, stored sealed and shown once,
// by the call that made it: never in a replay. A URL may hold a secret of its receiver, so it is in no event and no log, and
// inputs with one are told apart by a keyed digest.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { type WebhookFilter, webhook } from '../db/webhook.ts'
import { advice, lookAt, notFound, type Refusal, refuse } from '../refusals.ts'
import type { Place } from '../sealing.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  illegalState,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
} from './call.ts'
import { check, nothingElse } from './input.ts'
import { type Accepted, type ById, type Kind, moveById, replay } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import { bring, type Call } from './transition.ts'
import { createWebhookInput, updateWebhookInput } from './webhook-input.ts'
import { firstMissing } from './webhook-read.ts'
import * as rules from './webhook-rule.ts'

type Row = typeof webhook.$inferSelect
export interface WebhookPayload extends Payload {
  readonly webhook: Row
}
export interface SecretPayload extends WebhookPayload {
  /** Shown once: null in a replay, and where none was made. */
  readonly secret: string | null
}

/** Of the 24 to 64 that Standard Webhooks allow. */
const secretBytes = 32

/** A new signing secret, as Standard Webhooks write it: `whsec_<base64>`. */
export const newSigningSecret = (): string => `whsec_${randomBytes(secretBytes).toString('base64')}`

/** What signing secrets of a webhook are sealed for, the current and the previous one alike. */
export const signingPlace = (teamId: string, webhookId: string): Place => [teamId, webhookId, 'secret']

const kind: Kind<typeof webhook, 'updateWebhook' | 'deleteWebhook'> = {
  table: webhook,
  entity: 'Webhook',
  word: 'webhook',
  wrongState: async (_db, action, row) => ended(row, action),
}

/** The webhook is deleted: nothing of it changes any more. */
const ended = (row: Row, action: string): Refusal =>
  illegalState(
    'IllegalState',
    `${action} is not possible: the webhook has been ${row.state} since ${row.stateChangedAt.toISOString()}.`,
    { webhook: row, action },
    [lookAt('webhooks', {}, 'List the webhooks that are there.')],
    false,
  )

export interface NewWebhook extends CallInput {
  readonly url: string
  readonly filter?: Partial<WebhookFilter> | null
}

/** Tells an address of all that happens from now on and that the filter wants. */
export const createWebhook = (context: Context, input: NewWebhook): Promise<Result<SecretPayload>> =>
  answer(context, 'Webhook', 'createWebhook', async (): Promise<Result<SecretPayload>> => {
    const checked = check(createWebhookInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { db, actor, sealing } = context
    const { url, filter } = checked.value
    const [id, secret] = [newId('Webhook'), newSigningSecret()]
    const sealed = sealing.seal(secret, signingPlace(actor.teamId, id))
    const call = {
      ...causeOf(context),
      id,
      values: { teamId: actor.teamId, url, filter: JSON.stringify(filter), sealed },
      ...callOptions('createWebhook', input, checked, sealing.digests),
    }
    const found =
      (await refuseEarly(context, call, { url, filter })) ??
      (await bring(db, rules.createWebhook, call).catch((error: unknown) => {
        if (!(error instanceof DatabaseFault) || error.constraint !== 'plan_cap') throw error
        return planIsFull(db, actor.teamId, 'webhooks')
      }))
    if ('refusal' in found) return found
    switch (found.kind) {
      case 'moved':
        return { webhook: found.row, secret, replayed: false }
      case 'replayed':
        return { webhook: (await replay(context, kind, found)).row, secret: null, replayed: true }
      case 'key-reused':
        return keyReused('createWebhook', found)
      default:
        throw new Error(`a birth cannot be ${found.kind}`)
    }
  })

export interface WebhookChange extends ById {
  readonly url?: string | null
  readonly filter?: Partial<WebhookFilter> | null
  readonly enabled?: boolean | null
  readonly rotateSecret?: boolean | null
}

/** Changes what is given and leaves the rest. With `rotateSecret` both secrets sign for a day. */
export function updateWebhook(context: Context, input: WebhookChange): Promise<Result<SecretPayload>> {
  const { updateWebhook, enableWebhook, disableWebhook } = rules
  const rule = input.enabled == null ? updateWebhook : input.enabled ? enableWebhook : disableWebhook
  const secret = newSigningSecret()
  return moveById(context, kind, 'updateWebhook', rule, updateWebhookInput, input, {
    values: ({ url, filter, rotateSecret }, { sealing, actor }) => ({
      url,
      filter: filter && JSON.stringify(filter),
      sealed: rotateSecret ? sealing.seal(secret, signingPlace(actor.teamId, input.id)) : null,
    }),
    refuseEarly: (change, call) => refuseEarly(context, call, change),
    hash: context.sealing.digests,
    payload: ({ row, replayed }, { rotateSecret }) => ({
      webhook: row,
      secret: rotateSecret && !replayed ? secret : null,
      replayed,
    }),
  })
}

/** Ends it for good: its secret is erased, and what is on its way to it is dropped. */
export const deleteWebhook = (context: Context, input: ById): Promise<Result<WebhookPayload>> =>
  moveById(context, kind, 'deleteWebhook', rules.deleteWebhook, nothingElse, input, {
    payload: ({ row, replayed }: Accepted<typeof webhook>) => ({ webhook: row, replayed }),
  })

/** An address that may not be called, or a subject that is not there; a repeat of a call that won is answered as it was won. */
async function refuseEarly(
  context: Context,
  call: Call,
  { url, filter }: { readonly url: string | null; readonly filter: WebhookFilter | null },
): Promise<Refusal | null> {
  const { db, actor } = context
  const missing = await firstMissing(db, actor.teamId, filter?.subjects ?? [])
  const fault = url === null || missing !== null ? null : await context.webhookFault(url)
  if ((fault === null && missing === null) || (await answeredBefore(db, call))) return null
  if (missing !== null) {
    const remedies = [lookAt('events', {}, 'List the events that you may see; each names its subject.')]
    return { ...notFound('object', missing), remedies }
  }
  return refuse('AddressRefused', {
    message: `${fault} A webhook is sent to http and https URLs whose addresses are public, or are allowed by the operator.`,
    facts: { reason: fault },
    remedies: [
      advice('Give a URL that is reachable from the internet, or ask the operator to set PAWL_WEBHOOK_ALLOW.'),
    ],
  })
}
