// Ends teams whose restore window is over: what they own through the gates of each kind, their members last. Every step
// looks at the rows alone, so a pass that was cut off at any point is taken up by the next one, on any replica.
import { beginTeamDeletion, endWhatItOwns, markTeamDeleted, removeLastMembers } from '../resolvers/team-end-rule.ts'
import { type Cause, type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'

const batch = 100
/** In this order; the rules of one step hinder each other in nothing. */
const steps: readonly (readonly Rule[])[] = [
  [beginTeamDeletion as unknown as Rule],
  endWhatItOwns,
  [removeLastMembers],
  [markTeamDeleted],
]

/** One pass over all of it; returns how many rows were moved. Throws the first fault once all else was tried. */
export async function endTeams(db: Database, told: Told, cause: Cause, signal: AbortSignal): Promise<number> {
  let moved = 0
  const faults: unknown[] = []
  for (const step of steps) {
    const passes = await Promise.allSettled(step.map((rule) => drain(db, rule, told, cause, signal)))
    for (const pass of passes) {
      if (pass.status === 'fulfilled') moved += pass.value
      else faults.push(pass.reason)
    }
  }
  if (faults.length > 0) throw faults[0]
  return moved
}

/** Batch after batch while there is more and time is left. */
async function drain(db: Database, rule: Rule, told: Told, cause: Cause, signal: AbortSignal): Promise<number> {
  let total = 0
  for (;;) {
    const { length } = await transitionEach(db, rule, cause, batch)
    if (length > 0) told(rule, length)
    total += length
    if (length < batch || signal.aborted) return total
  }
}
