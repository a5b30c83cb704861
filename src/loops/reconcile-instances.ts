// Sees what has died: asks the driver about the very run that a HEALTHY deployment is known by, and marks it FAILED, with the
// reason, when that run is gone. Any doubt, error or time-out leaves everything as it is. Nothing is restarted here.
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import { type Checkable, takeCheckable } from '../resolvers/deployment-check.ts'
import { giveUpDeployment } from '../resolvers/deployment-rule.ts'
import { type Database, type Rule, transition } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'

const batch = 200
const everyMs = 60_000
const itemTimeoutMs = 10_000

export const reconcileInstancesLoop = (
  db: Database,
  driver: Pick<RuntimeDriver, 'observe' | 'observeInstance'>,
  told: Told,
): LoopDeclaration => ({
  name: 'reconcile-instances',
  everyMs,
  deadlineMs: 45_000,
  async pass(signal) {
    const items = { moved: 0, unchanged: 0, skipped: 0 }
    for (;;) {
      const found = await takeCheckable(db, everyMs / 2, batch)
      for (const one of found) {
        // What is cut off was taken for this interval, and comes first in the one after the next.
        if (signal.aborted) return items
        items[await check(db, driver, one, AbortSignal.any([signal, AbortSignal.timeout(itemTimeoutMs)]), told)]++
      }
      if (found.length < batch) return items
    }
  },
})

async function check(
  db: Database,
  driver: Pick<RuntimeDriver, 'observe' | 'observeInstance'>,
  { incarnation, ...captured }: Checkable,
  signal: AbortSignal,
  told: Told,
): Promise<'moved' | 'unchanged' | 'skipped'> {
  const ref = { subjectId: captured.id, incarnation }
  const answer = await within(signal, driver.observeInstance(ref, captured.instanceId, signal))
  if (answer === 'running') return 'unchanged'
  if (answer !== 'gone') return 'skipped'
  const seen = await within(signal, driver.observe(ref, signal))
  const exited = seen?.kind === 'done' && seen.value.state === 'exited' ? seen.value : null
  const reason = exited?.instanceId === captured.instanceId ? exited.reason : 'the app is gone'
  const cause = { actor: { kind: 'loop', id: 'reconcile-instances' }, requestId: `reconcile-${crypto.randomUUID()}` }
  const { kind } = await transition(db, giveUpDeployment, { ...cause, values: { ...captured, reason } })
  if (kind !== 'moved') return 'unchanged'
  told(giveUpDeployment as unknown as Rule, 1)
  return 'moved'
}

/** Null for a driver that throws or does not answer in time. */
const within = <T>(signal: AbortSignal, answer: Promise<T>): Promise<T | null> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true })
    answer.then(resolve, () => resolve(null))
  })
