// Keeps the event log readable: gives committed events their positions, soon after they were written.
import { sequenceEvents } from '../resolvers/event.ts'
import type { Database } from '../resolvers/transition.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 1_000

/** `told` hears of every batch that was given positions, at once: those who follow them are nudged. */
export const sequenceLoop = (db: Database, told: () => unknown = () => {}): LoopDeclaration => ({
  name: 'sequence',
  everyMs: 500,
  deadlineMs: 5_000,
  async pass(signal) {
    let total = 0
    for (;;) {
      const given = await sequenceEvents(db, batch)
      total += given
      if (given > 0) told()
      if (given < batch || signal.aborted) return { moved: total }
    }
  },
})
