// Ends what has outlived its time limit. The predicate is repeated in full under the lock, so that whoever extends the
// limit or takes it away meanwhile wins; a deployment's teardown is accepted in the same statement.
import { expireApiToken } from '../resolvers/api-token.ts'
import { expireDeployment } from '../resolvers/deployment-rule.ts'
import { expireInvitation } from '../resolvers/invitation-rule.ts'
import { expirePromotion } from '../resolvers/promotion-decision-rule.ts'
import { expireResource } from '../resolvers/resource-rule.ts'
import { type Cause, type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 200
const rules = [expireDeployment, expireResource, expireApiToken, expireInvitation, expirePromotion] as unknown as Rule[]
const cause = (): Cause => ({ actor: { kind: 'loop', id: 'expire' }, requestId: `expire-${crypto.randomUUID()}` })

export const expireLoop = (db: Database, told: Told): LoopDeclaration => ({
  name: 'expire',
  everyMs: 60_000,
  deadlineMs: 30_000,
  async pass(signal) {
    // Each by itself: one entity whose rows cannot be moved must not keep the others from their end.
    const passes = await Promise.allSettled(rules.map((rule) => drain(db, rule, signal, told)))
    const moved = passes.reduce((sum, pass) => sum + (pass.status === 'fulfilled' ? pass.value : 0), 0)
    for (const pass of passes) if (pass.status === 'rejected') throw pass.reason
    return { moved }
  },
})

/** Batch after batch while there is more and time is left. */
async function drain(db: Database, rule: Rule, signal: AbortSignal, told: Told): Promise<number> {
  let total = 0
  for (;;) {
    const moved = await transitionEach(db, rule, cause(), batch)
    if (moved.length > 0) told(rule, moved.length)
    total += moved.length
    if (moved.length < batch || signal.aborted) return total
  }
}
