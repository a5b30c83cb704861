// The net under every teardown: whatever has ended and has no live operation gets one again, so that nothing that ended
// keeps running unseen. In the ordinary course the operation was accepted together with the end, and this finds nothing.
// And the end of teams: see team-end.ts.
import { tearDownDeployment } from '../resolvers/deployment-rule.ts'
import { deprovisionResource } from '../resolvers/resource-rule.ts'
import { tearDownStack } from '../resolvers/stack-rule.ts'
import { type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'
import { endTeams } from './team-end.ts'

const batch = 100
const rules = [tearDownDeployment, deprovisionResource, tearDownStack] as unknown as Rule[]

export const teardownLoop = (db: Database, told: Told): LoopDeclaration => ({
  name: 'teardown',
  everyMs: 60_000,
  deadlineMs: 45_000,
  async pass(signal) {
    const cause = { actor: { kind: 'loop', id: 'teardown' }, requestId: `teardown-${crypto.randomUUID()}` }
    // Each by itself: one entity whose rows cannot be moved must not keep the other from its end.
    const passes = await Promise.allSettled([
      ...rules.map(async (rule) => {
        const { length } = await transitionEach(db, rule, cause, batch)
        if (length > 0) told(rule, length)
        return length
      }),
      endTeams(db, told, cause, signal),
    ])
    const moved = passes.reduce((sum, pass) => sum + (pass.status === 'fulfilled' ? pass.value : 0), 0)
    for (const pass of passes) if (pass.status === 'rejected') throw pass.reason
    return { moved }
  },
})
