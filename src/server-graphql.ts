// GraphQL behind the door: Yoga with our limits, our masks and our context. Errors at top level are for what is malformed,
// too much, or a bug. What a request asks has been read when it comes here; nothing is run before it was weighed.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  type ValidationRule,
  validate,
} from 'graphql'
import { createYoga, type GraphQLParams, type Plugin } from 'graphql-yoga'
import { LRUCache } from 'lru-cache'
import { type Actor, lacking } from './auth.ts'
import type { Context } from './context.ts'
import type { Hub } from './live/hub.ts'
import type { Log } from './log.ts'
import type { GraphqlOutcome, Metrics } from './metrics.ts'
import { createLoaders } from './resolvers/loader.ts'
import type { SchemaContext } from './schema/builder.ts'
import { graphqlOperations, schema } from './schema/schema.ts'
import type { Stranger } from './server-caller.ts'
import { type Cost, type Weighed, weigh } from './server-cost.ts'
import { documentFlaw, limits, parseDocument, refusal } from './server-document.ts'
import { mask } from './server-mask.ts'
import { type Account, priceOfDocument, priceOfRequest, rateError } from './server-rate.ts'
import { type Parameters as Given, maxBodyBytes } from './server-request.ts'
import { type StreamTimes, writeStream } from './server-sse.ts'
import { notAStream, type Stream, type Streams } from './server-streams.ts'
import { priceOfDelivery, subscribeAnew } from './server-subscribe.ts'
import { unvaluedLiteral } from './server-value.ts'
import { watchCredential } from './server-watch.ts'

export interface GraphqlOptions
  extends Pick<Context, 'db' | 'images' | 'nudge' | 'resourceTypes' | 'sealing' | 'webhookFault'> {
  readonly metrics: Metrics
  readonly log: Log
  /** Who is told what the schema is: whoever may read (the default), or nobody. */
  readonly introspection?: 'authenticated' | 'off'
  readonly hub: Hub
  readonly streams: Streams
  readonly streamTimes: StreamTimes
  /** What streams read from: their share of the database. */
  readonly streamDb: Context['db']
}

/** One request on its way through; what is found out on the way is for the metric and the mask. */
export interface GraphqlRequest {
  readonly actor: Actor
  /** What it pays with. */
  readonly account: Account
  readonly requestId: string
  readonly parameters: Given
  /** Whether the client reads text/event-stream. */
  readonly readsStreams: boolean
  /** Who its credential stands for now; for a stream, which outlives its first answer. */
  readonly again: () => Promise<Actor | Stranger>
  /** Called when a stream begins: what it took until then is what the request took. */
  readonly began: () => void
  stream: Stream | null
  operation: string
  outcome: GraphqlOutcome
  /** What the operation costs, once that is known: before it is run, and also when it is not. */
  cost: Cost | null
}

export type GraphqlHandler = (req: IncomingMessage, res: ServerResponse, request: GraphqlRequest) => Promise<void>

const current = new AsyncLocalStorage<GraphqlRequest>()

/**
 * Documents that may be run are parsed and validated once. They are kept with all their tokens, some 100 bytes for a
 * character. What was refused is not kept: whoever sends ever new documents would fill the memory with them.
 */
const keptCharacters = 500_000
const keptDocumentCharacters = 20_000

/** Answers authenticated requests at /graphql whose parameters were read. */
export function createGraphql(options: GraphqlOptions): GraphqlHandler {
  const { metrics, log, introspection, streams, streamTimes, streamDb, ...given } = options
  const documents = new LRUCache<string, DocumentNode>({
    maxSize: keptCharacters,
    maxEntrySize: keptDocumentCharacters,
    sizeCalculation: (_, text) => text.length,
  })
  const yoga = createYoga<GraphqlRequest>({
    schema,
    graphqlEndpoint: '/graphql',
    cors: false,
    multipart: false,
    batching: false,
    landingPage: false,
    graphiql: false,
    logging: false,
    // The door has read the request.
    maxRequestBodySize: false,
    parserAndValidationCache: {
      documentCache: { get: (text) => documents.get(text), set: () => {} },
      errorCache: { get: () => undefined, set: () => {} },
    },
    maskedErrors: {
      maskError: (error) => mask(error, { requestId: current.getStore()?.requestId ?? 'unknown', log, note }),
    },
    context: (request): SchemaContext => ({
      ...given,
      actor: request.actor,
      requestId: request.requestId,
      metrics,
      log: log.with({ requestId: request.requestId }),
      loaders: createLoaders(given.db, request.actor),
      noteRefusal: () => note('refused'),
      signal: neverAborted,
      door: { maxBodyBytes, minRequestPoints: priceOfRequest, document: limits, budgets: request.account.budgets },
    }),
    plugins: [
      bounds({
        introspects: (actor) => introspection !== 'off' && lacking(actor, 'read') === null,
        keep: (text, document) => void (documents.has(text) || documents.set(text, document)),
      }) as Plugin<object, GraphqlRequest>,
      streaming(options) as Plugin<object, GraphqlRequest>,
    ],
  })
  return (req, res, request) =>
    current.run(request, async () => {
      try {
        await yoga(req, res, request)
      } finally {
        // Also where it was opened and then nothing came of it.
        request.stream?.end()
      }
    })
}

const neverAborted = new AbortController().signal

interface Bounds {
  readonly introspects: (actor: Actor) => boolean
  /** Is given each document that may be run, with its text. */
  readonly keep: (text: string, document: DocumentNode) => void
}

/** Refuses what is too much, or not for this caller, before it is run, with one error. */
function bounds({ introspects, keep }: Bounds): Plugin<SchemaContext & GraphqlRequest> {
  const mayIntrospect = () => introspects(underWay().actor)
  return {
    onRequestParse({ setRequestParser }) {
      setRequestParser(() => underWay().parameters as GraphQLParams)
    },
    onResponse({ response }) {
      // Streams come with these two of their own; what the door says holds for them too.
      response.headers.set('cache-control', 'no-store')
      response.headers.delete('connection')
    },
    onParse({ setParseFn }) {
      setParseFn(parseDocument)
      return ({ result, replaceParseResult }) => {
        const flaw =
          result instanceof Error
            ? overLimit(result)
            : result && (documentFlaw(schema, result, mayIntrospect()) ?? paid(priceOfDocument(result)))
        if (!flaw) return
        // Whatever is given in place of a document is thrown by the server as it is. Thrown at once, it keeps its status.
        replaceParseResult(flaw as never)
        throw flaw
      }
    },
    onValidate({ params, setValidationFn, addValidationRule }) {
      const hideSuggestions = !mayIntrospect()
      // What was found with suggestions is kept apart from what was found without, by the names of the rules.
      if (hideSuggestions) addValidationRule(withoutSuggestions)
      setValidationFn((...[of, document, rules, options]: Parameters<typeof validate>) =>
        validate(of, document, rules, { ...options, maxErrors: 5, hideSuggestions }).map(unvaluedLiteral),
      )
      return ({ valid }) => {
        if (valid) keep(String(underWay().parameters.query), params.documentAST)
        else note('invalid')
      }
    },
    onExecute({ args, setExecuteFn, setResultAndStopExecution }) {
      // Yoga's own puts the fields of an answer in the order in which they were done.
      setExecuteFn(execute)
      const { flaw, cost } = admit(args, !mayIntrospect())
      const extensions = cost ? { extensions: { cost } } : {}
      if (flaw) return void setResultAndStopExecution({ errors: [flaw], ...extensions })
      return {
        onExecuteDone({ result, setResult }) {
          if (!(Symbol.asyncIterator in result)) setResult({ ...result, ...extensions })
        },
      }
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const { flaw } = admit(args, !mayIntrospect())
      if (flaw) setResultAndStopExecution({ errors: [flaw] })
    },
  }
}

/** Opens the stream of a subscription that may be run, and writes it. */
function streaming({ streamDb, hub, streams, streamTimes }: GraphqlOptions): Plugin<SchemaContext & GraphqlRequest> {
  return {
    onSubscribe({ args, setSubscribeFn, setResultAndStopExecution }) {
      const request = underWay()
      const { actor, account, again, cost, operation } = request
      const stream = request.readsStreams ? streams.open(actor.teamId, operation) : notAStream()
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
    onResultProcess({ result, serverContext, setResultProcessor }) {
      const { stream, began } = underWay()
      if (!stream || !isStream(result)) return
      const { res } = serverContext as unknown as { readonly res: ServerResponse }
      const write = async () => {
        began()
        await writeStream(res, result, stream, streamTimes)
        // Nothing is left to be sent.
        return new Response(null)
      }
      setResultProcessor(write as never, 'text/event-stream')
    },
  }
}

const isStream = (result: unknown): result is AsyncIterable<ExecutionResult> =>
  typeof result === 'object' && result !== null && Symbol.asyncIterator in result

const overLimit = (error: Error) =>
  error instanceof GraphQLError && error.extensions.code === 'LIMIT_EXCEEDED' ? error : null

const withoutSuggestions: ValidationRule = () => ({})

/** The last look at an operation, now that it is known which one it is, with which variables. */
function admit(args: ExecutionArgs, hideSuggestions: boolean): Weighed {
  const { document, operationName } = args
  const request = underWay()
  const operation = getOperationAST(document, operationName)
  if (!operation) return { cost: null, flaw: null }
  request.operation = labelOf(operation)
  const missing = operation.operation === 'mutation' ? null : lacking(request.actor, 'read')
  if (missing) {
    note('refused')
    const message = `The caller lacks the ${missing.kind} ${missing.name}.`
    return { cost: null, flaw: refusal(403, 'FORBIDDEN', message, { missing: missing.name }) }
  }
  const weighed = weigh({ schema, document, operation, variables: args.variableValues ?? {}, hideSuggestions })
  request.cost = weighed.cost
  if (weighed.flaw) note(weighed.flaw.extensions.code === 'LIMIT_EXCEEDED' ? 'limited' : 'invalid')
  // What it costs is known here, and it is run next.
  return weighed.flaw || !weighed.cost ? weighed : { ...weighed, flaw: paid(weighed.cost.requested) }
}

/** Null when the request has paid so many points; else why it goes no further. */
function paid(points: number): GraphQLError | null {
  const over = underWay().account.pay(points)
  if (!over) return null
  note('limited')
  return rateError(over)
}

/** The first root field that we know, so that the label has as many values as the schema has root fields. */
function labelOf(operation: OperationDefinitionNode): string {
  for (const selection of operation.selectionSet.selections) {
    if (selection.kind !== Kind.FIELD) continue
    if (selection.name.value.startsWith('__')) return 'introspection'
    if (graphqlOperations.includes(selection.name.value)) return selection.name.value
  }
  return 'unknown'
}

function underWay(): GraphqlRequest {
  const request = current.getStore()
  if (!request) throw new Error('there is no request under way')
  return request
}

/** The gravest outcome stays. */
const gravity: readonly GraphqlOutcome[] = ['ok', 'refused', 'invalid', 'limited', 'unavailable', 'fault']
function note(outcome: GraphqlOutcome): void {
  const request = current.getStore()
  if (request && gravity.indexOf(outcome) > gravity.indexOf(request.outcome)) request.outcome = outcome
}
