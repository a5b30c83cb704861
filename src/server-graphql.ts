// GraphQL behind the door: Yoga's pipeline with our limits, our masks and our context; its HTTP is ours. Errors at top level
// are for what is malformed, too much, or a bug. What a request asks has been read when it comes here; nothing is run before
// it was weighed. docs/decisions/0020
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ExecutionResult, GraphQLError } from 'graphql'
import { createYoga, type GraphQLParams, type Plugin, type YogaServerInstance } from 'graphql-yoga'
import { lacking } from './auth.ts'
import type { Context } from './context.ts'
import type { Hub } from './live/hub.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { createLoaders } from './resolvers/loader.ts'
import type { SchemaContext } from './schema/builder.ts'
import { schema } from './schema/schema.ts'
import { bounds } from './server-bounds.ts'
import { admitted } from './server-caller.ts'
import { limits } from './server-document.ts'
import { formed, sendFormed } from './server-form.ts'
import { mask } from './server-mask.ts'
import { priceOfRequest } from './server-rate.ts'
import { maxBodyBytes } from './server-request.ts'
import { type StreamTimes, writeStream } from './server-sse.ts'
import { notAStream, type Stream, type Streams } from './server-streams.ts'
import { priceOfDelivery, subscribeAnew } from './server-subscribe.ts'
import { current, type GraphqlRequest, note, underWay } from './server-under-way.ts'
import { watchCredential } from './server-watch.ts'

export interface GraphqlOptions
  extends Pick<Context, 'db' | 'forgetCallers' | 'images' | 'nudge' | 'resourceTypes' | 'sealing' | 'webhookFault'> {
  readonly metrics: Metrics
  readonly log: Log
  /** Who is told what the schema is: whoever may read (the default), or nobody. */
  readonly introspection?: 'authenticated' | 'off'
  readonly hub: Hub
  readonly streams: Streams
  readonly streamTimes: StreamTimes
  /** What streams read from: their share of the database. */
  readonly streamDb: Context['db']
  /** For tests, which have requests answered by Yoga's own HTTP as well: in place of ours. */
  readonly answer?: (pipeline: Pipeline, ...given: Parameters<GraphqlHandler>) => Promise<void>
}
/** The steps of a request: parameters, document, validation, context, execution. */
export type Pipeline = YogaServerInstance<object, SchemaContext>

export type GraphqlHandler = (req: IncomingMessage, res: ServerResponse, request: GraphqlRequest) => Promise<void>

/** Answers authenticated requests at /graphql whose parameters were read. */
export function createGraphql(options: GraphqlOptions): GraphqlHandler {
  const { metrics, log, introspection, streams, streamTimes, streamDb, answer = answered, ...given } = options
  const masked = (error: unknown) => mask(error, { requestId: current.getStore()?.requestId ?? 'unknown', log, note })
  const pipeline: Pipeline = createYoga<object, SchemaContext>({
    schema,
    cors: false,
    multipart: false,
    landingPage: false,
    graphiql: false,
    logging: false,
    // What may be run is kept by who decides that.
    parserAndValidationCache: false,
    maskedErrors: { maskError: masked },
    context: (): SchemaContext => {
      const { actor, anew, requestId, account } = underWay()
      return {
        ...given,
        actor,
        actorNow: async () => admitted(await anew()),
        requestId,
        metrics,
        log: log.with({ requestId }),
        loaders: createLoaders(given.db, actor),
        noteRefusal: () => note('refused'),
        signal: neverAborted,
        door: { maxBodyBytes, minRequestPoints: priceOfRequest, document: limits, budgets: account.budgets },
      }
    },
    plugins: [bounds((actor) => introspection !== 'off' && lacking(actor, 'read') === null), streaming(options)],
  })
  const { getResultForParams } = pipeline

  /** Runs it. Of the request itself only the method matters to the pipeline: a GET changes nothing. */
  async function run(req: IncomingMessage, { parameters, form }: GraphqlRequest) {
    try {
      const asked = { params: parameters as GraphQLParams, request: req as unknown as Request }
      const result = (await getResultForParams(asked, {})) as ExecutionResult | AsyncIterable<ExecutionResult>
      return isStream(result) ? result : formed(result, form.single)
    } catch (error) {
      return formed({ errors: [masked(error)] }, form.single)
    }
  }
  async function answered(_: Pipeline, req: IncomingMessage, res: ServerResponse, request: GraphqlRequest) {
    const answer = await run(req, request)
    if (!isStream(answer)) return sendFormed(res, answer)
    request.began()
    // Opened by whoever has made the answers.
    await writeStream(res, answer, request.stream as Stream, streamTimes)
  }
  return (req, res, request) =>
    current.run(request, async () => {
      try {
        await answer(pipeline, req, res, request)
      } finally {
        // Also where it was opened and then nothing came of it.
        request.stream?.end()
      }
    })
}

const neverAborted = new AbortController().signal

/** Opens the stream of a subscription that may be run. */
function streaming({ streamDb, hub, streams }: GraphqlOptions): Plugin<SchemaContext> {
  return {
    onSubscribe({ args, setSubscribeFn, setResultAndStopExecution }) {
      const request = underWay()
      const { actor, account, again, cost, operation } = request
      const stream = request.form.streams ? streams.open(actor.teamId, operation) : notAStream()
      if (stream instanceof GraphQLError) {
        note('limited')
        return setResultAndStopExecution({ errors: [stream] })
      }
      request.stream = stream
      void watchCredential({ hub, db: streamDb, actor, again, stream })
      const price = priceOfDelivery + (cost?.requested ?? 0)
      setSubscribeFn(() =>
        subscribeAnew(args, { db: streamDb, signal: stream.signal, pay: () => account.payMore(price) }),
      )
    },
  }
}

const isStream = (result: unknown): result is AsyncIterable<ExecutionResult> =>
  typeof result === 'object' && result !== null && Symbol.asyncIterator in result
