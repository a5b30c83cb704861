// Taking a process down in order: requests first, then work, then the clients that both need. A step that fails is told and
// hinders none of the others.
import type { Log } from './log.ts'

export type Phase = 'requests' | 'work' | 'clients'

/** Ctrl-C reaches the whole process group, and npm hands on what it gets: the same wish, told twice. */
const echoMs = 1_000

export class Shutdown {
  /** Whether it has begun: from then on the process is not ready. */
  begun = false
  #begunAt = 0
  readonly #log: Log
  readonly #steps: { readonly phase: Phase; readonly what: string; end(): Promise<void> }[] = []

  constructor(log: Log) {
    this.#log = log
  }

  /** Adds a step to a phase; within a phase the step that was added last is taken first. */
  add(phase: Phase, what: string, end: () => Promise<void>): void {
    this.#steps.unshift({ phase, what, end })
  }

  /** The first signal ends everything in order and the process with 0; one that comes clearly later ends the process at once. */
  async begin(signal: string): Promise<void> {
    if (this.begun) {
      if (performance.now() - this.#begunAt > echoMs) process.exit(1)
      return
    }
    this.#begunAt = performance.now()
    this.#log.info(`${signal}: shutting down; apps that run go on running, and the next start finds them`)
    await this.run()
    process.exit(0)
  }

  /** Takes everything down; for a start that failed half-way, too. */
  async run(): Promise<void> {
    this.begun = true
    for (const phase of ['requests', 'work', 'clients'] as const) {
      for (const { what, end } of this.#steps.filter((step) => step.phase === phase)) {
        await end().catch((error: unknown) => this.#log.error(`${what} could not be ended in order`, { error }))
      }
    }
  }
}
