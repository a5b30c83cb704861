// Measures what resources hold, where their provisioner can tell, and suspends or releases those that are over or clearly
// under their limit. Any doubt leaves a resource as it is, and one that cannot be measured hinders no other.
import { type Outcome, unknown } from '../drivers/outcome.ts'
import type { Provisioner } from '../drivers/provision/driver.ts'
import { judgeSize, type Measurable, takeMeasurable } from '../resolvers/resource-size.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'

/** Taken and asked about at once: what the deadline cuts off was not taken, and is first in the next pass. */
const atOnce = 8
const everyMs = 300_000
const itemTimeoutMs = 10_000

export const measureLoop = (
  db: Database,
  provisioners: (type: Measurable['type']) => Provisioner,
  told: Told,
): LoopDeclaration => {
  async function measure(found: Measurable, signal: AbortSignal): Promise<'moved' | 'unchanged' | 'skipped'> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(itemTimeoutMs)])
    const ref = { subjectId: found.id, incarnation: found.incarnation }
    const seen = await Promise.race([provisioners(found.type).observe(ref, limited), cutOff(limited)])
    if (seen.kind !== 'done' || seen.value.state === 'absent' || seen.value.sizeBytes === null) return 'skipped'
    const cause = { actor: { kind: 'loop', id: 'measure' }, requestId: `measure-${crypto.randomUUID()}` }
    const moved = await judgeSize(db, found, seen.value.sizeBytes, cause)
    if (moved) told(moved, 1)
    return moved ? 'moved' : 'unchanged'
  }
  return {
    name: 'measure',
    everyMs,
    deadlineMs: 120_000,
    async pass(signal) {
      const items = { moved: 0, unchanged: 0, skipped: 0 }
      const errors: unknown[] = []
      while (!signal.aborted) {
        const taken = await takeMeasurable(db, everyMs / 2, atOnce)
        for (const one of await Promise.allSettled(taken.map((found) => measure(found, signal)))) {
          if (one.status === 'fulfilled') items[one.value]++
          else errors.push(one.reason)
        }
        if (taken.length < atOnce) break
      }
      if (errors.length > 0) throw errors[0]
      return items
    },
  }
}

/** A provisioner that does not hear the signal is not waited for. */
const cutOff = (signal: AbortSignal): Promise<Outcome<never>> =>
  new Promise((resolve) => {
    const end = () => resolve(unknown('the look was given up before the provisioner answered'))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
