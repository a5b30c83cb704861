// The one Pothos builder, with what every file of the schema may rely on: non-null unless it says otherwise, a cost for
// every field, scalars that read strictly, and the context of a request.
import SchemaBuilder from '@pothos/core'
import ComplexityPlugin from '@pothos/plugin-complexity'
import { GraphQLError, Kind } from 'graphql'
import type { Context } from '../context.ts'
import type { Hub } from '../live/hub.ts'
import type { Loaders } from '../resolvers/loader.ts'
import type { DoorLimits } from './limits.ts'

/** A request's context with its loaders. */
export interface SchemaContext extends Context {
  readonly loaders: Loaders
  /** Tells the metric that a mutation was answered with a refusal. */
  readonly noteRefusal: () => void
  /** What the door lets through, for callers who ask. */
  readonly door: DoorLimits
  readonly hub: Hub
  /** Aborted when the stream of a subscription ends, for whatever reason; of everything else never. */
  readonly signal: AbortSignal
}

export const builder = new SchemaBuilder<{
  Context: SchemaContext
  DefaultFieldNullability: false
  Scalars: {
    DateTime: { Input: Date; Output: Date | string }
    JSON: { Input: unknown; Output: unknown }
    ID: { Input: string; Output: string }
  }
}>({ plugins: [ComplexityPlugin], defaultFieldNullability: false })

export type Types = typeof builder.$inferSchemaTypes
export type Fields<R> = PothosSchemaTypes.ObjectFieldBuilder<Types, R>
export type InputFields = PothosSchemaTypes.InputFieldBuilder<Types, 'InputObject'>

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/

function readTime(value: unknown): Date {
  const time = typeof value === 'string' && instant.test(value) ? new Date(value) : null
  if (time === null || Number.isNaN(time.getTime()) || !isDay(String(value).slice(0, 10))) {
    throw new GraphQLError('A time is ISO 8601 with an offset, e.g. "2030-01-31T12:00:00Z".', {
      extensions: { code: 'BAD_USER_INPUT' },
    })
  }
  return time
}

/** A day that its month does not have would be taken for one of the next month. */
function isDay(day: string): boolean {
  const time = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(day)
}

builder.scalarType('DateTime', {
  description: 'A point in time, ISO 8601 with an offset, e.g. `2030-01-31T12:00:00.000Z`. Answers are in UTC.',
  serialize: (value) => (value instanceof Date ? value.toISOString() : value),
  parseValue: readTime,
  parseLiteral: (node) => readTime(node.kind === Kind.STRING ? node.value : null),
})

builder.scalarType('JSON', {
  description: 'Any JSON value. Only ever in answers.',
  serialize: (value) => value,
  parseValue: () => {
    throw new GraphQLError('JSON is not taken as input.', { extensions: { code: 'BAD_USER_INPUT' } })
  },
})

builder.queryType({
  description:
    'Everything that can be read. Needs the scope `read`. Only objects of the caller’s team are seen: an object of another ' +
    'team is the same as one that is not there. Lists are connections of 20 (at most 100) in one total order.',
})

builder.mutationType({
  description:
    'Everything that can be asked for. Each mutation takes one `input` and answers with a union of its payload and its ' +
    'refusals; select `... on Refusal { code message retryable retryAfterMs remedies { mutation arguments explanation } }` to ' +
    'handle every refusal, also later ones. State moves only by declared moves: see `Query.lifecycles`. Accepted work is an ' +
    'operation that is carried out after the answer: follow `operation { id state }`.',
})

builder.subscriptionType({
  description:
    'What can be followed live: GraphQL over SSE in distinct connections mode, by GET or POST with `Accept: text/event-stream`. ' +
    'Needs the scope `read`; only what belongs to the caller’s team is seen. A stream pays its cost at its start, and that of ' +
    'each delivery when it is made: where the budget is used up it waits, and loses nothing. It ends with a last `next` whose ' +
    'error says why in `extensions.code`: `UNAUTHENTICATED` (the credential is not good any more), `FORBIDDEN` (what it may do ' +
    'has changed; with `retryable: true` subscribe again), `SHUTTING_DOWN` (subscribe again after `retryAfterMs`). Nothing is ' +
    'changed by it, so it can always be repeated; refusals are errors before the first `next`.',
})
