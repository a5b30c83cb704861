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
import { type FakeHost, FakeHosts, seeded } from './fake-host.ts'
import { createScript, type FakeCall, type FakeCallName, type FakeScript, type Fault } from './fake-script.ts'
import { type FakeEffect, type FakeRun, FakeWorld, type FakeWorldOptions } from './fake-world.ts'

/** One call that has been answered, or whose effect has been carried out; in the order in which effects happened. */
export interface FakeLogEntry extends Omit<FakeCall, 'call'> {
  /** `crash` for what no call has done. */
  readonly call: FakeCallName | 'crash'
  readonly at: Date
  /** What the call changed, in order; empty for most. */
  readonly effects: readonly { readonly effect: FakeEffect; readonly instanceId: string | null }[]
  /** The outcome's kind, or what `observeInstance` said; `thrown` for that fault. */
  readonly result: string
}

export interface FakeDriver extends RuntimeDriver, FakeScript {
  /** Every call so far, of all drivers that share the world; where they are counted, those that changed something. */
  log(): readonly FakeLogEntry[]
  /** How many calls of each name had each result, as `observeInstance running`; of all drivers that share the world. */
  counts(): Readonly<Record<string, number>>
  /** The living run of a workload, as a look at the machine would show it. */
  liveRun(ref: WorkloadRef): FakeRun | null
  liveRuns(): readonly (WorkloadRef & { readonly run: FakeRun })[]
  /** Whether an address is held for the workload. */
  isReserved(ref: WorkloadRef): boolean
  /** Ends the run from outside, as a crash would. */
  crash(ref: WorkloadRef, reason?: string): void
  /** Crashes about that share, from 0 to 1, of all runs that live, by the seed; answers which. */
  crashShare(share: number): readonly WorkloadRef[]
  /** The health check of the run that is there answers from now on, or fails, until the next run. */
  setHealth(ref: WorkloadRef, healthy: boolean): void
  /** What calls for the workloads of that host meet from now on, of all drivers that share the world. */
  setHost(name: string, host: FakeHost): void
  /** Another driver on the same world with a script of its own: another replica, or the same one restarted. */
  another(): FakeDriver
}

export interface FakeDriverOptions extends FakeWorldOptions {
  /** Called before each call acts and after it has acted: a scheduler that parks every call hangs in here. */
  readonly onCall?: (when: 'before' | 'after', call: FakeCall) => void | Promise<void>
  /** Counts calls, and writes down those alone that changed something: for worlds of a hundred thousand workloads. */
  readonly countOnly?: boolean
  /** Where a workload is; by default all are on `host`. */
  readonly hostOf?: (ref: WorkloadRef) => string
  /** Of all chance in this world; default 1. */
  readonly seed?: number
}

interface Shared {
  readonly world: FakeWorld
  readonly hosts: FakeHosts
  readonly chance: () => number
  readonly log: FakeLogEntry[]
  readonly counts: Map<string, number>
  readonly options: FakeDriverOptions
}

/** Makes a fake driver on an empty world. */
export function createFakeDriver(options: FakeDriverOptions = {}): FakeDriver {
  const chance = seeded(options.seed ?? 1)
  const hosts = new FakeHosts(options.hostOf ?? (() => 'host'), chance)
  return onWorld({ world: new FakeWorld(options), hosts, chance, log: [], counts: new Map(), options })
}

function onWorld(shared: Shared): FakeDriver {
  const { world, hosts, log, counts, options } = shared
  const script = createScript()

  /** No call has done it: it is written down by itself, so that the next one is not said to have. */
  function crash({ subjectId, incarnation }: WorkloadRef, reason?: string): void {
    const ref = { subjectId, incarnation }
    world.crash(ref, reason)
    const effects = world.takeEffects()
    if (effects.length > 0)
      log.push({ call: 'crash', ref, fence: null, image: null, at: new Date(), effects, result: 'done' })
  }

  /** Waits, answers or acts as ordered; `act` runs at one moment, with nothing between it and its log entry. */
  async function run<R>(call: FakeCall, signal: AbortSignal, act: () => R, answers: Answers<R>): Promise<R> {
    const note = (result: string): void => {
      const effects = world.takeEffects()
      if (options.countOnly !== true || effects.length > 0) log.push({ ...call, at: new Date(), effects, result })
      const key = `${call.call} ${result}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const answer = (value: R): R => {
      note(answers.told(value))
      return value
    }
    await options.onCall?.('before', call)
    const host = hosts.meets(call.ref)
    const deaf = await script.pass('before', call)
    if (signal.aborted && !deaf) return answer(answers.outcome(unreachable('Given up before anything was done')))
    const fault: Fault | null = script.takeFault(call) ?? (host.hangs ? { kind: 'hang', done: false } : null)
    if (fault?.kind === 'throw') {
      note('thrown')
      throw new Error('The fake driver was told to throw')
    }
    if (fault?.kind === 'unreachable') return answer(answers.outcome(unreachable('The fake runtime is unreachable')))
    if (fault?.kind === 'refuse') return answer(answers.outcome(refused(fault.reason)))
    if (fault?.kind === 'lieAbsent' && answers.absent !== undefined) return answer(answers.absent)
    if (fault?.kind === 'alreadyGone' && call.ref !== null) world.crash(call.ref, 'The app was lost without a trace')
    const delayMs = host.delayMs + (fault?.kind === 'slow' ? fault.delayMs : 0)
    if (delayMs > 0) {
      const slept = await delay(delayMs, true, { signal }).catch(() => false)
      if (!slept) return answer(answers.outcome(unreachable('Given up before anything was done')))
    }
    const unanswered = fault?.kind === 'unknown' || fault?.kind === 'hang'
    const value = !unanswered || fault.done ? act() : null
    const said = unanswered || value === null ? answers.outcome(unknown('The fake runtime did not answer')) : value
    answer(said)
    await options.onCall?.('after', call)
    await script.pass('after', call)
    if (fault?.kind === 'hang') await abortOf(signal)
    return said
  }

  return {
    ...script,
    name: 'fake',
    log: () => log,
    counts: () => Object.fromEntries(counts),
    liveRun: (ref) => world.liveRun(ref),
    liveRuns: () => world.liveRuns(),
    isReserved: (ref) => world.isReserved(ref),
    crash,
    crashShare(share) {
      const lost = world.liveRuns().filter(() => shared.chance() < share)
      for (const ref of lost) crash(ref)
      return lost
    },
    setHealth: (ref, healthy) => world.setHealth(ref, healthy),
    setHost: (name, host) => hosts.set(name, host),
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
