// Webhooks: sends what is due. A bounded number of attempts at once (delivery-place.ts says whose), so that a receiver that is dead
// or slow holds up no other one: what ends an attempt asks for the next claim and for nothing else. What is to be sent comes from
// fan-out.ts. It shares nothing with the dispatcher but the database.

import { type Rule, transitionEach } from '../resolvers/transition.ts'
import { draftsOf } from '../resolvers/webhook-delivery.ts'
import { claimDelivery } from '../resolvers/webhook-delivery-rule.ts'
import { countMoves } from './count.ts'
import { attemptsOf, causeOfDelivery, type DeliveryTools, deliver, type Timing, timing as usual } from './delivery.ts'
import { Places, perWebhook } from './delivery-place.ts'
import { startFanOut } from './fan-out.ts'
import { startLoop } from './loop.ts'

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
  const places = new Places()
  const underWay = new Set<Promise<void>>()
  async function claim(signal: AbortSignal): Promise<number> {
    for (let total = 0; ; ) {
      const limit = Math.min(places.free, perWebhook)
      if (limit <= 0 || signal.aborted) return total
      const full = places.full()
      const claimedAt = performance.now()
      const values = {
        fullWebhooks: full.webhooks.join(','),
        fullTeams: full.teams.join(','),
        leaseMs: timing.leaseMs,
        attempts: attemptsOf(timing),
      }
      const claimed = await transitionEach(db, claimDelivery, { ...causeOfDelivery(), values }, limit)
      countMoves(metrics, claimDelivery as unknown as Rule, claimed.length)
      if (claimed.length === 0) return total
      total += claimed.length
      const drafts = await draftsOf(
        db,
        claimed.map(({ row }) => row.id),
      )
      for (const { row } of claimed) {
        const draft = drafts.get(row.id)
        if (!draft) throw new Error(`the claimed delivery ${row.id} is gone`)
        const giveBack = places.take(row)
        const sending = deliver(row, draft, claimedAt, tools).then((arrived) => {
          giveBack(arrived)
          underWay.delete(sending)
          // The next one of the same subject may go on now.
          loop.nudge()
        })
        underWay.add(sending)
      }
    }
  }

  const loop = startLoop(
    {
      name: 'deliver',
      everyMs: timing.pollMs,
      deadlineMs: 30_000,
      pass: async (signal) => ({ moved: await claim(signal) }),
    },
    tools,
  )
  const fanOut = startFanOut(tools, () => loop.nudge())

  return {
    nudge: () => fanOut.nudge(),
    sending: () => places.taken,
    async drain() {
      await Promise.all([fanOut.stop(), loop.stop()])
      await Promise.all(underWay)
    },
  }
}
