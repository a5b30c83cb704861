// Whom credentials stood for a moment ago, so that who asks often is not looked up each time, and who asks many things at
// once is looked up once. Kept is a hash of the credential and the actor, never the credential; only answers that let
// somebody in, for a second from when they were asked for. Pure: the clock is given. docs/decisions/0022
import { hash } from 'node:crypto'
import type { Actor } from './auth.ts'

/** How long an answer may be used, in ms: as late as that a replica hears of a token that another one has revoked. */
const usualMaxAgeMs = 1_000
/** Answers that are kept at most, the oldest go first. Some 5 MB. */
const usualMaxCallers = 5_000

export interface CallerMemoryOptions {
  readonly maxAgeMs?: number
  readonly maxCallers?: number
  /** A clock in ms that never goes back. */
  readonly nowMs?: () => number
}

export interface CallerMemory {
  /** The actor behind a credential: as `ask` says, or has said to others who came within `maxAgeMs`; then it is `remembered`. */
  recall(credential: string, ask: () => Promise<Actor | null>): Promise<Actor | null>
  /** To be called when it may have changed what callers may do. What is being asked by then is not kept, nor told to anybody else. */
  forget(): void
  readonly size: number
}

interface Answer {
  readonly actor: Promise<Actor | null>
  /** Until when it may be used: counted from before it was asked for, so that what it says is no older. */
  until: number
}

/** Makes one that knows nobody. */
export function createCallerMemory({
  maxAgeMs = usualMaxAgeMs,
  maxCallers = usualMaxCallers,
  nowMs = () => performance.now(),
}: CallerMemoryOptions = {}): CallerMemory {
  /** In the order in which they were asked for. */
  const answers = new Map<string, Answer>()

  return {
    async recall(credential, ask) {
      const key = hash('sha256', credential, 'base64')
      const now = nowMs()
      const known = answers.get(key)
      if (known && now < known.until) {
        const actor = await known.actor
        return actor && { ...actor, remembered: true }
      }
      const answer: Answer = { actor: ask(), until: now + maxAgeMs }
      answers.delete(key)
      answers.set(key, answer)
      const [oldest] = answers.keys()
      if (answers.size > maxCallers && oldest !== undefined) answers.delete(oldest)
      const actor = await answer.actor.catch((error: unknown) => {
        if (answers.get(key) === answer) answers.delete(key)
        throw error
      })
      answer.until = Math.min(answer.until, now + keptMs(actor))
      if (answer.until <= now && answers.get(key) === answer) answers.delete(key)
      return actor
    },
    forget: () => answers.clear(),
    get size() {
      return answers.size
    },
  }
}

/**
 * Nobody is kept who was not let in: whoever tries credentials fills nothing. Nor who is a member of nothing yet, which one
 * call changes; nor anybody for longer than its credential is good.
 */
function keptMs(actor: Actor | null): number {
  if (actor === null || actor.memberId === null) return 0
  return actor.goodUntil ? actor.goodUntil.getTime() - Date.now() : Number.POSITIVE_INFINITY
}
