// The net under everything else: what is past its deadline with no work that would end it gets its work again, and what drivers
// have and nobody owns is removed. In the ordinary course there is none of either: a restore, or a defect, leaves them.
import type { Log } from '../log.ts'
import { resumeRules } from '../resolvers/resume-rule.ts'
import { type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'
import { type Holder, removeOrphans } from './sweep-orphan.ts'

const batch = 100

export interface SweepTools {
  readonly told: Told
  readonly log: Log
}

export const sweepLoop = (db: Database, holders: readonly Holder[], { told, log }: SweepTools): LoopDeclaration => ({
  name: 'sweep',
  everyMs: 900_000,
  deadlineMs: 300_000,
  async pass(signal) {
    const items = { moved: 0, unchanged: 0, skipped: 0 }
    // Each by itself: one that fails, or a driver that hangs, keeps no other from its turn.
    const passes = await Promise.allSettled([
      ...resumeRules.map((rule) => resume(db, rule, told, log, signal)),
      ...holders.map((holder) => removeOrphans(db, holder, log, signal)),
    ])
    for (const pass of passes) {
      if (pass.status === 'rejected') continue
      for (const outcome of Object.keys(items) as (keyof typeof items)[]) items[outcome] += pass.value[outcome]
    }
    for (const pass of passes) if (pass.status === 'rejected') throw pass.reason
    return items
  },
})

/** Batch after batch while there is more and time is left. */
async function resume(db: Database, rule: Rule, told: Told, log: Log, signal: AbortSignal) {
  const cause = { actor: { kind: 'loop', id: 'sweep' }, requestId: `sweep-${crypto.randomUUID()}` }
  const items = { moved: 0, unchanged: 0, skipped: 0 }
  for (;;) {
    const moved = await transitionEach(db, rule, cause, batch)
    items.moved += moved.length
    if (moved.length > 0) {
      told(rule, moved.length)
      log.warn('work that was lost is queued again', { action: rule.subject.action, count: moved.length })
    }
    if (moved.length < batch || signal.aborted) return items
  }
}
