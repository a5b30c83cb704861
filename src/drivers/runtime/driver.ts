// The seam between Pawl and whatever runs workloads. A runtime driver knows nothing of our tables: it is given
// names, values and a fence, and answers with outcomes. Every driver passes both suites of the contract:
// test/drivers/runtime.conformance.ts and runtime-address.conformance.ts.
import type { Fence, Outcome } from '../outcome.ts'

/**
 * Which workload: the subject, and the unguessable incarnation that its physical name carries. Incarnations of one
 * subject are workloads of their own, each with its own fence and address. Both parts are letters, digits, `_` and `-`,
 * at most 100 each, the first one a letter or digit: an incarnation of 24 hex digits, `-` and a service's name is one.
 */
export interface WorkloadRef {
  readonly subjectId: string
  readonly incarnation: string
}

/** What is to run. */
export interface WorkloadSpec extends WorkloadRef {
  /** For people: shown in process lists and labels, never used to find anything. */
  readonly name: string
  readonly image: string
  /** Complete environment of the workload, references already resolved. */
  readonly env: Readonly<Record<string, string>>
}

/** Where a workload answers. */
export interface WorkloadAddress {
  readonly url: string
}

/** A workload that runs and has answered its health check. */
export interface RunningWorkload extends WorkloadAddress {
  /** The provider's id of this very run; never reused. */
  readonly instanceId: string
}

export type Observation =
  | {
      readonly state: 'running'
      readonly instanceId: string
      readonly url: string
      readonly generation: number
      readonly healthy: boolean
    }
  | { readonly state: 'exited'; readonly instanceId: string; readonly generation: number; readonly reason: string }
  | { readonly state: 'absent' }

/** What has become of one very run. */
export type InstanceObservation =
  /** `detail` is one sentence on why it is not healthy. */
  | { readonly state: 'running'; readonly healthy: boolean; readonly detail: string | null }
  | { readonly state: 'gone'; readonly reason: string }
  | { readonly state: 'unknown'; readonly reason: string }

export interface OwnedWorkload extends WorkloadRef {
  /** Of the run that lives; null when none does. */
  readonly instanceId: string | null
  /** The highest that a call for it had, so that a call of a fresh operation at this generation is let through. */
  readonly generation: number
  /** Of the run that lives. Nothing tells since when an address has been held. */
  readonly startedAt: Date | null
}

export interface RuntimeDriver {
  readonly name: 'process' | 'docker' | 'fake'
  /** Whether a variable of that name cannot be given, because the driver or a loader would take it for its own. Asks nobody. */
  reserves(name: string): boolean
  /** Says whether the image can be run, without changing anything. `refused` names what is allowed. */
  resolveImage(image: string, signal: AbortSignal): Promise<Outcome<{ image: string }>>
  /**
   * The address at which the workload will answer once it runs; reserved for this incarnation until `remove`, before
   * and across runs. Starts nothing. Idempotent. Fenced like `ensure`. `refused` when there is no address left.
   * While nothing runs, a driver may lose the address to a stranger. The next `reserve` or `ensure` then takes another
   * one: the url that `ensure` answers is the truth.
   */
  reserve(ref: WorkloadRef, fence: Fence, signal: AbortSignal): Promise<Outcome<WorkloadAddress>>
  /**
   * Makes the workload run at the fence's generation and healthy, replacing an older generation of the same
   * incarnation. Idempotent: asked again it answers `working` until the health check passes, then `done`;
   * `refused` with the reason when the workload cannot become healthy (and then nothing of it is left running,
   * an older generation included). One operation is one run: when it has exited, the same operation is `refused`,
   * a later one of the same generation starts a new run, and where a run lives it adopts it.
   * Under this fence all of `reserve`, `ensure`, `stop` and `remove` are `stale` for a lower generation, for a lower attempt
   * of the same operation, and for an operation that another one of the same generation has followed.
   */
  ensure(spec: WorkloadSpec, fence: Fence, signal: AbortSignal): Promise<Outcome<RunningWorkload>>
  /** What is there of this incarnation, now. Changes nothing. */
  observe(ref: WorkloadRef, signal: AbortSignal): Promise<Outcome<Observation>>
  /**
   * What has become of that very run, and whether it is healthy; never what has taken its place. Only `gone` may be taken as
   * an end: any doubt is `unknown`. A health check that fails, or is not answered within 3 s, is a run that is not healthy.
   */
  observeInstance(ref: WorkloadRef, instanceId: string, signal: AbortSignal): Promise<InstanceObservation>
  /** Ends the run and keeps what is needed to start again, its url too. `working` while it ends. Absent is done. */
  stop(ref: WorkloadRef, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /**
   * Ends the run, gives its address back and forgets everything but the fence, so that a late start cannot bring it
   * back: `reserve` and `ensure` are then `stale` unless their generation is higher than the one that removed.
   * Absent is done, and fences all the same.
   */
  remove(ref: WorkloadRef, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /** The last `maxBytes` of what the workload wrote, oldest first. */
  logs(ref: WorkloadRef, maxBytes: number, signal: AbortSignal): Promise<Outcome<string>>
  /**
   * Everything that this driver made for this installation and that is still there, a reserved address without a run
   * included: all of it, or not `done`. Whoever takes what is not in it for gone, or what no row speaks of for an orphan, relies on that.
   */
  listOwned(signal: AbortSignal): Promise<Outcome<readonly OwnedWorkload[]>>
}
