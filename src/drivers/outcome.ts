// What a driver may answer. Drivers answer with outcomes, never with exceptions: each one has a rule in
// the dispatcher, so a new outcome cannot be added without saying what follows from it.

/** The right under which an effect is carried out. A driver checks it where the effect happens. */
export interface Fence {
  /** The accepted operation; an effect asked for again under the same id is the same effect. */
  readonly operationId: string
  /** Counts claims of the operation, from 1. A lower attempt than one already seen is stale. */
  readonly attempt: number
  readonly subjectId: string
  /** The subject's generation that asked for it. A lower one than one already seen is stale. */
  readonly generation: number
}

/** The effect is there, now; `value` is what is known of it. */
export interface Done<T> {
  readonly kind: 'done'
  readonly value: T
}
/** Under way: ask again, with the same fence, after that many milliseconds. */
export interface Working {
  readonly kind: 'working'
  readonly askAgainAfterMs: number
  readonly detail: string
}
/** It will not happen, whoever asks again: `reason` is one sentence for the user. */
export interface Refused {
  readonly kind: 'refused'
  readonly reason: string
}
/** The fence is older than one already seen: nothing was done. */
export interface Stale {
  readonly kind: 'stale'
  readonly reason: string
}
/** Not done, because the provider could not be reached: safe to try again. */
export interface Unreachable {
  readonly kind: 'unreachable'
  readonly reason: string
}
/** It may or may not have been done: observe before anything else is tried. */
export interface Unknown {
  readonly kind: 'unknown'
  readonly reason: string
}

export type Outcome<T> = Done<T> | Working | Refused | Stale | Unreachable | Unknown

export const done = <T>(value: T): Done<T> => ({ kind: 'done', value })
export const working = (askAgainAfterMs: number, detail: string): Working => ({
  kind: 'working',
  askAgainAfterMs,
  detail,
})
export const refused = (reason: string): Refused => ({ kind: 'refused', reason })
export const stale = (reason: string): Stale => ({ kind: 'stale', reason })
export const unreachable = (reason: string): Unreachable => ({ kind: 'unreachable', reason })
export const unknown = (reason: string): Unknown => ({ kind: 'unknown', reason })
