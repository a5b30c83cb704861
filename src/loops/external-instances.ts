// A part of the pass of reconcile-instances: EXTERNAL instances that are not heard of any more go OFFLINE, and leave when that
// lasts or what they are part of has ended. Nobody is asked anything: the clock of the database and the rows decide.
import { offlineSilentInstance, removeLeftInstance, removeLostInstance } from '../resolvers/instance-external-rule.ts'
import { type Cause, type Database, type Rule, transitionEach } from '../resolvers/transition.ts'
import type { Told } from './count.ts'

const batch = 200
const rules = [offlineSilentInstance, removeLostInstance, removeLeftInstance] as unknown as Rule[]

/** Settles what is due, batch after batch while time is left; returns how many moved. Throws the first fault once all were tried. */
export async function settleExternal(db: Database, told: Told, signal: AbortSignal): Promise<number> {
  const cause: Cause = {
    actor: { kind: 'loop', id: 'reconcile-instances' },
    requestId: `reconcile-${crypto.randomUUID()}`,
  }
  // One after the other: of all, a row is moved by the first.
  const faults: unknown[] = []
  let total = 0
  for (const rule of rules) {
    try {
      for (let more = true; more && !signal.aborted; ) {
        const { length } = await transitionEach(db, rule, cause, batch)
        if (length > 0) told(rule, length)
        total += length
        more = length === batch
      }
    } catch (error) {
      faults.push(error)
    }
  }
  if (faults.length > 0) throw faults[0]
  return total
}
