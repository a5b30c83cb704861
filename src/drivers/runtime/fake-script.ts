// What a test may order from the fake driver: gates, at which a call waits until it is released, and faults, with
// which the next calls are answered. Knows nothing of workloads.
import type { Fence } from '../outcome.ts'
import type { RuntimeDriver, WorkloadRef } from './driver.ts'

/** The calls that go through the script: `reserves` asks nobody, so it can neither wait nor fail. */
export type FakeCallName = Exclude<keyof RuntimeDriver, 'name' | 'reserves'>

/** One call as it reached the driver; what a call does not have is null. */
export interface FakeCall {
  readonly call: FakeCallName
  readonly ref: WorkloadRef | null
  readonly fence: Fence | null
  readonly image: string | null
}

export type Fault =
  /** Nothing is done; `unreachable`. */
  | { readonly kind: 'unreachable' }
  /** Done, or not, and then `unknown`. */
  | { readonly kind: 'unknown'; readonly done: boolean }
  /** Done, or not, and then silence until the signal is aborted; `unknown`. */
  | { readonly kind: 'hang'; readonly done: boolean }
  /** Done after that many milliseconds, unless aborted before. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** The run vanishes just before the call, which then goes its way. */
  | { readonly kind: 'alreadyGone' }
  /** Observations say absent, gone, nothing owned, whatever is there. Other calls go their way. */
  | { readonly kind: 'lieAbsent' }
  /** Nothing is done; `refused`. */
  | { readonly kind: 'refuse'; readonly reason: string }
  /** Breaks the contract: throws, nothing done. What calls drivers must survive this too. */
  | { readonly kind: 'throw' }

export interface Gate {
  /** Settles when a call has come to the gate and waits there. */
  readonly reached: Promise<FakeCall>
  /** Lets it go on, and closes the gate for good. */
  release(): void
}
export interface GateOptions {
  /** The call goes on after release although its signal was aborted meanwhile: a driver that answers too late. */
  readonly deaf?: boolean
}
export type Matches = (call: FakeCall) => boolean

interface Held {
  readonly when: 'before' | 'after'
  readonly call: FakeCallName
  readonly matches: Matches
  readonly deaf: boolean
  readonly arrive: (call: FakeCall) => void
  readonly released: Promise<void>
}
interface Ordered {
  readonly call: FakeCallName
  readonly matches: Matches
  readonly fault: Fault
  left: number
}

export interface FakeScript {
  /** Holds the next matching call before it does anything. One call per gate. */
  pauseBefore(call: FakeCallName, matches?: Matches, options?: GateOptions): Gate
  /** Holds the next matching call after its effect and before its answer. One call per gate. */
  pauseAfter(call: FakeCallName, matches?: Matches): Gate
  /** Answers the next `times` matching calls with the fault; orders for one call apply in the order given. */
  faultNext(call: FakeCallName, fault: Fault, times?: number, matches?: Matches): void
  /** Takes back all gates and faults, and releases whoever waits. */
  clear(): void
}

/** The driver's side of a script. */
export interface ScriptReader {
  /** Waits at a gate if there is one; true when the call is to go on even if aborted. */
  pass(when: 'before' | 'after', call: FakeCall): Promise<boolean>
  takeFault(call: FakeCall): Fault | null
}

const all: Matches = () => true

/** An empty script and its reader. */
export function createScript(): FakeScript & ScriptReader {
  const gates = new Set<Held>()
  const releases = new Set<() => void>()
  let faults: Ordered[] = []

  const open = (when: Held['when'], call: FakeCallName, matches: Matches, deaf: boolean): Gate => {
    const reached = Promise.withResolvers<FakeCall>()
    const released = Promise.withResolvers<void>()
    const held: Held = { when, call, matches, deaf, arrive: reached.resolve, released: released.promise }
    gates.add(held)
    const release = (): void => {
      gates.delete(held)
      releases.delete(release)
      released.resolve()
    }
    releases.add(release)
    return { reached: reached.promise, release }
  }
  return {
    pauseBefore: (call, matches = all, options = {}) => open('before', call, matches, options.deaf ?? false),
    pauseAfter: (call, matches = all) => open('after', call, matches, true),
    faultNext(call, fault, times = 1, matches = all) {
      faults.push({ call, matches, fault, left: times })
    },
    clear() {
      faults = []
      for (const release of [...releases]) release()
    },
    async pass(when, call) {
      const held = [...gates].find((gate) => gate.when === when && gate.call === call.call && gate.matches(call))
      if (held === undefined) return false
      gates.delete(held)
      held.arrive(call)
      await held.released
      return held.deaf
    },
    takeFault(call) {
      const ordered = faults.find((order) => order.call === call.call && order.matches(call))
      if (ordered === undefined) return null
      ordered.left -= 1
      if (ordered.left <= 0) faults = faults.filter((order) => order !== ordered)
      return ordered.fault
    },
  }
}
