// What an operation costs with the variables that it came with: known before anything of it is run, the same for a literal
// and a variable. Variables are read here first, so that what is wrong with them is told in one way.
import { complexityFromQuery } from '@pothos/plugin-complexity'
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  GraphQLIncludeDirective,
  type GraphQLSchema,
  GraphQLSkipDirective,
  getDirectiveValues,
  getVariableValues,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql'
import { BadUserInput } from './resolvers/page.ts'
import { introspectionCost, limited, limits } from './server-document.ts'
import { unvalued } from './server-value.ts'

/** What `extensions.cost` of an answer says. */
export interface Cost {
  readonly requested: number
  readonly limit: number
}
/** A cost is there whenever it could be told; the flaw is null when the operation may be run. */
export interface Weighed {
  readonly cost: Cost | null
  readonly flaw: GraphQLError | null
}
interface Weighing {
  readonly schema: GraphQLSchema
  readonly document: DocumentNode
  readonly operation: OperationDefinitionNode
  readonly variables: Record<string, unknown>
  readonly hideSuggestions: boolean
}

/** The cost of an operation, and why it is not run: the cost itself, a page size that is not taken, or its variables. */
export function weigh({ schema, document, operation, variables, hideSuggestions }: Weighing): Weighed {
  // By itself the next step would collect every fault of variables that have a hundred thousand.
  const read = getVariableValues(schema, operation.variableDefinitions ?? [], variables, {
    maxErrors: 1,
    hideSuggestions,
  })
  const [wrong] = read.errors ?? []
  if (wrong)
    return { cost: null, flaw: badInput(unvalued(wrong, { schema, operation, variables, hideSuggestions }), wrong) }
  const others = document.definitions.filter((each) => each.kind !== Kind.OPERATION_DEFINITION)
  const chosen: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...others] }
  try {
    if (operation.operation === 'subscription' && !selects(operation.selectionSet, document, read.coerced ?? {}))
      return { cost: null, flaw: badInput(noField) }
    const { complexity } = complexityFromQuery(chosen, { schema, variables })
    const requested = complexity + introspectionCost(document)
    return {
      cost: { requested, limit: limits.cost },
      flaw: requested > limits.cost ? limited('cost of the operation', requested, limits.cost) : null,
    }
  } catch (error) {
    if (error instanceof BadUserInput) return { cost: null, flaw: badInput(error.message) }
    if (error instanceof GraphQLError) return { cost: null, flaw: badInput(error.message, error) }
    throw error
  }
}

const noField = 'A subscription needs its one field: with @skip and @include as they are given nothing is left of it.'

/** Whether a field is left, by `@skip` and `@include`. A document whose fragments are too many has been refused by now. */
function selects(set: SelectionSetNode, document: DocumentNode, variables: Record<string, unknown>): boolean {
  const fragmentOf = (name: string) =>
    document.definitions.find(
      (each): each is FragmentDefinitionNode => each.kind === Kind.FRAGMENT_DEFINITION && each.name.value === name,
    )
  return set.selections.some((node) => {
    if (getDirectiveValues(GraphQLSkipDirective, node, variables)?.if === true) return false
    if (getDirectiveValues(GraphQLIncludeDirective, node, variables)?.if === false) return false
    if (node.kind === Kind.FIELD) return true
    const within = node.kind === Kind.FRAGMENT_SPREAD ? fragmentOf(node.name.value)?.selectionSet : node.selectionSet
    return within !== undefined && selects(within, document, variables)
  })
}

/** Something in the arguments or variables is not taken; `at` says where. */
export const badInput = (message: string, at: GraphQLError | null = null): GraphQLError =>
  new GraphQLError(message, {
    ...(at ? { nodes: at.nodes ?? null, path: at.path ?? null } : {}),
    // An error with a path is part of an answer that is otherwise good.
    extensions: { code: 'BAD_USER_INPUT', ...(at?.path ? {} : { http: { status: 400 } }) },
  })
