// One delivery that was claimed: what is sent, once, and how that ended. The end is stored by a swap on the claim token: whoever
// has lost the claim writes nothing. A process that dies in between sends again, under the same id: at least once.
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseFault } from '../db/fault.ts'
import { type Posted, type PostOptions, post } from '../drivers/webhook/post.ts'
import type { Log } from '../log.ts'
import type { DeliveryOutcome, Metrics } from '../metrics.ts'
import { type EventView, factsOf } from '../resolvers/event-read.ts'
import { type Cause, type Database, type Moved, type Rule, transition } from '../resolvers/transition.ts'
import { signingPlace } from '../resolvers/webhook.ts'
import type { Draft } from '../resolvers/webhook-delivery.ts'
import {
  buryDelivery,
  buryUnheard,
  buryWithWebhook,
  type claimDelivery,
  markDelivered,
  postponeDelivery,
} from '../resolvers/webhook-delivery-rule.ts'
import type { Sealing } from '../sealing.ts'
import { countMoves } from './count.ts'
import { backoffMs } from './effect.ts'

const [minuteMs, hourMs] = [60_000, 3_600_000]

/** How long things may take, in ms; tests shorten them. */
export const timing = {
  pollMs: 1_000,
  /** How often every webhook is looked at, and not only those whose team has news. */
  everyWebhookMs: 60_000,
  /** One attempt: finding the address, sending, the whole answer. */
  limitMs: 5_000,
  /** How long a claim lasts: an attempt, and time to store its end. */
  leaseMs: 20_000,
  /** The longest wait after the first failure, the second and so on; after the last one it is given up. */
  retryMs: [5_000, 30_000, 2 * minuteMs, 10 * minuteMs, hourMs, 4 * hourMs, 12 * hourMs] as readonly number[],
}
export type Timing = Readonly<typeof timing>

/** So often is a delivery tried at most. */
export const attemptsOf = ({ retryMs }: Timing): number => retryMs.length + 1

/** Who moves deliveries and webhooks here; each statement is a request of its own. */
export const causeOfDelivery = (requestId = `deliver-${crypto.randomUUID()}`): Cause => ({
  actor: { kind: 'loop', id: 'deliver' },
  requestId,
})

export interface DeliveryTools {
  readonly db: Database
  readonly sealing: Sealing
  readonly metrics: Metrics
  readonly log: Log
  readonly timing: Timing
  /** Which addresses are allowed, and how names are resolved. */
  readonly posting: Pick<PostOptions, 'allowed' | 'resolve' | 'ca'>
}
type Delivery = Moved<(typeof claimDelivery)['subject']['table']>['row']

/** Sends a delivery whose claim was asked for at `claimedAt` (monotonic, ms), and stores how it ended. Never throws; tells whether it arrived. */
export async function deliver(row: Delivery, draft: Draft, claimedAt: number, tools: DeliveryTools): Promise<boolean> {
  const { timing, log, metrics } = tools
  const facts = { entity: 'WebhookDelivery', subjectId: row.id, teamId: row.teamId, attempt: row.attempt }
  // Whoever was held up, e.g. by a machine that slept, must not send beside the one that has it next.
  if (performance.now() > claimedAt + timing.leaseMs / 2) {
    log.warn('a claimed delivery was not sent in time', facts)
    return false
  }
  const tried = await attempt(row, draft, tools)
  if (tried === null) return false
  const ending = endingOf(row, draft, tried, timing.retryMs)
  const stored = await store(row, ending, claimedAt + timing.leaseMs, tools)
  const outcome = stored ? ending.outcome : 'lost'
  log.info('delivery', { ...facts, outcome })
  metrics.delivery(outcome)
  return ending.outcome === 'delivered'
}

type Attempt = Posted | { readonly kind: 'hopeless'; readonly reason: string }

/** Null where its webhook was deleted meanwhile: what is open of it is being dropped. */
async function attempt(
  row: Delivery,
  draft: Draft,
  { sealing, log, timing, posting }: DeliveryTools,
): Promise<Attempt | null> {
  if (!draft.event) return { kind: 'hopeless', reason: 'The log does not reach back to the event any more.' }
  const secrets: string[] = []
  for (const sealed of [draft.secret, draft.previousSecret]) {
    if (sealed === null) continue
    try {
      secrets.push(sealing.open(sealed, signingPlace(draft.teamId, draft.webhookId)))
    } catch (error) {
      log.error('a signing secret cannot be opened', { entity: 'Webhook', subjectId: draft.webhookId, error })
      return { kind: 'failed', status: null, reason: 'Its signing secret cannot be opened now.' }
    }
  }
  if (secrets.length === 0) return null
  const { url } = draft
  const payload = payloadOf(draft.event)
  return await post({ url, id: row.messageId, payload, secrets }, { ...posting, limitMs: timing.limitMs })
}

const small = (name: string) => name.charAt(0).toLowerCase() + name.slice(1)

/** What is sent: the event as everybody in the team may read it, and as it is exported. */
export const payloadOf = (event: EventView): string =>
  JSON.stringify({
    type: `${small(event.subjectType)}.${event.kind}`,
    timestamp: event.occurredAt,
    data: factsOf(event),
  })

interface Ending {
  readonly outcome: DeliveryOutcome
  readonly rule: Rule
  readonly values: Readonly<Record<string, string | number | null>>
}

/** What was heard is of the address that was asked, which may be another one by now. */
function endingOf(row: Delivery, { url }: Draft, attempt: Attempt, retryMs: readonly number[]): Ending {
  const { webhookId } = row
  const status = attempt.kind === 'hopeless' ? null : attempt.status
  const end = (outcome: DeliveryOutcome, rule: unknown, more = {}): Ending => ({
    outcome,
    rule: rule as Rule,
    values: { status, outcome: attempt.kind === 'delivered' ? null : attempt.reason, ...more },
  })
  if (attempt.kind === 'delivered') return end('delivered', markDelivered)
  if (status === 410) return end('gone', buryWithWebhook, { webhookId, url })
  if (attempt.kind === 'hopeless') return end('dead', buryDelivery)
  const longestMs = retryMs[row.attempt - 1]
  if (longestMs === undefined) return end('dead', buryUnheard, { webhookId, url })
  // Full jitter: those that failed together do not come back together.
  return end('failed', postponeDelivery, {
    afterMs: Math.round(Math.random() * longestMs),
    webhookId,
    subjectId: row.subjectId,
  })
}

/** False when the claim was lost, or the database was away for as long as it lasts. */
async function store(
  row: Delivery,
  { rule, values }: Ending,
  untilMs: number,
  { db, log, metrics }: DeliveryTools,
): Promise<boolean> {
  const cause = causeOfDelivery(`deliver-${row.messageId}`)
  for (let failures = 0; ; failures++) {
    try {
      const { id, claimToken } = row
      const found = await transition(db, rule, { ...cause, values: { id, claimToken, ...values } })
      if (found.kind === 'moved') countMoves(metrics, rule, 1, found.along)
      return found.kind === 'moved'
    } catch (error) {
      log.warn('the end of a delivery could not be stored', { subjectId: row.id, error })
      const waitMs = backoffMs(failures)
      if (!(error instanceof DatabaseFault) || performance.now() + waitMs > untilMs) return false
      await sleep(waitMs)
    }
  }
}
