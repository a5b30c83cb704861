// Asks about runs through a window that slides: so many questions are under way at once, each for a bounded time, and what is
// answered makes room for the next at once. One that hangs leaves its place after a second, so that a host that hangs does not
// hold up all others; how many may hang at once is bounded, too.
import type { InstanceObservation, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import type { Askable } from '../resolvers/instance-check.ts'

/** A question is a few files and one request to the workload, so that many are open at once without harm. */
const atOnce = 256
const itemTimeoutMs = 10_000
/** Who has not answered by then hangs, most likely, and is waited for outside the window. */
const patienceMs = 1_000
/**
 * With 10 s for each, so many bear some 5,000 that hang in a cycle. Kept in the window, 1,100 of them would fill it for all of
 * that time: where a third of one host in ten hangs, a fleet of 100,000 was then not asked through in its interval.
 */
const hangingAtOnce = 1_024

export interface Asking {
  readonly driver: Pick<RuntimeDriver, 'observeInstance'>
  /** Cuts the pass off: nothing more is asked, and what was asked has no answer. */
  readonly signal: AbortSignal
  /** The next ones; none when there are no more. */
  take(): Promise<readonly Askable[]>
  /** Null for a driver that throws or does not answer in time. */
  answered(one: Askable, answer: InstanceObservation | null): Promise<void>
  /** Those that were taken and not asked about any more. */
  unasked(left: readonly Askable[]): void
}

/** Asks about all that can be taken, in their order, until there are no more or the pass is cut off. */
export async function askEach({ driver, signal, take, answered, unasked }: Asking): Promise<void> {
  const taken: Askable[] = []
  let filling: Promise<void> | undefined
  let isEmpty = false

  async function fill(): Promise<void> {
    const more = await take()
    isEmpty = more.length === 0
    taken.push(...more)
    filling = undefined
  }
  async function next(): Promise<Askable | undefined> {
    while (!signal.aborted) {
      // In good time, so that the window does not stand still meanwhile.
      if (taken.length < atOnce / 2 && !isEmpty) filling ??= fill()
      if (taken.length > 0 || !filling) return taken.shift()
      await filling
    }
    return undefined
  }
  const hanging = new Set<Promise<void>>()
  async function place(): Promise<void> {
    for (let one = await next(); one; one = await next()) {
      const { subjectId, incarnation, instanceId } = one
      const answer = ask(driver, { subjectId, incarnation }, instanceId, signal)
      const settled = answer.then((said) => answered(one, said))
      if ((await isWithin(patienceMs, answer)) || hanging.size >= hangingAtOnce) await settled
      else {
        hanging.add(settled)
        void settled.finally(() => hanging.delete(settled))
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, place))
  await Promise.all(hanging)
  unasked(taken)
}

/** Whether it is settled by then. */
async function isWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<false>()
  const timer = setTimeout(() => late.resolve(false), ms)
  return await Promise.race([promise.then(() => true), late.promise]).finally(() => clearTimeout(timer))
}

/** What has become of that very run; null when nobody has said so in time. */
async function ask(
  driver: Asking['driver'],
  ref: WorkloadRef,
  instanceId: string,
  cycle: AbortSignal,
): Promise<InstanceObservation | null> {
  const cut = new AbortController()
  const signal = AbortSignal.any([cycle, cut.signal])
  const timer = setTimeout(() => cut.abort(), itemTimeoutMs)
  const late = Promise.withResolvers<null>()
  const end = () => late.resolve(null)
  if (signal.aborted) end()
  else signal.addEventListener('abort', end, { once: true })
  try {
    return await Promise.race([driver.observeInstance(ref, instanceId, signal), late.promise])
  } catch {
    return null
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', end)
  }
}
