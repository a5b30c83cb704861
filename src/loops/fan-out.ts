// What webhooks are to be told of is stored, and what nobody wants or nobody can send any more is ended. Only teams with events
// that this process has not looked at are looked at, for most of the fleet has none at any moment; every webhook is once a minute.

import { type Rule, transitionEach } from '../resolvers/transition.ts'
import { newDeliveryIds } from '../resolvers/webhook-delivery.ts'
import { buryAbandoned, dropDelivery } from '../resolvers/webhook-delivery-rule.ts'
import { newsAfter } from '../resolvers/webhook-read.ts'
import { fanOutEvents, fanOutWebhook } from '../resolvers/webhook-rule.ts'
import { countMoves } from './count.ts'
import { attemptsOf, causeOfDelivery, type DeliveryTools } from './delivery.ts'
import { type Loop, type LoopDeclaration, startLoop } from './loop.ts'

const fanOutBatch = 20
const endBatch = 200

/** Starts it; `told` is called whenever there may be something to send. */
export const startFanOut = (tools: DeliveryTools, told: () => void): Loop => startLoop(fanOutLoop(tools, told), tools)

/** The loop itself, for whoever runs its passes one by one. */
export function fanOutLoop(
  { db, metrics, timing }: Omit<DeliveryTools, 'sealing' | 'posting'>,
  told: () => void,
): LoopDeclaration {
  const batch = async (rule: unknown, limit: number, values = {}) => {
    const moved = await transitionEach(db, rule as Rule, { ...causeOfDelivery(), values }, limit)
    const born = moved.reduce((sum, { along: [count = 0] = [] }) => sum + count, 0)
    countMoves(metrics, rule as Rule, moved.length, [born])
    return moved.length
  }

  /** No webhook has news up to here. Null: not known, or not for a while. */
  let seen: number | null = null
  let seenAllAt = 0

  async function fanOut(signal: AbortSignal): Promise<number> {
    // One that was made or enabled by a statement with an older view may have been overlooked.
    if (performance.now() > seenAllAt + timing.everyWebhookMs) seen = null
    for (let total = 0; ; ) {
      const { teams, newest } = await newsAfter(db, seen, fanOutBatch)
      if (teams.length === 0) {
        if (seen === null) seenAllAt = performance.now()
        seen = newest
        return total
      }
      const deliveryIds = newDeliveryIds(fanOutBatch * fanOutEvents)
      const moved = await batch(fanOutWebhook, fanOutBatch, { deliveryIds, teams: teams.join(',') })
      if (moved > 0) told()
      total += moved
      // Others hold what is left: the next pass looks again.
      if (moved === 0 || signal.aborted) return total
    }
  }

  const ends = (rule: unknown, outcome: 'dropped' | 'dead') => async (signal: AbortSignal) => {
    for (let total = 0; ; ) {
      const ended = await batch(rule, endBatch, { attempts: attemptsOf(timing) })
      for (let each = 0; each < ended; each++) metrics.delivery(outcome)
      total += ended
      if (ended < endBatch || signal.aborted) return total
    }
  }
  const steps = [fanOut, ends(dropDelivery, 'dropped'), ends(buryAbandoned, 'dead')]

  return {
    name: 'fan-out',
    everyMs: timing.pollMs,
    deadlineMs: 30_000,
    async pass(signal) {
      const ended = await Promise.allSettled(steps.map((step) => step(signal)))
      // A step that fails hinders no other.
      for (const each of ended) if (each.status === 'rejected') throw each.reason
      return { moved: ended.reduce((sum, each) => sum + (each.status === 'fulfilled' ? each.value : 0), 0) }
    },
  }
}
