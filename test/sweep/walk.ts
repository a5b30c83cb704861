// What the schema says, as the sweeps need it: every place where a caller may put an id, every path from the roots, and a
// selection of all that a type shows. Everything follows from the schema, so that a new field is swept as soon as it is there.
import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLObjectType,
  type GraphQLUnionType,
  getNamedType,
  getNullableType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isLeafType,
  isListType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
} from 'graphql'
import { schema } from '../../src/schema/schema.ts'

type Field = GraphQLField<unknown, unknown>
type Given = GraphQLArgument | GraphQLInputField

/** A place for text in the arguments of a field: an id by its type, or a text that could be taken for one. */
export interface Place {
  /** Of which type the field is, e.g. `Query`. */
  readonly type: string
  readonly field: string
  /** Names of arguments and input fields down to the place; `[]` for an element of a list. */
  readonly path: readonly string[]
  readonly of: 'ID' | 'String'
}

const rootsOf = (): GraphQLObjectType[] =>
  [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].filter((type) => type != null)
const fieldsOf = (type: GraphQLObjectType): Field[] => Object.values(type.getFields())

export const mutations: readonly Field[] = Object.values(schema.getMutationType()?.getFields() ?? {})
export const queries: readonly Field[] = Object.values(schema.getQueryType()?.getFields() ?? {})
export const subscriptions: readonly Field[] = Object.values(schema.getSubscriptionType()?.getFields() ?? {})

function typeNamed(name: string): GraphQLNamedType {
  const type = schema.getType(name)
  if (!type) throw new Error(`there is no type ${name}`)
  return type
}

/** The types that have an id: every one of them has an owner. */
export const nodeTypes: readonly string[] = schema
  .getImplementations(schema.getType('Node') as never)
  .objects.map(({ name }) => name)
  .sort()

/** Every place for an id, or for other text, of every field anywhere. */
export function places(of: Place['of']): Place[] {
  const objects = Object.values(schema.getTypeMap()).filter((type) => isObjectType(type) && !type.name.startsWith('__'))
  return (objects as GraphQLObjectType[]).flatMap((type) =>
    fieldsOf(type).flatMap((field) =>
      field.args.flatMap((arg) =>
        textIn(arg, of, []).map((path) => ({ type: type.name, field: field.name, path, of })),
      ),
    ),
  )
}

/** The places for text inside one argument. A type inside itself is looked into once. */
function textIn(given: Given, of: string, within: readonly GraphQLNamedType[]): string[][] {
  const type = getNamedType(given.type)
  const here = [given.name, ...(isListType(getNullableType(given.type)) ? ['[]'] : [])]
  if (type.name === of) return [here]
  if (!isInputObjectType(type) || within.includes(type)) return []
  const inner = Object.values(type.getFields()).flatMap((field) => textIn(field, of, [...within, type]))
  return inner.map((path) => [...here, ...path])
}

/** The value with `text` at the place; what is not there on the way is made. */
export function put(value: unknown, [step, ...rest]: readonly string[], text: unknown): unknown {
  if (step === undefined) return text
  if (step === '[]') {
    const [first] = Array.isArray(value) ? value : []
    return [put(first, rest, text)]
  }
  const known = (value ?? {}) as Record<string, unknown>
  return { ...known, [step]: put(known[step], rest, text) }
}

/** A value that the type takes, with nothing in it that is not required. */
export function leastOf(type: GraphQLInputType, id: string): unknown {
  const named = getNamedType(type)
  const one = (): unknown => {
    if (isEnumType(named)) return named.getValues()[0]?.name
    if (isInputObjectType(named)) {
      const required = Object.values(named.getFields()).filter(isRequiredInputField)
      return Object.fromEntries(required.map((field) => [field.name, leastOf(field.type, id)]))
    }
    const plain: Record<string, unknown> = { ID: id, String: 'production', Int: 1, Float: 1, Boolean: true }
    return plain[named.name] ?? '2030-01-01T00:00:00Z'
  }
  return isListType(getNullableType(type)) ? [one()] : one()
}

/** The arguments that a field cannot be asked without. */
export const leastArguments = (field: Field, id: string): Record<string, unknown> =>
  Object.fromEntries(field.args.filter(isRequiredArgument).map((arg) => [arg.name, leastOf(arg.type, id)]))

/** `field(a: $a)` with its variables declared; `variables` names those that are given. */
export function asked(field: Field, variables: Record<string, unknown>): { declared: string; called: string } {
  const given = field.args.filter(({ name }) => name in variables)
  const list = (each: (arg: GraphQLArgument) => string) => (given.length > 0 ? `(${given.map(each).join(', ')})` : '')
  return {
    declared: list(({ name, type }) => `$${name}: ${type}`),
    called: `${field.name}${list(({ name }) => `${name}: $${name}`)}`,
  }
}

/** All that a type shows, `depth` objects deep; a page is asked for four rows, so that no cost is too high. */
export function selectionOf(type: GraphQLNamedType, depth: number): string {
  if (isLeafType(type)) return ''
  if (isInterfaceType(type))
    return `{ __typename ${Object.values(type.getFields())
      .filter((field) => isLeafType(getNamedType(field.type)))
      .map(({ name }) => name)
      .join(' ')} }`
  if (isAbstractType(type)) {
    const parts = schema.getPossibleTypes(type).map((each) => `... on ${each.name} ${selectionOf(each, depth)}`)
    return `{ __typename ${parts.join(' ')} }`
  }
  const shown = fieldsOf(type as GraphQLObjectType).map((field) => {
    const inner = getNamedType(field.type)
    if (isLeafType(inner)) return field.name
    if (depth <= 1 || field.args.some(isRequiredArgument)) return ''
    return `${field.name}${pageOf(field)} ${selectionOf(inner, isWrapper(inner) ? depth : depth - 1)}`
  })
  return `{ __typename ${shown.filter((text) => text !== '').join(' ')} }`
}

/** All that the result of a mutation shows: of objects that a refusal has found, their ids. */
export function resultSelection(name: string): string {
  const members = schema.getPossibleTypes(typeNamed(name) as GraphQLUnionType).map((member) => {
    const shown = fieldsOf(member).map((field) => {
      const type = getNamedType(field.type)
      if (isLeafType(type)) return field.name
      const onlyId = nodeTypes.includes(type.name) && !member.name.endsWith('Payload')
      return `${field.name} ${onlyId ? '{ id }' : selectionOf(type, 1)}`
    })
    return `... on ${member.name} { ${shown.join(' ')} }`
  })
  return `{ __typename ${members.join(' ')} }`
}

/** Connections and their edges are no step of a path. */
export const isWrapper = (type: GraphQLNamedType): boolean => /(Connection|Edge)$/.test(type.name)
/** A list that can be asked for in pages is asked for a small one. */
export const pageOf = (field: Field): string => (field.args.some(({ name }) => name === 'first') ? '(first: 4)' : '')
export const isConnection = (field: Field): boolean => getNamedType(field.type).name.endsWith('Connection')

/** A path from the query root, as the text of its root field with all leaves at its end. */
export interface Path {
  readonly name: string
  readonly field: string
}

/** A root field with its arguments, and the type of what it answers where that is known. */
export interface RootCall {
  readonly call: string
  readonly type?: string
  /** Fewer objects deep than the others. */
  readonly depth?: number
}

/** Every path of one to `depth` objects from the query root, once for each call of each root field. */
export function paths(maxDepth: number, callsOf: (root: Field) => readonly RootCall[]): Path[] {
  const found: Path[] = []
  let depth = maxDepth
  const walk = (type: GraphQLNamedType, steps: number, name: string, around: (inner: string) => string) => {
    if (isAbstractType(type)) {
      for (const each of schema.getPossibleTypes(type))
        walk(each, steps, `${name}:${each.name}`, (inner) => around(`{ ... on ${each.name} ${inner} }`))
      return
    }
    if (!isObjectType(type)) return
    found.push({ name, field: around(selectionOf(type, 1)) })
    for (const field of fieldsOf(type)) {
      const inner = getNamedType(field.type)
      if (isLeafType(inner) || field.args.some(isRequiredArgument)) continue
      // That edges show what nodes show is tested with the pages; here it would be every path twice.
      if (inner.name.endsWith('Edge')) continue
      // A connection at the last step would lead one step further.
      if (steps >= depth && !isWrapper(type)) continue
      const within = (text: string) => around(`{ ${field.name}${pageOf(field)} ${text} }`)
      walk(inner, isWrapper(inner) ? steps : steps + 1, `${name}.${field.name}`, within)
    }
  }
  for (const root of queries) {
    const type = getNamedType(root.type)
    for (const { call, type: known, depth: own = maxDepth } of callsOf(root)) {
      depth = own
      const name = call.replace(/\w+_\w+/g, '…').slice(0, 60)
      if (isLeafType(type)) found.push({ name, field: call })
      else if (known === undefined || !isAbstractType(type))
        walk(type, isWrapper(type) ? 0 : 1, name, (inner) => `${call} ${inner}`)
      else walk(typeNamed(known), 1, `${name}:${known}`, (inner) => `${call} { ... on ${known} ${inner} }`)
    }
  }
  return found
}

/** Paths put together under aliases `p0, p1, …`, as many as one document may hold. */
export function documentsOf(
  all: readonly Path[],
  maxFields = 300,
  maxAliases = 40,
): { document: string; paths: readonly Path[] }[] {
  const batches: Path[][] = [[]]
  let fields = 0
  for (const path of all) {
    const own = path.field.match(/\w+/g)?.length ?? 0
    const full = fields + own > maxFields || batches.at(-1)?.length === maxAliases
    if (full) batches.push([])
    fields = full ? own : fields + own
    batches.at(-1)?.push(path)
  }
  return batches.map((batch) => ({
    document: `{ ${batch.map(({ field }, at) => `p${at}: ${field}`).join(' ')} }`,
    paths: batch,
  }))
}

/** The roots that there are: a further one is a further way in. */
export const roots = (): string[] => rootsOf().map(({ name }) => name)
