// One claim, from the moment it is had until its end is written: when it may no longer be trusted, how drivers are called
// under it, and how its ending is stored. The end is written by guarded swaps on claim and generation, in its own time: a
// signal that was aborted meanwhile never keeps a result from being stored, and a claim that was lost always does.
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseFault } from '../db/fault.ts'
import { type Outcome, unknown } from '../drivers/outcome.ts'
import type { Log } from '../log.ts'
import type { EffectOutcome, Metrics } from '../metrics.ts'
import {
  failOperation,
  markOperationUnknown,
  postponeOperation,
  supersedeOperation,
} from '../resolvers/operation-rule.ts'
import { type Cause, type Database, type Operation, type Rule, transition } from '../resolvers/transition.ts'
import { backoffMs, type Effect, type Ending, type Work } from './effect.ts'

/** How long a claim lasts without renewal; RELIABILITY: the work of a killed process goes on within 15 s. */
export const leaseMs = 10_000
/** The runner lets go this long before the lease ends, counted from when it *sent* its last successful renewal. */
const marginMs = 2_000
/** One call of a driver; a driver that hangs longer has an unknown outcome. */
const callTimeoutMs = 30_000

export interface ClaimTools {
  readonly db: Database
  readonly metrics: Metrics
  readonly log: Log
  readonly workerId: string
}

/** A claim that this process holds. */
export class Claim {
  readonly operation: Operation
  readonly done: Promise<void>
  readonly #effect: Effect
  readonly #tools: ClaimTools
  readonly #lost = new AbortController()
  readonly #leave = new AbortController()
  #expiry: NodeJS.Timeout | undefined

  constructor(effect: Effect, operation: Operation, recovering: boolean, sentAt: number, tools: ClaimTools) {
    this.operation = operation
    this.#effect = effect
    this.#tools = tools
    this.renewed(sentAt)
    this.done = this.#work(recovering).finally(() => clearTimeout(this.#expiry))
  }

  /** The lease holds: it was renewed by a statement sent at `sentAt` (monotonic, ms). */
  renewed(sentAt: number): void {
    clearTimeout(this.#expiry)
    const left = Math.max(0, sentAt + leaseMs - marginMs - performance.now())
    this.#expiry = setTimeout(() => this.lose('the lease could not be renewed'), left)
  }

  /** Somebody else may have the operation: stop at once. */
  lose(reason: string): void {
    this.#lost.abort(new Error(reason))
    this.#leave.abort(new Error(reason))
  }

  /** Leave at the next good point; the end is still written. */
  leave(reason: string): void {
    this.#leave.abort(new Error(reason))
  }

  async #work(recovering: boolean): Promise<void> {
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
      recovering,
      cause,
      fence: {
        operationId: operation.id,
        attempt: operation.attempt,
        subjectId: operation.subjectId,
        generation: operation.generation,
      },
      lost: this.#lost.signal,
      leave: this.#leave.signal,
      call: (run) => this.#call(run),
      pause: async (ms) => {
        await sleep(ms, undefined, { signal: this.#leave.signal }).catch(() => {})
        return !this.#leave.signal.aborted
      },
    }
    let ending: Ending
    try {
      ending = await this.#effect.run(work)
    } catch (error) {
      log.error('an operation was interrupted; it is tried again', { ...facts, error })
      ending = {
        kind: 'postpone',
        outcome: 'interrupted inside Pawl; see the log',
        failed: !(error instanceof DatabaseFault),
      }
    }
    const outcome = 'outcome' in ending ? `${ending.kind}: ${ending.outcome}` : ending.kind
    log.info('operation', { ...facts, outcome })
    await this.#settle(ending, cause)
  }

  async #call<T>(run: (signal: AbortSignal) => Promise<Outcome<T>>): Promise<Outcome<T>> {
    const started = performance.now()
    const signal = AbortSignal.any([this.#lost.signal, AbortSignal.timeout(callTimeoutMs)])
    let outcome: Outcome<T>
    let counted: EffectOutcome | undefined
    try {
      outcome = await Promise.race([run(signal), aborted<T>(signal)])
    } catch (error) {
      this.#tools.log.error('a driver threw instead of answering', {
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
  async #settle(ending: Ending, cause: Cause): Promise<void> {
    for (let failures = 0; !this.#lost.signal.aborted; failures++) {
      try {
        await this.#store(this.#bounded(ending), cause)
        return
      } catch (error) {
        const facts = { operationId: this.operation.id, kind: this.operation.kind, error }
        if (!(error instanceof DatabaseFault)) {
          this.#tools.log.error('the end of an operation could not be stored; its lease will end', facts)
          return
        }
        this.#tools.log.warn('the end of an operation could not be stored yet', facts)
        await sleep(backoffMs(failures), undefined, { signal: this.#lost.signal }).catch(() => {})
      }
    }
  }

  /** Failures that are used up end the operation, where its kind says so. */
  #bounded(ending: Ending): Ending {
    const { maxFailures, giveUp } = this.#effect
    const failed = ending.kind === 'unknown' || (ending.kind === 'postpone' && ending.failed)
    if (!failed || maxFailures === null || !giveUp || this.operation.failures + 1 < maxFailures) return ending
    return giveUp(`gave up after ${maxFailures} failures; the last one: ${ending.outcome}`)
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
    switch (ending.kind) {
      case 'finish': {
        const values = {
          id: operation.subjectId,
          teamId: operation.teamId,
          operationId: operation.id,
          generation: operation.generation,
          claimToken,
          outcome: ending.outcome,
          ...ending.values,
        }
        if (await this.#moves(ending.rule, { ...cause, operationId: operation.id, values })) return
        return this.#store({ kind: 'moved-on' }, cause)
      }
      case 'moved-on': {
        const outcome = this.#leave.signal.aborted ? 'superseded while it ran' : 'superseded'
        if (await this.#moves(supersedeOperation('Deployment') as unknown as Rule, ownCall({ outcome }))) return
        await this.#moves(
          failOperation as unknown as Rule,
          ownCall({ outcome: 'its subject could not take the result any more' }),
        )
        return
      }
      case 'postpone':
        await this.#moves(
          postponeOperation as unknown as Rule,
          ownCall({ afterMs: ending.afterMs ?? back, outcome: ending.outcome, failed: ending.failed ? 1 : 0 }),
        )
        return
      case 'unknown':
        await this.#moves(markOperationUnknown as unknown as Rule, ownCall({ afterMs: back, outcome: ending.outcome }))
        return
    }
  }

  async #moves(rule: Rule, call: Parameters<typeof transition>[2]): Promise<boolean> {
    const { db, metrics } = this.#tools
    const { kind } = await transition(db, rule, call)
    metrics.transition(
      rule.subject.machine.entity,
      rule.subject.action,
      kind === 'moved' ? 'moved' : kind === 'missing' ? 'missing' : 'illegal_state',
    )
    return kind === 'moved'
  }
}

const aborted = <T>(signal: AbortSignal): Promise<Outcome<T>> =>
  new Promise((resolve) => {
    const end = () => resolve(unknown('the call was given up before the driver answered'))
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
