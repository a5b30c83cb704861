// What a caller is told of an error: our own words as they are, everything else by its request id alone.
import { GraphQLError } from 'graphql'
import { DatabaseFault, toldOf } from './db/fault.ts'
import type { Log } from './log.ts'
import type { GraphqlOutcome } from './metrics.ts'
import { EventsLagged } from './resolvers/event-feed.ts'
import { BadUserInput } from './resolvers/page.ts'
import { badInput } from './server-cost.ts'

export interface Masking {
  readonly requestId: string
  readonly log: Log
  readonly note: (outcome: GraphqlOutcome) => void
}

/** The error that is shown in place of the one that was thrown, whatever it was and wherever. */
export function mask(error: unknown, { requestId, log, note }: Masking): GraphQLError {
  const at = error instanceof GraphQLError ? error : null
  const cause = rootOf(error)
  if (cause instanceof BadUserInput) {
    note('invalid')
    return badInput(cause.message, at)
  }
  if (cause instanceof EventsLagged) {
    note('refused')
    const { message, oldestCursor } = cause
    const place = at ? { nodes: at.nodes ?? null, path: at.path ?? null } : {}
    return new GraphQLError(message, { ...place, extensions: { code: 'EVENTS_LAGGED', oldestCursor } })
  }
  if (cause instanceof GraphQLError && isMeant(cause)) {
    for (const each of [cause, at]) if (each) each.message = withoutValue(each.message)
    if (cause.extensions.code === undefined) cause.extensions.code = 'BAD_USER_INPUT'
    note(cause.extensions.code === 'LIMIT_EXCEEDED' ? 'limited' : 'invalid')
    return at ?? cause
  }
  const place = at ? { nodes: at.nodes ?? null, path: at.path ?? null } : {}
  const http = at?.path ? {} : { http: { status: cause instanceof DatabaseFault && cause.kind !== 'bug' ? 503 : 500 } }
  if (
    cause instanceof DatabaseFault &&
    (cause.kind === 'busy' || cause.kind === 'unavailable' || cause.kind === 'unknown-outcome')
  ) {
    note('unavailable')
    const retryAfterMs = cause.retryAfterMs ?? 1_000
    return new GraphQLError(`${toldOf(cause)} Try again in ${retryAfterMs} ms.`, {
      ...place,
      extensions: { code: 'TEMPORARILY_UNAVAILABLE', retryAfterMs, requestId, ...http },
    })
  }
  note('fault')
  log.error('a GraphQL request failed', { requestId, error: cause })
  return new GraphQLError('Something went wrong on our side. It was logged under this request id.', {
    ...place,
    extensions: { code: 'INTERNAL', requestId, ...http },
  })
}

/** Thrown on purpose: with a code, before execution, or by the reading of arguments; never by the writing of answers. */
const isMeant = (error: GraphQLError): boolean =>
  error.extensions.code !== undefined || error.path === undefined || /^(Argument|Variable) "/.test(error.message)

/** An argument that is read while the operation runs is repeated there as it is written: its value is taken out. */
const withoutValue = (message: string) =>
  message.replace(/^(Argument "[^"]*") has invalid value [\s\S]*$/, '$1 has an invalid value.')

function rootOf(error: unknown): unknown {
  let cause = error
  for (let depth = 0; depth < 10 && cause instanceof GraphQLError && cause.originalError; depth++)
    cause = cause.originalError
  return cause
}
