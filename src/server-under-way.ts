// One request on its way through GraphQL, for whoever is called by a pipeline that knows nothing of it: the limits and the mask.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Actor } from './auth.ts'
import type { GraphqlOutcome } from './metrics.ts'
import type { Stranger } from './server-caller.ts'
import type { Cost } from './server-cost.ts'
import type { Form } from './server-form.ts'
import type { Account } from './server-rate.ts'
import type { Parameters } from './server-request.ts'
import type { Stream } from './server-streams.ts'

/** What it asks and who asks it; what is found out on the way is for the metric and the mask. */
export interface GraphqlRequest {
  readonly actor: Actor
  /** What it pays with. */
  readonly account: Account
  readonly requestId: string
  readonly parameters: Parameters
  /** What the client reads. */
  readonly form: Form
  /** Who its credential stands for now; for a stream, which outlives its first answer. */
  readonly again: () => Promise<Actor | Stranger>
  /** The same for what must not go by what is remembered of the caller. */
  readonly anew: () => Promise<Actor | Stranger>
  /** Called when a stream begins: what it took until then is what the request took. */
  readonly began: () => void
  stream: Stream | null
  operation: string
  outcome: GraphqlOutcome
  /** What the operation costs, once that is known: before it is run, and also when it is not. */
  cost: Cost | null
}

export const current: AsyncLocalStorage<GraphqlRequest> = new AsyncLocalStorage()

/** The request that is under way here. */
export function underWay(): GraphqlRequest {
  const request = current.getStore()
  if (!request) throw new Error('there is no request under way')
  return request
}

const gravity: readonly GraphqlOutcome[] = ['ok', 'refused', 'invalid', 'limited', 'unavailable', 'fault']
/** What became of it; the gravest outcome stays. */
export function note(outcome: GraphqlOutcome): void {
  const request = current.getStore()
  if (request && gravity.indexOf(outcome) > gravity.indexOf(request.outcome)) request.outcome = outcome
}
