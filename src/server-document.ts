// What a document may look like before anything of it is run. Everything here is bounded by the size of the document: a
// fragment is looked at once, however often it is spread.
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  Lexer,
  MaxIntrospectionDepthRule,
  parse,
  type SelectionSetNode,
  Source,
  TokenKind,
  validate,
} from 'graphql'

/** Bounds of a document. The introspection of GraphiQL needs a depth of 15 and some 300 fields. */
export const limits = {
  tokens: 2_000,
  brackets: 50,
  depth: 15,
  fields: 400,
  aliases: 50,
  directives: 50,
  introspection: 20_000,
  cost: 20_000,
} as const

/** An error of the whole request, before anything of it is run, by a code that clients may decide by. */
export const refusal = (status: number, code: string, message: string, more: object = {}): GraphQLError =>
  new GraphQLError(message, { extensions: { code, ...more, http: { status } } })

/** A document or request that is refused for its size. */
export const limited = (what: string, found: number, most: number): GraphQLError =>
  refusal(400, 'LIMIT_EXCEEDED', `The ${what} is ${found}; at most ${most} is taken. Ask for less at once.`)
/** The same where nobody has counted to the end. */
const tooMuch = (what: string, most: number) =>
  refusal(400, 'LIMIT_EXCEEDED', `The ${what} is more than the ${most} that is taken. Ask for less at once.`)

/** Parses a document of a bounded number of tokens and a bounded depth. Throws a GraphQLError. */
export function parseDocument(text: string): DocumentNode {
  // The parser calls itself for each bracket: what lies too deep is found before it would break on it.
  const source = new Source(text)
  const lexer = new Lexer(source)
  let open = 0
  for (let tokens = 0; lexer.advance().kind !== TokenKind.EOF; tokens++) {
    const { kind } = lexer.token
    if (opening.has(kind)) open++
    else if (closing.has(kind)) open--
    if (tokens >= limits.tokens) throw tooMuch('tokens in the document', limits.tokens)
    if (open > limits.brackets) throw tooMuch('depth of the document in brackets', limits.brackets)
  }
  return parse(source)
}
const opening: ReadonlySet<string> = new Set([TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L])
const closing: ReadonlySet<string> = new Set([TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R])

/**
 * Why a document is not looked at any further; null when nothing speaks against it. `introspects`: whether this caller may
 * ask what the schema is.
 */
export function documentFlaw(schema: GraphQLSchema, document: DocumentNode, introspects: boolean): GraphQLError | null {
  const { depth, fields, aliases, directives, introspection, circular } = extentOf(document)
  if (circular)
    return refusal(
      400,
      'GRAPHQL_VALIDATION_FAILED',
      'A fragment may not spread itself, neither directly nor by others.',
    )
  if (depth > limits.depth) return limited('depth of the document', depth, limits.depth)
  if (fields > limits.fields) return limited('number of fields, fragments spread out,', fields, limits.fields)
  if (aliases > limits.aliases) return limited('number of aliases', aliases, limits.aliases)
  if (directives > limits.directives) return limited('number of directives', directives, limits.directives)
  if (introspection === 0) return null
  if (!introspects) return refusal(403, 'INTROSPECTION_REFUSED', 'The schema is not told to this caller.')
  if (introspection > limits.introspection)
    return limited('weight of the introspection', introspection, limits.introspection)
  const [tooDeep] = validate(schema, document, [MaxIntrospectionDepthRule], { maxErrors: 1 })
  return tooDeep ? refusal(400, 'LIMIT_EXCEEDED', `${tooDeep.message}.`) : null
}

/** What the introspection in a document costs: less than other rows, because none of them is read from anywhere. */
export const introspectionCost = (document: DocumentNode): number => Math.ceil(extentOf(document).introspection / 10)

interface Extent {
  readonly depth: number
  readonly fields: number
  readonly aliases: number
  readonly directives: number
  /** Fields, each as often as the lists around it would have it if they were those of an introspection. */
  readonly weight: number
  /** The weight of what lies in `__schema` and `__type`. */
  readonly introspection: number
}
interface Walk {
  readonly fragments: ReadonlyMap<string, SelectionSetNode>
  /** Null: under way; whoever comes to it from inside goes in a circle. */
  readonly known: Map<string, Extent | null>
  circular: boolean
}

const nothing: Extent = { depth: 0, fields: 0, aliases: 0, directives: 0, weight: 0, introspection: 0 }
const names = ['fields', 'aliases', 'directives', 'weight', 'introspection'] as const
const inBounds = (count: number) => Math.min(1e9, count)

/** How many rows the lists of an introspection have. The whole schema, asked for once, has a weight of some 16,000. */
const rows: ReadonlyMap<string, number> = new Map([
  ['types', 8],
  ['fields', 8],
  ['args', 3],
  ['inputFields', 8],
  ['enumValues', 8],
  ['possibleTypes', 8],
  ['interfaces', 2],
  ['directives', 5],
])

/** Documents are kept from request to request, and so is what is known of them. */
const extents = new WeakMap<DocumentNode, Extent & { readonly circular: boolean }>()

function extentOf(document: DocumentNode): Extent & { readonly circular: boolean } {
  const kept = extents.get(document)
  if (kept) return kept
  const fragments = new Map<string, SelectionSetNode>()
  for (const each of document.definitions)
    if (each.kind === Kind.FRAGMENT_DEFINITION) fragments.set(each.name.value, each.selectionSet)
  const walk: Walk = { fragments, known: new Map(), circular: false }
  const total = { ...nothing }
  for (const each of document.definitions) {
    if (each.kind !== Kind.OPERATION_DEFINITION && each.kind !== Kind.FRAGMENT_DEFINITION) continue
    const own = extentOfSet(each.selectionSet, walk)
    // One operation is run; directives are looked at wherever they stand.
    for (const name of ['depth', ...names] as const) total[name] = Math.max(total[name], own[name])
    total.directives += each.directives?.length ?? 0
  }
  const whole = { ...total, circular: walk.circular }
  extents.set(document, whole)
  return whole
}

function extentOfSet(set: SelectionSetNode, walk: Walk): Extent {
  const total = { ...nothing }
  for (const each of set.selections) {
    const within =
      each.kind === Kind.FRAGMENT_SPREAD
        ? extentOfFragment(each.name.value, walk)
        : each.selectionSet
          ? extentOfSet(each.selectionSet, walk)
          : nothing
    const own = { ...within, directives: within.directives + (each.directives?.length ?? 0) }
    if (each.kind === Kind.FIELD) {
      own.depth += 1
      own.fields += 1
      own.aliases += each.alias ? 1 : 0
      own.weight = 1 + within.weight * (rows.get(each.name.value) ?? 1)
      if (each.name.value === '__schema' || each.name.value === '__type') own.introspection = own.weight
    }
    total.depth = Math.max(total.depth, own.depth)
    for (const name of names) total[name] = inBounds(total[name] + own[name])
  }
  return total
}

function extentOfFragment(name: string, walk: Walk): Extent {
  const known = walk.known.get(name)
  const body = walk.fragments.get(name)
  if (known) return known
  if (known === null) walk.circular = true
  if (known === null || !body) return nothing
  walk.known.set(name, null)
  const own = extentOfSet(body, walk)
  walk.known.set(name, own)
  return own
}
