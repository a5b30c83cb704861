// Measures what resources hold, where their provisioner can tell, and suspends or releases those that are over or clearly
// under their limit. Any doubt leaves a resource as it is.
import type { Provisioner } from '../drivers/provision/driver.ts'
import { judgeSize, type Measurable, takeMeasurable } from '../resolvers/resource-size.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 100
const everyMs = 300_000
const itemTimeoutMs = 10_000

export const measureLoop = (
  db: Database,
  provisioners: (type: Measurable['type']) => Provisioner,
  told: Told,
): LoopDeclaration => ({
  name: 'measure',
  everyMs,
  deadlineMs: 120_000,
  async pass(signal) {
    const items = { moved: 0, unchanged: 0, skipped: 0 }
    for (const found of await takeMeasurable(db, everyMs / 2, batch)) {
      if (signal.aborted) break
      const ref = { subjectId: found.id, incarnation: found.incarnation }
      const limited = AbortSignal.any([signal, AbortSignal.timeout(itemTimeoutMs)])
      const seen = await provisioners(found.type).observe(ref, limited)
      if (seen.kind !== 'done' || seen.value.state === 'absent' || seen.value.sizeBytes === null) {
        items.skipped++
        continue
      }
      const cause = { actor: { kind: 'loop', id: 'measure' }, requestId: `measure-${crypto.randomUUID()}` }
      const moved = await judgeSize(db, found, seen.value.sizeBytes, cause)
      if (moved) told(moved, 1)
      items[moved ? 'moved' : 'unchanged']++
    }
    return items
  },
})
