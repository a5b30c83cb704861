// What a request carries from the door to the resolvers: who asks, with which request id, and the few things that a
// decision may use. Made once per request; holds nothing that outlives it.
import type { Actor } from './auth.ts'
import type { RuntimeDriver } from './drivers/runtime/driver.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Database } from './resolvers/transition.ts'
import type { Sealing } from './sealing.ts'

export interface Context {
  readonly db: Database
  readonly actor: Actor
  /** Stands in every event, operation and log line that follows from the request, and in masked errors. */
  readonly requestId: string
  /** To tell an unknown image or a reserved variable before anything is accepted; changes nothing. */
  readonly images: Pick<RuntimeDriver, 'resolveImage' | 'reserves'>
  /** Null when resources of the type can be made here; else one sentence that says what is to be set. */
  readonly resourceTypes: (type: 'POSTGRES' | 'REDIS') => string | null
  /** Why a webhook may not be sent to that URL, in one sentence; null when it may, as far as can be told now. */
  readonly webhookFault: (url: string) => Promise<string | null>
  readonly sealing: Sealing
  /** Says that something was accepted, so that the dispatcher and the sequencer look at once; only a hint. */
  readonly nudge: () => void
  readonly metrics: Pick<Metrics, 'transition'>
  readonly log: Log
}
