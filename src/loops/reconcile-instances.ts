// Sees what has died: asks the driver about the very runs that a HEALTHY deployment or stack is known by, and marks it FAILED,
// with the reason, when one is gone. Any doubt, error or time-out leaves everything as it is. Nothing is restarted here.
import type { RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import { type Checkable, takeCheckable } from '../resolvers/deployment-check.ts'
import { giveUpDeployment } from '../resolvers/deployment-rule.ts'
import { type CheckableStack, takeCheckableStacks } from '../resolvers/stack-check.ts'
import { giveUpStack } from '../resolvers/stack-rule.ts'
import { type Database, type Rule, transition } from '../resolvers/transition.ts'
import type { Told } from './count.ts'
import type { LoopDeclaration } from './loop.ts'
import { serviceRef } from './stack-workload.ts'

const batch = 200
const everyMs = 60_000
const itemTimeoutMs = 10_000

type Asked = Pick<RuntimeDriver, 'observeInstance'>
type Verdict = 'moved' | 'unchanged' | 'skipped'
/** Gives up what was captured; false when it is not as it was any more. */
type GiveUp = (rule: unknown, captured: Readonly<Record<string, string | number>>) => Promise<boolean>

export const reconcileInstancesLoop = (db: Database, driver: Asked, told: Told): LoopDeclaration => ({
  name: 'reconcile-instances',
  everyMs,
  deadlineMs: 45_000,
  async pass(signal) {
    const items = { moved: 0, unchanged: 0, skipped: 0 }
    const giveUp: GiveUp = async (rule, values) => {
      const cause = {
        actor: { kind: 'loop', id: 'reconcile-instances' },
        requestId: `reconcile-${crypto.randomUUID()}`,
      }
      const { kind } = await transition(db, rule as Rule, { ...cause, values })
      if (kind === 'moved') told(rule as Rule, 1)
      return kind === 'moved'
    }
    const over = async <T>(take: Take<T>, check: Check<T>) => {
      for (;;) {
        const found = await take(db, everyMs / 2, batch)
        for (const one of found) {
          // What is cut off was taken for this interval, and comes first in the one after the next.
          if (signal.aborted) return
          items[await check(driver, one, AbortSignal.any([signal, AbortSignal.timeout(itemTimeoutMs)]), giveUp)]++
        }
        if (found.length < batch) return
      }
    }
    // Side by side, so that many of the one kind, or slow ones, do not keep the other from its turn.
    const passes = await Promise.allSettled([
      over(takeCheckable, checkDeployment),
      over(takeCheckableStacks, checkStack),
    ])
    for (const pass of passes) if (pass.status === 'rejected') throw pass.reason
    return items
  },
})

type Take<T> = (db: Database, everyMs: number, limit: number) => Promise<T[]>
type Check<T> = (driver: Asked, one: T, signal: AbortSignal, giveUp: GiveUp) => Promise<Verdict>

async function checkDeployment(
  driver: Asked,
  { incarnation, ...captured }: Checkable,
  signal: AbortSignal,
  giveUp: GiveUp,
): Promise<Verdict> {
  const ref = { subjectId: captured.id, incarnation }
  const end = await endOf(driver, ref, captured.instanceId, signal)
  if (end.kind !== 'gone') return end.kind
  return (await giveUp(giveUpDeployment, { ...captured, reason: end.reason })) ? 'moved' : 'unchanged'
}

/** All services of a stack that are gone are told of in one move; doubt about one of them does not hide what is known of others. */
async function checkStack(
  driver: Asked,
  { id, teamId, generation, incarnation, services, placed }: CheckableStack,
  signal: AbortSignal,
  giveUp: GiveUp,
): Promise<Verdict> {
  const known = services.flatMap(({ name }) => {
    const instanceId = placed[name]?.instanceId
    return instanceId ? [{ name, instanceId }] : []
  })
  const ends = await Promise.all(
    known.map(async ({ name, instanceId }) => {
      const end = await endOf(driver, serviceRef({ id, incarnation }, name), instanceId, signal)
      return { name, instanceId, end }
    }),
  )
  const gone = ends.flatMap(({ name, instanceId, end }) =>
    end.kind === 'gone' ? [{ name, instanceId, reason: end.reason }] : [],
  )
  if (gone.length === 0) return ends.some(({ end }) => end.kind === 'skipped') ? 'skipped' : 'unchanged'
  const captured = Object.fromEntries(gone.map(({ name, ...run }) => [name, run]))
  const reason = gone.map((each) => `${each.name}: ${each.reason}`).join('; ')
  const values = { id, teamId, generation, gone: JSON.stringify(captured), reason }
  return (await giveUp(giveUpStack, values)) ? 'moved' : 'unchanged'
}

type End = { readonly kind: 'unchanged' | 'skipped' } | { readonly kind: 'gone'; readonly reason: string }

/** What has become of that very run. */
async function endOf(driver: Asked, ref: WorkloadRef, instanceId: string, signal: AbortSignal): Promise<End> {
  const answer = await within(signal, driver.observeInstance(ref, instanceId, signal))
  if (answer?.state === 'running') return { kind: 'unchanged' }
  return answer?.state === 'gone' ? { kind: 'gone', reason: answer.reason } : { kind: 'skipped' }
}

/** Null for a driver that throws or does not answer in time. */
const within = <T>(signal: AbortSignal, answer: Promise<T>): Promise<T | null> =>
  new Promise((resolve) => {
    answer.then(resolve, () => resolve(null))
    // A signal that was aborted before this is heard of never again.
    if (signal.aborted) resolve(null)
    else signal.addEventListener('abort', () => resolve(null), { once: true })
  })
