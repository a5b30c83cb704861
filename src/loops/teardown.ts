// The net under every teardown: whatever has ended and has no live operation gets one again, so that nothing that ended
// keeps running unseen. In the ordinary course the operation was accepted together with the end, and this finds nothing.
import { tearDownDeployment } from '../resolvers/deployment-rule.ts'
import { deprovisionResource } from '../resolvers/resource-rule.ts'
import { type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 100

export const teardownLoop = (db: Database, accepted: () => void): LoopDeclaration => ({
  name: 'teardown',
  everyMs: 60_000,
  deadlineMs: 45_000,
  async pass() {
    const cause = { actor: { kind: 'loop', id: 'teardown' }, requestId: `teardown-${crypto.randomUUID()}` }
    let moved = 0
    for (const rule of [tearDownDeployment, deprovisionResource] as unknown as Rule[]) {
      moved += (await transitionEach(db, rule, cause, batch)).length
    }
    if (moved > 0) accepted()
    return { moved }
  },
})
