// Removes what is past its time of keeping, batch by batch and each kind in its turn: answers to idempotency keys, the oldest
// events, operations, deliveries and instances that have ended. A kind that cannot be trimmed hinders no other.
import { trimIdempotencyKeys } from '../resolvers/idempotency-key.ts'
import type { Database } from '../resolvers/transition.ts'
import { trimEvents, trimInstances, trimOperations, trimWebhookDeliveries } from '../resolvers/trim.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 1_000
/** For how long an instance that was removed can still be looked up. */
const instanceDays = 7

/** For how many days what is kept is kept; deliveries like operations. */
export interface Retention {
  readonly eventDays: number
  readonly operationDays: number
}

export const trimLoop = (db: Database, { eventDays, operationDays }: Retention): LoopDeclaration => ({
  name: 'trim',
  everyMs: 3_600_000,
  deadlineMs: 60_000,
  async pass(signal) {
    let left = [
      () => trimIdempotencyKeys(db, batch),
      () => trimEvents(db, eventDays, batch),
      () => trimOperations(db, operationDays, batch),
      () => trimWebhookDeliveries(db, operationDays, batch),
      () => trimInstances(db, instanceDays, batch),
    ]
    let moved = 0
    const errors: unknown[] = []
    while (left.length > 0 && !signal.aborted) {
      const again: typeof left = []
      for (const trim of left) {
        const gone = await trim().catch((error: unknown) => {
          errors.push(error)
          return 0
        })
        moved += gone
        if (gone >= batch) again.push(trim)
      }
      left = again
    }
    if (errors.length > 0) throw errors[0]
    return { moved }
  },
})
