// Turns what happens into answers: each is run anew, with loaders of its own, since nothing may be served from an older one,
// and is paid for when it is made. Whoever cannot pay waits: behind a stream is only a cursor, so nothing is lost by that.
import { setTimeout as sleep } from 'node:timers/promises'
import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute } from 'graphql'
import type { RateRefusal } from './rate-limit.ts'
import { createLoaders } from './resolvers/loader.ts'
import type { Database } from './resolvers/transition.ts'
import type { SchemaContext } from './schema/builder.ts'

/** What writing one answer takes, in points, beside its fields. */
export const priceOfDelivery = 20

export interface Streaming {
  /** What all of it is read from, in place of the request's own. */
  readonly db: Database
  /** Aborted at the end of the stream. */
  readonly signal: AbortSignal
  /** Null when so much was paid; else when to try again. */
  readonly pay: () => RateRefusal | null
}

/** The answers, or the errors for which there are none. */
export async function subscribeAnew(
  args: ExecutionArgs,
  { db, signal, pay }: Streaming,
): Promise<AsyncIterable<ExecutionResult> | ExecutionResult> {
  const context: SchemaContext = { ...(args.contextValue as SchemaContext), db, signal }
  const source = await createSourceEventStream({ ...args, contextValue: context })
  if (!(Symbol.asyncIterator in source)) return source
  return (async function* () {
    for await (const rootValue of source) {
      for (let over = pay(); over && !signal.aborted; over = pay())
        await sleep(over.retryAfterMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const loaders = createLoaders(db, context.actor)
      yield await execute({ ...args, rootValue, contextValue: { ...context, loaders } })
    }
  })()
}
