// What may be run: refuses what is too much, or not for this caller, before it is run and with one error. A document by its
// size, an operation by what it costs with its variables, and both by what the caller has left to spend.
import {
  type DocumentNode,
  type ExecutionArgs,
  execute,
  GraphQLError,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
  validate,
} from 'graphql'
import type { Plugin } from 'graphql-yoga'
import { LRUCache } from 'lru-cache'
import { type Actor, lacking } from './auth.ts'
import type { SchemaContext } from './schema/builder.ts'
import { graphqlOperations, schema } from './schema/schema.ts'
import { type Weighed, weigh } from './server-cost.ts'
import { documentFlaw, parseDocument, refusal } from './server-document.ts'
import { priceOfDocument, rateError } from './server-rate.ts'
import { note, underWay } from './server-under-way.ts'
import { unvaluedLiteral } from './server-value.ts'

/**
 * Documents that may be run are parsed and validated once. They are kept with all their tokens, some 100 bytes for a
 * character. What was refused is not kept: whoever sends ever new documents would fill the memory with them.
 */
const keptCharacters = 500_000
const keptDocumentCharacters = 20_000

/** The plugin that looks at every request, at each step of its way. `introspects`: who may ask what the schema is. */
export function bounds(introspects: (actor: Actor) => boolean): Plugin<SchemaContext> {
  const mayIntrospect = () => introspects(underWay().actor)
  const documents = new LRUCache<string, DocumentNode>({
    maxSize: keptCharacters,
    maxEntrySize: keptDocumentCharacters,
    sizeCalculation: (_, text) => text.length,
  })
  return {
    onParse({ params, setParseFn, setParsedDocument }) {
      const known = documents.get(String(params.source))
      if (known) setParsedDocument(known)
      else setParseFn(parseDocument)
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
    onValidate({ params: { documentAST }, setValidationFn, setResult }) {
      const text = String(underWay().parameters.query)
      if (documents.get(text) === documentAST) return setResult([])
      setValidationFn((...[of, document, rules, options]: Parameters<typeof validate>) =>
        validate(of, document, rules, { ...options, maxErrors: 5, hideSuggestions: !mayIntrospect() }).map(
          unvaluedLiteral,
        ),
      )
      return ({ valid }) => {
        if (valid) documents.set(text, documentAST)
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

const overLimit = (error: Error) =>
  error instanceof GraphQLError && error.extensions.code === 'LIMIT_EXCEEDED' ? error : null

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
