// What is wrong with a value, told without the value: a secret that is sent with the wrong type is not sent back.
import {
  coerceInputValue,
  GraphQLError,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isInputType,
  isLeafType,
  isListType,
  Kind,
  type OperationDefinitionNode,
  print,
  typeFromAST,
} from 'graphql'

interface Given {
  readonly schema: GraphQLSchema
  readonly operation: OperationDefinitionNode
  readonly variables: Readonly<Record<string, unknown>>
  readonly hideSuggestions: boolean
}

/** The first fault of the variables: its place and what is expected there. `fault` is the one that was found. */
export function unvalued(fault: GraphQLError, { schema, operation, variables, hideSuggestions }: Given): string {
  // Of a variable that is not there at all there is no value to be told.
  if (!fault.message.includes(' got invalid value ')) return fault.message
  for (const { variable, type: node } of operation.variableDefinitions ?? []) {
    const name = variable.name.value
    const type = typeFromAST(schema, node as never) as unknown
    if (!isInputType(type) || variables[name] === undefined) continue
    let found: string | null = null
    const note = (path: readonly (string | number)[], value: unknown, error: GraphQLError) => {
      const at = [name, ...path]
        .map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`))
        .join('')
        .slice(1)
      const wanted = typeAt(type, path)
      // What is wrong with an object names its fields and types; what is wrong with a leaf repeats it. What
      // was meant instead is a name of the schema's.
      const isLeaf = value !== null && value !== undefined && isLeafType(getNamedType(wanted))
      const meant = isEnumType(getNamedType(wanted)) ? (/ Did you mean [^?]*\?$/.exec(error.message)?.[0] ?? '') : ''
      const why = isLeaf ? `Expected a value of type "${String(wanted)}".${meant}` : error.message
      found = `Variable "$${name}" got an invalid value at "${at}"; ${why}`
      // The first one is enough: there may be a hundred thousand.
      throw error
    }
    try {
      coerceInputValue(variables[name], type, note, hideSuggestions)
    } catch (error) {
      if (found === null) throw error
      return found
    }
  }
  return 'A variable got an invalid value.'
}

function typeAt(type: GraphQLInputType, path: readonly (string | number)[]): GraphQLInputType {
  let at = type
  for (const key of path) {
    const inner = getNullableType(at)
    if (typeof key === 'number') at = isListType(inner) ? inner.ofType : at
    else if (isInputObjectType(inner)) at = inner.getFields()[key]?.type ?? at
  }
  return at
}

const literals: readonly string[] = [Kind.INT, Kind.FLOAT, Kind.STRING, Kind.BOOLEAN, Kind.ENUM, Kind.LIST, Kind.OBJECT]

/** The same for what stands in the document itself. */
export function unvaluedLiteral(error: GraphQLError): GraphQLError {
  const [node] = error.nodes ?? []
  if (!node || !literals.includes(node.kind)) return error
  const written = print(node)
  const message = error.message.replace(`: ${written}`, () => '').replace(`, found ${written}`, () => '')
  return message === error.message ? error : new GraphQLError(message, { nodes: error.nodes ?? null })
}
