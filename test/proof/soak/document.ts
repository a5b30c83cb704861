// One document for each mutation of schema.graphql, which asks for every member of its result and for what each of them says; and
// whether an answer to it is as the schema types it.
import { readFileSync } from 'node:fs'
import {
  buildSchema,
  type DocumentNode,
  type GraphQLOutputType,
  type GraphQLUnionType,
  getNamedType,
  isEnumType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  isUnionType,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
} from 'graphql'

const schema = buildSchema(readFileSync(new URL('../../../schema.graphql', import.meta.url), 'utf8'))
const mutations = schema.getMutationType()?.getFields() ?? {}
export const mutationNames: readonly string[] = Object.keys(mutations)

/** Of objects, what every one of them has that a caller goes on with. */
const wanted = ['id', 'version', 'state']
const refusal = 'code message retryable retryAfterMs remedies { __typename mutation query arguments explanation }'
const common = new Set(Object.keys((schema.getType('Refusal') as { getFields(): object }).getFields()))

function selectionOf(type: GraphQLOutputType): string {
  const named = getNamedType(type)
  if (!isObjectType(named) && !isInterfaceType(named)) return isUnionType(named) ? ' { __typename }' : ''
  const fields = named.getFields()
  return ` { __typename ${wanted.filter((name) => Object.hasOwn(fields, name)).join(' ')} }`
}

/** Fields of different members may differ in their types: each has its member's name in front. */
function documentOf(mutation: string): string {
  const result = getNamedType(mutations[mutation]?.type as GraphQLOutputType) as GraphQLUnionType
  const members = result.getTypes().map((member) => {
    const own = Object.values(member.getFields()).filter(({ name }) => !common.has(name))
    const fields = own.map(({ name, type }) => `${member.name}_${name}: ${name}${selectionOf(type)}`)
    return fields.length === 0 ? '' : `... on ${member.name} { ${fields.join(' ')} }`
  })
  const input = String(mutations[mutation]?.args[0]?.type)
  return `mutation ($input: ${input}) { ${mutation}(input: $input) { __typename ... on Refusal { ${refusal} } ${members.join(' ')} } }`
}

const made = new Map<string, { readonly text: string; readonly parsed: DocumentNode }>()
function forMutation(mutation: string) {
  const known = made.get(mutation)
  if (known) return known
  const text = documentOf(mutation)
  const fresh = { text, parsed: parse(text) }
  made.set(mutation, fresh)
  return fresh
}

/** The document of a mutation; its one variable is `$input`. */
export const textOf = (mutation: string): string => forMutation(mutation).text

/** What an answer's `data` has that the schema does not allow, in words; empty for most. */
export function flawsOf(mutation: string, data: unknown): string[] {
  const [operation] = forMutation(mutation).parsed.definitions as readonly OperationDefinitionNode[]
  const root = schema.getMutationType()
  return operation && root ? inObject(data, operation.selectionSet, root.name, mutation) : []
}

function inObject(value: unknown, { selections }: SelectionSetNode, typeName: string, path: string): string[] {
  const type = schema.getType(typeName)
  if (!isObjectType(type)) return [`${path} is of type ${typeName}, which is no object of the schema`]
  const object = value as Record<string, unknown>
  return selections.flatMap((selection): string[] => {
    if (selection.kind === 'InlineFragment') {
      const on = schema.getType(selection.typeCondition?.name.value ?? '')
      const holds = on === type || (isInterfaceType(on) && schema.isSubType(on, type))
      return holds ? inObject(value, selection.selectionSet, typeName, path) : []
    }
    if (selection.kind !== 'Field') return []
    const name = selection.name.value
    const key = selection.alias?.value ?? name
    const at = `${path}.${key}`
    if (!Object.hasOwn(object, key)) return [`${at} is missing`]
    if (name === '__typename') return object[key] === typeName ? [] : [`${at} is ${JSON.stringify(object[key])}`]
    const field = type.getFields()[name]
    return field ? inType(object[key], field.type, selection.selectionSet, at) : [`${at} is no field of ${typeName}`]
  })
}

function inType(value: unknown, type: GraphQLOutputType, chosen: SelectionSetNode | undefined, at: string): string[] {
  if (isNonNullType(type)) {
    return value === null ? [`${at} is null`] : inType(value, type.ofType as GraphQLOutputType, chosen, at)
  }
  if (value === null) return []
  if (isListType(type)) {
    if (!Array.isArray(value)) return [`${at} is no list`]
    return value.flatMap((item, index) => inType(item, type.ofType as GraphQLOutputType, chosen, `${at}.${index}`))
  }
  if (isScalarType(type) || isEnumType(type))
    return leafFlaw(value, type.name, at, isEnumType(type) ? type.getValue(String(value)) !== undefined : null)
  if (typeof value !== 'object' || chosen === undefined) return [`${at} is no object`]
  const typeName = String((value as { __typename?: unknown }).__typename)
  const own = schema.getType(typeName)
  const fits = own === type || (!isObjectType(type) && isObjectType(own) && schema.isSubType(type, own))
  return fits ? inObject(value, chosen, typeName, at) : [`${at} is of type ${typeName}, and should be ${type.name}`]
}

const leaves: Readonly<Record<string, (value: unknown) => boolean>> = {
  Boolean: (value) => typeof value === 'boolean',
  Int: (value) => Number.isInteger(value),
  Float: (value) => typeof value === 'number',
  String: (value) => typeof value === 'string',
  ID: (value) => typeof value === 'string' && value !== '',
  DateTime: (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
}

function leafFlaw(value: unknown, type: string, at: string, known: boolean | null): string[] {
  const fits = known ?? leaves[type]?.(value) ?? true
  return fits ? [] : [`${at} is ${JSON.stringify(value)}, which is no ${type}`]
}
