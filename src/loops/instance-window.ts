// Asks about runs through a window that slides: so many questions are under way at once, each for a bounded time, and what is
// answered makes room for the next at once. One that hangs takes its place in the window and holds up nobody else.
import type { InstanceObservation, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import type { Askable } from '../resolvers/instance-check.ts'

/**
 * With 10 s for one that hangs, 256 places bear some 1,100 of them in a cycle of 45 s and all the others besides; a question
 * is a few files and one request to the workload, so that many are open at once without harm.
 */
const atOnce = 256
const itemTimeoutMs = 10_000

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
    while (taken.length === 0 && !isEmpty && !signal.aborted) {
      filling ??= fill()
      await filling
    }
    return signal.aborted ? undefined : taken.shift()
  }
  async function place(): Promise<void> {
    for (let one = await next(); one; one = await next()) {
      const { subjectId, incarnation, instanceId } = one
      await answered(one, await ask(driver, { subjectId, incarnation }, instanceId, signal))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, place))
  unasked(taken)
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
