// The net under every teardown: whatever has ended and has no live operation gets one again, so that nothing that ended
// keeps running unseen. In the ordinary course the operation was accepted together with the end, and this finds nothing.
import { tearDownDeployment } from '../resolvers/deployment-rule.ts'
import { unmovedSinceSnapshot } from '../resolvers/operation-rule.ts'
import { type Database, defineRule, transitionEach } from '../resolvers/transition.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 100

/** "No live operation" is read beside the row: another replica may have queued one since, and then the row has moved. */
const queueTeardown = defineRule({
  ...tearDownDeployment,
  name: 'queueTeardown',
  subject: {
    ...tearDownDeployment.subject,
    guard: (found) => unmovedSinceSnapshot(found, tearDownDeployment.subject.table),
  },
})

export const teardownLoop = (db: Database, accepted: () => void): LoopDeclaration => ({
  name: 'teardown',
  everyMs: 60_000,
  deadlineMs: 45_000,
  async pass() {
    const cause = { actor: { kind: 'loop', id: 'teardown' }, requestId: `teardown-${crypto.randomUUID()}` }
    const moved = await transitionEach(db, queueTeardown, cause, batch)
    if (moved.length > 0) accepted()
    return { moved: moved.length }
  },
})
