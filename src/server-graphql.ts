// GraphQL behind the door: Yoga with our limits, our masks and our context. Errors at top level are for what is malformed,
// too much, or a bug; a bug is told by its request id alone.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { GraphQLError, getOperationAST, Kind, type OperationDefinitionNode, parse, validate } from 'graphql'
import { createYoga, type Plugin } from 'graphql-yoga'
import { type Actor, lacking } from './auth.ts'
import type { Context } from './context.ts'
import { DatabaseFault } from './db/fault.ts'
import type { Log } from './log.ts'
import type { GraphqlOutcome, Metrics } from './metrics.ts'
import { createLoaders } from './resolvers/loader.ts'
import { BadUserInput } from './resolvers/page.ts'
import type { SchemaContext } from './schema/builder.ts'
import { graphqlOperations, schema } from './schema/schema.ts'
import { badInput, documentFlaw, limits, maxBodyBytes, operationFlaw } from './server-document.ts'

export interface GraphqlOptions extends Pick<Context, 'db' | 'images' | 'nudge' | 'resourceTypes' | 'sealing'> {
  readonly metrics: Metrics
  readonly log: Log
}

/** One request on its way through; what is found out on the way is for the metric and the mask. */
export interface GraphqlRequest {
  readonly actor: Actor
  readonly requestId: string
  operation: string
  outcome: GraphqlOutcome
}

export type GraphqlHandler = (req: IncomingMessage, res: ServerResponse, request: GraphqlRequest) => Promise<void>

const current = new AsyncLocalStorage<GraphqlRequest>()

/** Answers authenticated requests at /graphql. */
export function createGraphql({ metrics, log, ...given }: GraphqlOptions): GraphqlHandler {
  const yoga = createYoga<GraphqlRequest>({
    schema,
    graphqlEndpoint: '/graphql',
    cors: false,
    multipart: false,
    batching: false,
    landingPage: false,
    graphiql: false,
    logging: false,
    maxRequestBodySize: maxBodyBytes,
    maskedErrors: { maskError: (error) => mask(error, log) },
    context: (request): SchemaContext => ({
      ...given,
      actor: request.actor,
      requestId: request.requestId,
      metrics,
      log: log.with({ requestId: request.requestId }),
      loaders: createLoaders(given.db, request.actor),
      noteRefusal: () => note('refused'),
    }),
    plugins: [bounds as Plugin<object, GraphqlRequest>],
  })
  return (req, res, request) => current.run(request, async () => void (await yoga(req, res, request)))
}

/** Refuses what is too much before it is run, with one error. */
const bounds: Plugin<SchemaContext & GraphqlRequest> = {
  onParse({ setParseFn }) {
    setParseFn((source: string) => parse(source, { maxTokens: limits.tokens }))
    return ({ result, replaceParseResult }) => {
      const flaw = result && !(result instanceof Error) ? documentFlaw(result) : null
      // Whatever is given in place of a document is thrown by the server as it is.
      if (flaw) {
        note('limited')
        replaceParseResult(flaw as never)
        throw flaw
      }
    }
  },
  onValidate({ setValidationFn }) {
    setValidationFn((...[of, document, rules, options]: Parameters<typeof validate>) =>
      validate(of, document, rules, { ...options, maxErrors: 5 }),
    )
  },
  onExecute({ args, setResultAndStopExecution }) {
    const request = current.getStore()
    const operation = getOperationAST(args.document, args.operationName)
    if (!request || !operation) return
    request.operation = labelOf(operation)
    const missing = operation.operation === 'mutation' ? null : lacking(request.actor, 'read')
    const flaw = missing
      ? new GraphQLError(`The caller lacks the ${missing.kind} ${missing.name}.`, {
          extensions: { code: 'FORBIDDEN', missing: missing.name, http: { status: 403 } },
        })
      : operationFlaw(schema, args.document, args.operationName, args.variableValues ?? {}, args.contextValue)
    if (!flaw) return
    note(flaw.extensions.code === 'LIMIT_EXCEEDED' ? 'limited' : missing ? 'refused' : 'invalid')
    setResultAndStopExecution({ errors: [flaw] })
  },
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

/** The gravest outcome stays. */
const gravity: readonly GraphqlOutcome[] = ['ok', 'refused', 'invalid', 'limited', 'unavailable', 'fault']
function note(outcome: GraphqlOutcome): void {
  const request = current.getStore()
  if (request && gravity.indexOf(outcome) > gravity.indexOf(request.outcome)) request.outcome = outcome
}

/** What a caller is told of an error: our own words as they are, everything else by its request id. */
function mask(error: unknown, log: Log): GraphQLError {
  const at = error instanceof GraphQLError ? error : null
  const cause = rootOf(error)
  if (cause instanceof BadUserInput) {
    note('invalid')
    return badInput(cause, at)
  }
  if (cause instanceof GraphQLError && isMeant(cause)) {
    if (cause.extensions.code === undefined) cause.extensions.code = 'BAD_USER_INPUT'
    note('invalid')
    return at ?? cause
  }
  const requestId = current.getStore()?.requestId ?? 'unknown'
  const place = at ? { nodes: at.nodes ?? null, path: at.path ?? null } : {}
  const http = at?.path ? {} : { http: { status: cause instanceof DatabaseFault && cause.kind !== 'bug' ? 503 : 500 } }
  if (
    cause instanceof DatabaseFault &&
    (cause.kind === 'busy' || cause.kind === 'unavailable' || cause.kind === 'unknown-outcome')
  ) {
    note('unavailable')
    const retryAfterMs = cause.retryAfterMs ?? 1_000
    return new GraphQLError(`The database cannot be reached right now. Try again in ${retryAfterMs} ms.`, {
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

function rootOf(error: unknown): unknown {
  let cause = error
  for (let depth = 0; depth < 10 && cause instanceof GraphQLError && cause.originalError; depth++)
    cause = cause.originalError
  return cause
}
