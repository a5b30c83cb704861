// The frame of every loop: a pass without input, run by a jittered timer and by nudges alike, one at a time in a process,
// bounded by a deadline. A pass that fails is counted and told, and hinders neither the next pass nor other loops.
import type { Log } from '../log.ts'
import type { ItemOutcome, Loop as LoopName, Metrics } from '../metrics.ts'

export interface LoopDeclaration {
  readonly name: LoopName
  /** How often the timer runs it, give or take a tenth. */
  readonly everyMs: number
  /** Shorter than the interval: what it cuts off is first in the next pass. */
  readonly deadlineMs: number
  /** One pass; returns how many items ended how. `signal` is aborted at the deadline and when the loop is stopped. */
  pass(signal: AbortSignal): Promise<Readonly<Partial<Record<ItemOutcome, number>>>>
}

export interface Loop {
  /** Asks for a pass now; while one runs, for one more after it. */
  nudge(): void
  /** Runs no further pass; waits for the one that runs. */
  stop(): Promise<void>
}

/** Starts a loop with a first pass right away. */
export function startLoop(loop: LoopDeclaration, { metrics, log }: { metrics: Metrics; log: Log }): Loop {
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let again = false

  const wait = () => {
    clearTimeout(timer)
    if (stopping.signal.aborted) return
    timer = setTimeout(run, loop.everyMs * (0.9 + Math.random() * 0.2))
  }
  const run = () => {
    if (stopping.signal.aborted) return
    if (running) {
      again = true
      return
    }
    clearTimeout(timer)
    running = onePass(loop, stopping.signal, { metrics, log }).finally(() => {
      running = undefined
      if (again) {
        again = false
        setImmediate(run)
      } else wait()
    })
  }
  run()
  return {
    nudge: run,
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await running
    },
  }
}

async function onePass(
  loop: LoopDeclaration,
  stopped: AbortSignal,
  { metrics, log }: { metrics: Metrics; log: Log },
): Promise<void> {
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(loop.deadlineMs)])
  try {
    const items = await loop.pass(signal)
    for (const [outcome, count] of Object.entries(items)) metrics.loopItems(loop.name, outcome as ItemOutcome, count)
    metrics.loopRun(loop.name, signal.aborted ? 'cut_off' : 'done')
  } catch (error) {
    metrics.loopRun(loop.name, 'failed')
    if (stopped.aborted) return
    log.error('a pass of the loop failed; the next one tries again', { loop: loop.name, error })
  }
}
