// The fake driver: the contract of a runtime without a runtime, for race tests and fault injection. It keeps the
// fence as the real ones do, writes down every call with its effects, and does what its script orders.
import { setTimeout as delay } from 'node:timers/promises'
import { type Outcome, refused, unknown, unreachable } from '../outcome.ts'
import type {
  Observation,
  OwnedWorkload,
  RunningWorkload,
  RuntimeDriver,
  WorkloadAddress,
  WorkloadRef,
} from './driver.ts'
import { createScript, type FakeCall, type FakeScript } from './fake-script.ts'
import { type FakeEffect, type FakeRun, FakeWorld, type FakeWorldOptions } from './fake-world.ts'

/** One call that has been answered, or whose effect has been carried out; in the order in which effects happened. */
export interface FakeLogEntry extends FakeCall {
  readonly at: Date
  /** What the call changed, in order; empty for most. */
  readonly effects: readonly { readonly effect: FakeEffect; readonly instanceId: string | null }[]
  /** The outcome's kind, or what `observeInstance` said; `thrown` for that fault. */
  readonly result: string
}

export interface FakeDriver extends RuntimeDriver, FakeScript {
  /** Every call so far, of all drivers that share the world. */
  log(): readonly FakeLogEntry[]
  /** The living run of a workload, as a look at the machine would show it. */
  liveRun(ref: WorkloadRef): FakeRun | null
  liveRuns(): readonly (WorkloadRef & { readonly run: FakeRun })[]
  /** Whether an address is held for the workload. */
  isReserved(ref: WorkloadRef): boolean
  /** Ends the run from outside, as a crash would. */
  crash(ref: WorkloadRef, reason?: string): void
  /** Another driver on the same world with a script of its own: another replica, or the same one restarted. */
  another(): FakeDriver
}

export interface FakeDriverOptions extends FakeWorldOptions {
  /** Called before each call acts and after it has acted: a scheduler that parks every call hangs in here. */
  readonly onCall?: (when: 'before' | 'after', call: FakeCall) => void | Promise<void>
}

interface Shared {
  readonly world: FakeWorld
  readonly log: FakeLogEntry[]
  readonly options: FakeDriverOptions
}

/** Makes a fake driver on an empty world. */
export function createFakeDriver(options: FakeDriverOptions = {}): FakeDriver {
  return onWorld({ world: new FakeWorld(options), log: [], options })
}

function onWorld(shared: Shared): FakeDriver {
  const { world, log } = shared
  const script = createScript()

  /** Waits, answers or acts as ordered; `act` runs at one moment, with nothing between it and its log entry. */
  async function run<R>(call: FakeCall, signal: AbortSignal, act: () => R, answers: Answers<R>): Promise<R> {
    const note = (result: string): void => {
      log.push({ ...call, at: new Date(), effects: world.takeEffects(), result })
    }
    const answer = (value: R): R => {
      note(answers.told(value))
      return value
    }
    await shared.options.onCall?.('before', call)
    const deaf = await script.pass('before', call)
    if (signal.aborted && !deaf) return answer(answers.outcome(unreachable('Given up before anything was done')))
    const fault = script.takeFault(call)
    if (fault?.kind === 'throw') {
      note('thrown')
      throw new Error('The fake driver was told to throw')
    }
    if (fault?.kind === 'unreachable') return answer(answers.outcome(unreachable('The fake runtime is unreachable')))
    if (fault?.kind === 'refuse') return answer(answers.outcome(refused(fault.reason)))
    if (fault?.kind === 'lieAbsent' && answers.absent !== undefined) return answer(answers.absent)
    if (fault?.kind === 'alreadyGone' && call.ref !== null) world.crash(call.ref, 'The app was lost without a trace')
    if (fault?.kind === 'slow') {
      const slept = await delay(fault.delayMs, true, { signal }).catch(() => false)
      if (!slept) return answer(answers.outcome(unreachable('Given up before anything was done')))
    }
    const unanswered = fault?.kind === 'unknown' || fault?.kind === 'hang'
    const value = !unanswered || fault.done ? act() : null
    const said = unanswered || value === null ? answers.outcome(unknown('The fake runtime did not answer')) : value
    answer(said)
    await shared.options.onCall?.('after', call)
    await script.pass('after', call)
    if (fault?.kind === 'hang') await abortOf(signal)
    return said
  }

  return {
    ...script,
    name: 'fake',
    log: () => log,
    liveRun: (ref) => world.liveRun(ref),
    liveRuns: () => world.liveRuns(),
    isReserved: (ref) => world.isReserved(ref),
    crash: (ref, reason) => world.crash(ref, reason),
    another: () => onWorld(shared),
    reserves: () => false,
    resolveImage: (image, signal) =>
      run(callOf('resolveImage', null, null, image), signal, () => world.resolveImage(image), outcomes()),
    reserve: (ref, fence, signal) =>
      run(callOf('reserve', ref, fence), signal, () => world.reserve(ref, fence), outcomes<WorkloadAddress>()),
    ensure: (spec, fence, signal) =>
      run(
        callOf('ensure', spec, fence, spec.image),
        signal,
        () => world.ensure(spec, fence),
        outcomes<RunningWorkload>(),
      ),
    observe: (ref, signal) =>
      run(
        callOf('observe', ref),
        signal,
        () => world.observe(ref),
        outcomes<Observation>({ kind: 'done', value: { state: 'absent' } }),
      ),
    observeInstance: (ref, instanceId, signal) =>
      run(callOf('observeInstance', ref), signal, () => world.observeInstance(ref, instanceId), {
        outcome: (outcome) => ({ state: 'unknown', reason: 'reason' in outcome ? outcome.reason : '' }),
        told: ({ state }) => state,
        absent: { state: 'gone', reason: 'The app is gone' },
      }),
    stop: (ref, fence, signal) =>
      run(callOf('stop', ref, fence), signal, () => world.end(ref, fence, 'stop'), outcomes()),
    remove: (ref, fence, signal) =>
      run(callOf('remove', ref, fence), signal, () => world.end(ref, fence, 'remove'), outcomes()),
    logs: (ref, maxBytes, signal) => run(callOf('logs', ref), signal, () => world.logs(ref, maxBytes), outcomes()),
    listOwned: (signal) =>
      run(
        callOf('listOwned', null),
        signal,
        () => world.listOwned(),
        outcomes<readonly OwnedWorkload[]>({ kind: 'done', value: [] }),
      ),
  }
}

/** How a call says what is ordered: most with outcomes, `observeInstance` with what it has seen. */
interface Answers<R> {
  readonly outcome: (outcome: Outcome<never>) => R
  readonly told: (value: R) => string
  readonly absent: R | undefined
}

const outcomes = <T>(absent?: Outcome<T>): Answers<Outcome<T>> => ({
  outcome: (outcome) => outcome,
  told: (value) => value.kind,
  absent,
})

function callOf(
  call: FakeCall['call'],
  ref: WorkloadRef | null,
  fence: FakeCall['fence'] = null,
  image: string | null = null,
): FakeCall {
  const plain = ref && { subjectId: ref.subjectId, incarnation: ref.incarnation }
  return { call, ref: plain, fence: fence && { ...fence }, image }
}

function abortOf(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), { once: true })
  return promise
}
