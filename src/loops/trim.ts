// Removes what is past its retention: answers to idempotency keys after seven days.
import { trimIdempotencyKeys } from '../resolvers/idempotency-key.ts'
import type { Database } from '../resolvers/transition.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 1_000

export const trimLoop = (db: Database): LoopDeclaration => ({
  name: 'trim',
  everyMs: 3_600_000,
  deadlineMs: 60_000,
  async pass(signal) {
    let total = 0
    for (;;) {
      const gone = await trimIdempotencyKeys(db, batch)
      total += gone
      if (gone < batch || signal.aborted) return { moved: total }
    }
  },
})
