// One claim, from the moment it is had until its end is written: when it may no longer be trusted, how drivers are called
// under it, and how its ending is stored. The end is written by guarded swaps on claim and generation, in its own time: a
// signal that was aborted meanwhile never keeps a result from being stored, and a claim that was lost always does.
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseFault } from '../db/fault.ts'
import { type Outcome, unknown, unreachable } from '../drivers/outcome.ts'
import type { Log } from '../log.ts'
import type { EffectOutcome, Metrics } from '../metrics.ts'
import {
  failOperation,
  markOperationUnknown,
  postponeOperation,
  supersedeOperation,
} from '../resolvers/operation-rule.ts'
import { type Cause, type Database, type Operation, type Rule, transition } from '../resolvers/transition.ts'
import { countMoves } from './count.ts'
import { backoffMs, type Effect, type Ending, type Work } from './effect.ts'

/** How long things may take, in ms; tests shorten them. */
export const timing = {
  /** How long a claim lasts without renewal; RELIABILITY: the work of a killed process goes on within 15 s. */
  leaseMs: 10_000,
  /** The runner lets go this long before the lease ends, counted from when it *sent* its last successful renewal. */
  marginMs: 2_000,
  renewEveryMs: 2_000,
  /** One call of a driver; a driver that hangs longer has an unknown outcome. */
  callTimeoutMs: 30_000,
  /** Work that may fail is given up when it is that old, however often a driver says that it is at it. */
  giveUpAfterMs: 3_600_000,
  /** But each claim of it has so long: what had waited for a worker is tried before it is given up. */
  tryForMs: 120_000,
  pollMs: 1_000,
}
export type Timing = Readonly<typeof timing>

export interface ClaimTools {
  readonly db: Database
  readonly metrics: Metrics
  readonly log: Log
  readonly workerId: string
  readonly timing: Timing
}

/** Whatever else a driver says is no answer: a typo or a newer driver must not pass for success. */
const known: Readonly<Record<Outcome<never>['kind'], true>> = {
  done: true,
  working: true,
  refused: true,
  stale: true,
  unreachable: true,
  unknown: true,
}
/** Of what a driver says, what the database can store. */
const maxOutcomeLength = 2_000
/** A text of a driver, as the database can hold it. */
export const storable = (text: string) => text.replaceAll('\0', '').slice(0, maxOutcomeLength).toWellFormed()

type Values = Readonly<Record<string, string | number | null>>

/** A claim that this process holds. */
export class Claim {
  readonly operation: Operation
  readonly done: Promise<void>
  readonly #effect: Effect
  readonly #tools: ClaimTools
  readonly #recovering: boolean
  readonly #lost = new AbortController()
  readonly #cut = new AbortController()
  readonly #leave = new AbortController()
  #provenAt = Number.NEGATIVE_INFINITY
  #expiry: NodeJS.Timeout | undefined
  /** When the work is too old (monotonic, ms), and until when it may ask again. */
  readonly #overdueAt: number
  #pauseUntil: number

  constructor(effect: Effect, operation: Operation, recovering: boolean, sentAt: number, tools: ClaimTools) {
    this.operation = operation
    this.#effect = effect
    this.#tools = tools
    this.#recovering = recovering
    this.renewed(sentAt)
    const { leaseMs, giveUpAfterMs, tryForMs } = tools.timing
    // All by the database's clock: the lease was counted from the moment of the claim.
    const ageMs = operation.dueAt.getTime() - leaseMs - operation.createdAt.getTime()
    const mayFail = effect.mayFail ?? effect.maxFailures !== null
    this.#overdueAt = mayFail ? sentAt + Math.max(giveUpAfterMs - ageMs, tryForMs) : Number.POSITIVE_INFINITY
    this.#pauseUntil = this.#overdueAt
    this.done = this.#work().finally(() => clearTimeout(this.#expiry))
  }

  get isLost(): boolean {
    return this.#lost.signal.aborted
  }

  /** The lease holds: it was renewed by a statement sent at `sentAt` (monotonic, ms). Answers may come in any order. */
  renewed(sentAt: number): void {
    if (sentAt <= this.#provenAt) return
    this.#provenAt = sentAt
    clearTimeout(this.#expiry)
    const { leaseMs, marginMs } = this.#tools.timing
    const left = Math.max(0, sentAt + leaseMs - marginMs - performance.now())
    this.#expiry = setTimeout(() => this.lose('the lease could not be renewed'), left)
  }

  /** Somebody else may have the operation: stop at once, write nothing. */
  lose(reason: string): void {
    this.#lost.abort(new Error(reason))
    this.cut(reason)
  }

  /** Stop at once; what has become of a call under way is unknown, and is written down so. */
  cut(reason: string): void {
    this.#cut.abort(new Error(reason))
    this.leave(reason)
  }

  /** Leave at the next good point; the end is still written. */
  leave(reason: string): void {
    this.#leave.abort(new Error(reason))
  }

  async #work(): Promise<void> {
    const { operation } = this
    const { log } = this.#tools
    const cause: Cause = { actor: { kind: 'runner', id: this.#tools.workerId }, requestId: operation.requestId }
    const facts = {
      operationId: operation.id,
      kind: operation.kind,
      subjectId: operation.subjectId,
      generation: operation.generation,
      attempt: operation.attempt,
    }
    const work: Work = {
      operation,
      recovering: this.#recovering,
      cause,
      fence: {
        operationId: operation.id,
        attempt: operation.attempt,
        subjectId: operation.subjectId,
        generation: operation.generation,
      },
      leave: this.#leave.signal,
      call: (run) => this.#call(run),
      move: (rule, values) => this.#movesBoth(rule, cause, values),
      pause: async (ms) => {
        const leftMs = Math.max(0, this.#pauseUntil - performance.now())
        await sleep(Math.min(ms, leftMs), undefined, { signal: this.#leave.signal }).catch(() => {})
        return !this.#leave.signal.aborted && performance.now() < this.#pauseUntil
      },
      overdue: () => performance.now() >= this.#overdueAt,
    }
    let ending: Ending
    try {
      ending = (await this.#usedUp(work)) ?? (await this.#effect.run(work))
      ending = await this.#bounded(work, ending)
    } catch (error) {
      log.error('an operation was interrupted; it is tried again', { ...facts, error })
      const failed = !(error instanceof DatabaseFault)
      // What was unknown stays unknown.
      const kind = this.#recovering ? 'unknown' : 'postpone'
      ending = { kind, outcome: 'interrupted inside Pawl; see the log', failed }
    }
    const outcome = 'outcome' in ending ? `${ending.kind}: ${ending.outcome}` : ending.kind
    log.info('operation', { ...facts, outcome })
    await this.#settle(ending, cause)
  }

  async #call<T>(run: (signal: AbortSignal) => Promise<Outcome<T>>): Promise<Outcome<T>> {
    if (this.#cut.signal.aborted) return unreachable('the work was cut off before the call')
    const started = performance.now()
    const signal = AbortSignal.any([this.#cut.signal, AbortSignal.timeout(this.#tools.timing.callTimeoutMs)])
    let outcome: Outcome<T>
    let counted: EffectOutcome | undefined
    try {
      outcome = await Promise.race([run(signal), aborted<T>(signal)])
      if (!Object.hasOwn(known, outcome.kind)) throw new TypeError('the answer is none that is known')
    } catch (error) {
      this.#tools.log.error('a driver gave no answer', {
        kind: this.operation.kind,
        operationId: this.operation.id,
        error,
      })
      outcome = unknown('the driver failed without an answer')
      counted = 'fault'
    }
    this.#tools.metrics.effect(this.operation.kind, counted ?? outcome.kind, performance.now() - started)
    return outcome
  }

  /** Stores the ending, again and again while the database is away and the claim still holds. */
  async #settle(given: Ending, cause: Cause): Promise<void> {
    let ending = given
    for (let failures = 0; !this.#lost.signal.aborted; failures++) {
      try {
        await this.#store(ending, cause)
        return
      } catch (error) {
        const facts = { operationId: this.operation.id, kind: this.operation.kind, error }
        if (error instanceof DatabaseFault && error.retryAfterMs !== undefined) {
          this.#tools.log.warn('the end of an operation could not be stored yet', facts)
          await sleep(backoffMs(failures), undefined, { signal: this.#lost.signal }).catch(() => {})
          continue
        }
        this.#tools.log.error('the end of an operation cannot be stored as it is', facts)
        if (ending.kind !== 'finish') return
        ending = { kind: 'unknown', outcome: 'its end could not be stored; see the log', failed: true }
      }
    }
  }

  /** Failures that are used up, or its age, end the operation, where its kind says so. */
  async #bounded(work: Work, ending: Ending): Promise<Ending> {
    if (ending.kind !== 'unknown' && ending.kind !== 'postpone') return ending
    if (work.overdue() && !this.#leave.signal.aborted) {
      const { callTimeoutMs, giveUpAfterMs } = this.#tools.timing
      this.#pauseUntil = performance.now() + callTimeoutMs
      const last = `gave up after ${giveUpAfterMs / 60_000} minutes; the last answer: ${ending.outcome}`
      return (await this.#effect.giveUp?.(work, last)) ?? ending
    }
    return (ending.failed && (await this.#usedUp(work, 1, ending.outcome))) || ending
  }

  /** Counts workers that died at it too: what kills each of its workers is not tried for ever. */
  async #usedUp(work: Work, more = 0, last = 'its worker died'): Promise<Ending | undefined> {
    const { maxFailures, giveUp } = this.#effect
    if (maxFailures === null || this.operation.failures + more < maxFailures) return undefined
    return giveUp?.(work, `gave up after ${maxFailures} failures; the last one: ${last}`)
  }

  async #store(ending: Ending, cause: Cause): Promise<void> {
    const { operation } = this
    const claimToken = String(operation.claimToken)
    const ownCall = (values: Record<string, string | number | null>) => ({
      ...cause,
      operationId: operation.id,
      values: { id: operation.id, claimToken, ...values },
    })
    const back = backoffMs(operation.failures)
    const said = 'outcome' in ending ? storable(ending.outcome) : ''
    switch (ending.kind) {
      case 'finish': {
        if (await this.#movesBoth(ending.rule, cause, { outcome: said, ...ending.values })) return
        return this.#store({ kind: 'moved-on' }, cause)
      }
      case 'moved-on': {
        const outcome = this.#leave.signal.aborted ? 'superseded while it ran' : 'superseded'
        const superseded = supersedeOperation(this.#effect.subjectType) as unknown as Rule
        if (await this.#moves(superseded, ownCall({ outcome }))) return
        await this.#moves(
          failOperation as unknown as Rule,
          ownCall({ outcome: 'its subject could not take the result any more' }),
        )
        return
      }
      case 'postpone': {
        // What was left is for somebody else to go on with, at once.
        const waitMs = this.#leave.signal.aborted ? 0 : (ending.afterMs ?? back)
        await this.#moves(
          postponeOperation as unknown as Rule,
          ownCall({ afterMs: ending.failed ? back : waitMs, outcome: said, failed: ending.failed ? 1 : 0 }),
        )
        return
      }
      case 'unknown':
        await this.#moves(
          markOperationUnknown as unknown as Rule,
          ownCall({ afterMs: back, outcome: said, failed: ending.failed ? 1 : 0 }),
        )
        return
    }
  }

  /** The subject at the operation's generation, and the operation under this claim. */
  #movesBoth(rule: Rule, cause: Cause, more: Values): Promise<boolean> {
    const { id: operationId, subjectId: id, teamId, generation, claimToken } = this.operation
    return this.#moves(rule, { ...cause, operationId, values: { id, teamId, generation, claimToken, ...more } })
  }

  async #moves(rule: Rule, call: Parameters<typeof transition>[2]): Promise<boolean> {
    const { db, metrics } = this.#tools
    const answer = await transition(db, rule, call)
    const { kind } = answer
    const { machine, action } = rule.subject
    if (answer.kind === 'moved') countMoves(metrics, rule, 1, answer.along)
    else metrics.transition(machine.entity, action, kind === 'missing' ? 'missing' : 'illegal_state')
    return kind === 'moved'
  }
}

const aborted = <T>(signal: AbortSignal): Promise<Outcome<T>> =>
  new Promise((resolve) => {
    const end = () => resolve(unknown('the call was given up before the driver answered'))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
