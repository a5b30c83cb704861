// Webhooks: stores what each is to be told of, drops what nobody wants any more, and sends what is due. A bounded number of
// attempts at once, and of those a few for each webhook, so that a receiver that is dead or slow holds up no other one. It
// shares nothing with the dispatcher but the database.

import { type Rule, transitionEach } from '../resolvers/transition.ts'
import { lettersOf, newDeliveryIds } from '../resolvers/webhook-delivery.ts'
import { claimDelivery, dropDelivery } from '../resolvers/webhook-delivery-rule.ts'
import { fanOutEvents, fanOutWebhook } from '../resolvers/webhook-rule.ts'
import { countMoves } from './count.ts'
import { type DeliveryTools, deliver, type Timing, timing as usual } from './delivery.ts'
import { startLoop } from './loop.ts'

/** Attempts of one process at a time. */
const atOnce = 32
/** A webhook that has so many under way is given no more. As many are claimed by one statement, so it may be twice that. */
const perWebhook = 4
const fanOutBatch = 20
const dropBatch = 200

export interface Deliverer {
  /** Says that there may be something to tell. */
  nudge(): void
  /** How many attempts are under way. */
  sending(): number
  /** Begins no further attempt, and waits for those that are under way: each has its time limit. */
  drain(): Promise<void>
}

export interface DelivererTools extends Omit<DeliveryTools, 'timing'> {
  readonly timing?: Partial<Timing>
}

export function startDeliverer(given: DelivererTools): Deliverer {
  const tools: DeliveryTools = { ...given, timing: { ...usual, ...given.timing } }
  const { db, metrics, timing } = tools
  /** Attempts, and the webhook of each. */
  const underWay = new Map<Promise<void>, string>()
  const cause = () => ({ actor: { kind: 'loop', id: 'deliver' }, requestId: `deliver-${crypto.randomUUID()}` })
  const batch = async (rule: Rule, limit: number, values = {}) => {
    const moved = await transitionEach(db, rule, { ...cause(), values }, limit)
    countMoves(metrics, rule, moved.length)
    return moved.length
  }

  async function fanOut(signal: AbortSignal): Promise<number> {
    for (let total = 0; ; ) {
      const deliveryIds = newDeliveryIds(fanOutBatch * fanOutEvents)
      const moved = await batch(fanOutWebhook as unknown as Rule, fanOutBatch, { deliveryIds })
      total += moved
      if (moved === 0 || signal.aborted) return total
    }
  }

  async function drop(signal: AbortSignal): Promise<number> {
    for (let total = 0; ; ) {
      const dropped = await batch(dropDelivery as unknown as Rule, dropBatch)
      for (let each = 0; each < dropped; each++) metrics.delivery('dropped')
      total += dropped
      if (dropped < dropBatch || signal.aborted) return total
    }
  }

  async function claim(signal: AbortSignal): Promise<number> {
    for (let total = 0; ; ) {
      const limit = Math.min(atOnce - underWay.size, perWebhook)
      if (limit <= 0 || signal.aborted) return total
      const counts = Map.groupBy(underWay.values(), (webhookId) => webhookId)
      const busy = [...counts].flatMap(([webhookId, list]) => (list.length >= perWebhook ? [webhookId] : []))
      const claimedAt = performance.now()
      const values = { busy: busy.join(','), leaseMs: timing.leaseMs }
      const claimed = await transitionEach(db, claimDelivery, { ...cause(), values }, limit)
      countMoves(metrics, claimDelivery as unknown as Rule, claimed.length)
      if (claimed.length === 0) return total
      total += claimed.length
      const letters = await lettersOf(
        db,
        claimed.map(({ row }) => row.id),
      )
      for (const { row } of claimed) {
        const letter = letters.get(row.id)
        if (!letter) throw new Error(`the claimed delivery ${row.id} is gone`)
        const sending = deliver(row, letter, claimedAt, tools).finally(() => {
          underWay.delete(sending)
          // The next one of the same subject may go on now.
          loop.nudge()
        })
        underWay.set(sending, row.webhookId)
      }
    }
  }

  const loop = startLoop(
    {
      name: 'deliver',
      everyMs: timing.pollMs,
      deadlineMs: 30_000,
      async pass(signal) {
        let moved = 0
        const errors: unknown[] = []
        for (const step of [fanOut, drop, claim]) {
          // A step that fails hinders no other.
          moved += await step(signal).catch((error: unknown) => {
            errors.push(error)
            return 0
          })
        }
        if (errors.length > 0) throw errors[0]
        return { moved }
      },
    },
    tools,
  )

  return {
    nudge: () => loop.nudge(),
    sending: () => underWay.size,
    async drain() {
      await loop.stop()
      await Promise.all(underWay.keys())
    },
  }
}
