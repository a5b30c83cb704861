// What the dispatcher knows of an effect: how many at once, how often it may fail, and how one claim of it is worked on.
// A runner calls drivers and says how the claim ends; the dispatcher writes that down.
import { type Fence, type Outcome, working } from '../drivers/outcome.ts'
import type { SubjectType } from '../resolvers/operation-rule.ts'
import type { Cause, Operation, Rule } from '../resolvers/transition.ts'

/** One claim of an operation. */
export interface Work {
  readonly operation: Operation
  /** The last claim ended in "unknown", or with its worker: look before anything is done. */
  readonly recovering: boolean
  readonly fence: Fence
  readonly cause: Cause
  /** Aborted when the work should be left at the next good point: superseded, lost, or this process drains. */
  readonly leave: AbortSignal
  /** Calls a driver: timed, counted, bounded; one that throws, hangs or answers what is none is an unknown outcome. */
  call<T>(run: (signal: AbortSignal) => Promise<Outcome<T>>): Promise<Outcome<T>>
  /** Makes a step on the way: the subject and the operation move together; false when either has moved on. */
  move(rule: Rule, values: Readonly<Record<string, string | number | null>>): Promise<boolean>
  /** Waits between two calls; false when the work is to be left instead. */
  pause(ms: number): Promise<boolean>
  /** Whether work that may fail is so old that it ends now, however far it is. */
  overdue(): boolean
}

/** How a claim ends. */
export type Ending =
  /** The subject and the operation move together. */
  | {
      readonly kind: 'finish'
      readonly rule: Rule
      readonly outcome: string
      readonly values?: Readonly<Record<string, string | number | null>>
    }
  /** Tried again later; `failed` counts against the effect's bound. */
  | { readonly kind: 'postpone'; readonly outcome: string; readonly failed: boolean; readonly afterMs?: number }
  /** Nobody knows whether it happened: observed at the next claim. */
  | { readonly kind: 'unknown'; readonly outcome: string; readonly failed: boolean }
  /** The subject has moved on: a newer wish, or nothing left to do. */
  | { readonly kind: 'moved-on' }

/** The subject is not as this claim was for. */
export const movedOn: Ending = { kind: 'moved-on' }
/** A rule of any subject, as endings name it. */
export const rule = (of: unknown) => of as Rule

export interface Effect {
  /** The operation's kind. */
  readonly kind: string
  readonly subjectType: SubjectType
  /** Claims of this kind that one process works on at a time, so that a flood of one kind starves no other. */
  readonly concurrency: number
  /** Failures after which `giveUp` ends it; null: never, it is tried until it is done. */
  readonly maxFailures: number | null
  /** Whether it may end without its effect when it is too old; default: when its failures are bounded. */
  readonly mayFail?: boolean
  run(work: Work): Promise<Ending>
  /** How it ends when its failures are used up. */
  giveUp?(work: Work, outcome: string): Promise<Ending>
}

const firstBackoffMs = 500
const maxBackoffMs = 60_000

/** Exponential, capped, with full jitter: 0 to min(60 s, 0.5 s × 2^failures). */
export const backoffMs = (failures: number, random = Math.random): number =>
  Math.round(random() * Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(failures, 20)))

/** Asks again while the driver is at it, and leaves when the work is to be left. */
export async function untilDone<T>(work: Work, call: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  for (;;) {
    if (work.leave.aborted) return working(0, 'left before the call')
    const outcome = await call()
    if (outcome.kind !== 'working' || !(await work.pause(outcome.askAgainAfterMs))) return outcome
  }
}

/** How a claim ends whose effect must happen: refused is not done, so it is tried until it is. */
export function ended(outcome: Outcome<unknown>, done: Rule, words: string): Ending {
  switch (outcome.kind) {
    case 'done':
      return { kind: 'finish', rule: done, outcome: words }
    case 'working':
      return { kind: 'postpone', outcome: outcome.detail, failed: false, afterMs: outcome.askAgainAfterMs }
    case 'refused':
    case 'unreachable':
    case 'stale':
      return { kind: 'postpone', outcome: detailOf(outcome), failed: true }
    case 'unknown':
      return { kind: 'unknown', outcome: outcome.reason, failed: true }
  }
}

/** What a driver said, for the operation's outcome. */
export const detailOf = (outcome: Exclude<Outcome<never>, { kind: 'done' }>): string =>
  `${outcome.kind}: ${outcome.kind === 'working' ? outcome.detail : outcome.reason}`
