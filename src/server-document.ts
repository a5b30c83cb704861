// What a document may look like and cost before anything of it is run. Everything here is bounded by the size of the
// document: a fragment is looked at once, however often it is spread.
import { complexityFromQuery } from '@pothos/plugin-complexity'
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  type SelectionSetNode,
} from 'graphql'
import { BadUserInput } from './resolvers/page.ts'

export const maxBodyBytes = 262_144
/** Bounds of a document. The introspection of GraphiQL needs a depth of 15 and some 300 fields. */
export const limits = { tokens: 2_000, depth: 15, fields: 400, directives: 50, cost: 20_000 } as const

/** A document or request that is refused for its size, by a code that clients may decide by. */
export const limited = (what: string, found: number, most: number): GraphQLError =>
  new GraphQLError(`The ${what} is ${found}; at most ${most} is taken. Ask for less at once.`, {
    extensions: { code: 'LIMIT_EXCEEDED', http: { status: 400 } },
  })

interface Extent {
  readonly depth: number
  readonly fields: number
  readonly directives: number
}

/** The first bound that a document breaks, fragments spread out; null when it breaks none. */
export function documentFlaw(document: DocumentNode): GraphQLError | null {
  const fragments = new Map<string, SelectionSetNode>()
  for (const each of document.definitions)
    if (each.kind === Kind.FRAGMENT_DEFINITION) fragments.set(each.name.value, each.selectionSet)
  const known = new Map<string, Extent>()
  let total: Extent = { depth: 0, fields: 0, directives: 0 }
  for (const each of document.definitions) {
    if (each.kind !== Kind.OPERATION_DEFINITION && each.kind !== Kind.FRAGMENT_DEFINITION) continue
    const own = extent(each.selectionSet, fragments, known)
    total = {
      depth: Math.max(total.depth, own.depth),
      fields: Math.max(total.fields, own.fields),
      directives: total.directives + own.directives + (each.directives?.length ?? 0),
    }
  }
  if (total.depth > limits.depth) return limited('depth of the document', total.depth, limits.depth)
  if (total.fields > limits.fields)
    return limited('number of fields, fragments spread out,', total.fields, limits.fields)
  if (total.directives > limits.directives) return limited('number of directives', total.directives, limits.directives)
  return null
}

/** A cycle of fragments counts once here; validation refuses it. */
function extent(
  set: SelectionSetNode,
  fragments: ReadonlyMap<string, SelectionSetNode>,
  known: Map<string, Extent>,
): Extent {
  let depth = 0
  let fields = 0
  let directives = 0
  for (const each of set.selections) {
    directives += each.directives?.length ?? 0
    let inner: Extent = { depth: 0, fields: 0, directives: 0 }
    if (each.kind === Kind.FRAGMENT_SPREAD) {
      const name = each.name.value
      const body = fragments.get(name)
      if (body && !known.has(name)) {
        known.set(name, inner)
        known.set(name, extent(body, fragments, known))
      }
      inner = known.get(name) ?? inner
    } else if (each.selectionSet) {
      inner = extent(each.selectionSet, fragments, known)
    }
    const isField = each.kind === Kind.FIELD
    depth = Math.max(depth, inner.depth + (isField ? 1 : 0))
    fields = Math.min(1e9, fields + inner.fields + (isField ? 1 : 0))
    directives = Math.min(1e9, directives + inner.directives)
  }
  return { depth, fields, directives }
}

/**
 * Why an operation is not run: its cost with these variables, or a page size that is not taken. Null when nothing speaks
 * against it; variables that are of a wrong type are left to the execution to name.
 */
export function operationFlaw(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
  ctx: object,
): GraphQLError | null {
  const operation = getOperationAST(document, operationName)
  if (!operation) return null
  const others = document.definitions.filter((each) => each.kind !== Kind.OPERATION_DEFINITION)
  const chosen: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...others] }
  try {
    const { complexity } = complexityFromQuery(chosen, { schema, ctx, variables })
    return complexity > limits.cost ? limited('cost of the operation', complexity, limits.cost) : null
  } catch (error) {
    if (error instanceof BadUserInput) return badInput(error)
    if (error instanceof GraphQLError) return null
    throw error
  }
}

export const badInput = (error: BadUserInput, at: GraphQLError | null = null): GraphQLError =>
  new GraphQLError(error.message, {
    ...(at ? { nodes: at.nodes ?? null, path: at.path ?? null } : {}),
    extensions: { code: 'BAD_USER_INPUT', ...(at ? {} : { http: { status: 400 } }) },
  })
