// What the process that asks (load.ts) is told, and what it tells: one order for each round. A call is made by a function that
// is named in the order, so that anything can be asked by the same process.
import type { Seeded } from './subject.ts'

/** One call, and whether its answer is right. */
export interface Call {
  readonly token: string
  /** JSON. */
  readonly body: string
  right(status: number, text: string): boolean
}
/** Makes calls: exported, under the name `order.asks`, by the module `order.module`. */
export type Asking = (seeded: Seeded) => () => Call

export interface Order {
  readonly url: string
  /** A path beside load.ts, e.g. `./redeploy.ts`. */
  readonly module: string
  readonly asks: string
  readonly seeded: Seeded
  readonly connections: number
  /** Asked, checked and not counted. */
  readonly leadMs: number
  readonly countedMs: number
}

export type Told =
  | { readonly kind: 'ready' | 'counting' | 'counted' }
  /** How long each of the answers took that came while it was counted. */
  | { readonly kind: 'asked'; readonly tookMs: readonly number[] }
  | { readonly kind: 'wrong'; readonly what: string }
