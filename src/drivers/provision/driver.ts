// The seam between Pawl and whatever makes resources. A provisioner knows nothing of our tables: it is given names, a
// password and a fence, and answers with outcomes. Adding a type is one file here and one line in provisioners.ts.
// Every provisioner passes test/drivers/provision.conformance.ts.
import type { Fence, Outcome } from '../outcome.ts'

export type ResourceType = 'POSTGRES' | 'REDIS'

/** Which resource: the subject, and the unguessable incarnation that its physical names carry. */
export interface ResourceRef {
  readonly subjectId: string
  readonly incarnation: string
}

/** Credentials are made by the control plane before the effect, so that asking again never makes others. */
export interface ResourceSpec extends ResourceRef {
  /** For people: in comments and labels, never used to find anything. */
  readonly name: string
  /** Letters and digits only, at least 128 bits. */
  readonly password: string
}

/** How a client connects. Secret: holds the password. */
export interface ResourceConnection {
  readonly url: string
}

export type ResourceObservation =
  | { readonly state: 'active' | 'paused'; readonly generation: number; readonly sizeBytes: number | null }
  | { readonly state: 'absent' }

export interface OwnedResource extends ResourceRef {
  /** The highest that a call for it had, so that a call of a fresh operation at this generation is let through. */
  readonly generation: number
}

/**
 * Every effect checks the fence in the provider's own transaction: a lower generation, or a lower attempt of the same
 * generation, than one already seen is `stale` and does nothing. After a deprovision the fence is kept, so that a late
 * provision cannot bring the resource back. A name that was not made here is `refused` and never touched.
 */
export interface Provisioner {
  readonly type: ResourceType
  /** Null when it can be used; else one sentence that names what is to be set. Asks nobody. */
  readonly unavailable: string | null
  /** Makes it, or finds it made by the same operation. Whatever a failed attempt left is used or removed by the next. */
  provision(spec: ResourceSpec, fence: Fence, signal: AbortSignal): Promise<Outcome<ResourceConnection>>
  /** What is there of this incarnation, now. Changes nothing. */
  observe(ref: ResourceRef, signal: AbortSignal): Promise<Outcome<ResourceObservation>>
  /** Nobody can connect any more, and sessions that were open are ended. Paused already is done. */
  pause(ref: ResourceRef, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /** Clients can connect again. Active already is done. */
  resume(ref: ResourceRef, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /** The given password works from now on, the earlier one does not. Asked again with the same password is done. */
  rotate(spec: ResourceSpec, fence: Fence, signal: AbortSignal): Promise<Outcome<ResourceConnection>>
  /**
   * Whether sessions may write from now on; those that are open are ended when that changes. A client that means to shrink
   * what it holds can still ask for a writing session by name (PostgreSQL: `SET default_transaction_read_only = off`). A
   * provider that measures no size answers `done` for true, `refused` for false.
   */
  setWritable(ref: ResourceRef, writable: boolean, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /** Removes it with everything in it. Absent is done. */
  deprovision(ref: ResourceRef, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
  /**
   * Everything that this provisioner made for this installation and that is still there: all of it, or not `done`. Makes and
   * starts nothing that was never there.
   */
  listOwned(signal: AbortSignal): Promise<Outcome<readonly OwnedResource[]>>
}
