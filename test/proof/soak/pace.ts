// The only clock of a soak: it goes on for a time that is asked for, its callers think in between, and its faults come when the
// seed says. Whatever waits for something to become true asks again, up to a deadline.
import { setTimeout as after } from 'node:timers/promises'

/** Resolves after that many ms, or as soon as the signal is aborted. */
export const pause = (waitMs: number, signal?: AbortSignal): Promise<void> =>
  after(waitMs, undefined, signal ? { signal } : {}).catch(() => {})

/** Asks again and again until the answer is empty; after `withinMs` it gives the last answer. */
export async function untilEmpty<T>(ask: () => Promise<readonly T[]>, withinMs: number): Promise<readonly T[]> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const left = await ask()
    if (left.length === 0 || performance.now() > deadline) return left
    await pause(250)
  }
}
