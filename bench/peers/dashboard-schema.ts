// What the peers of the benchmark `dashboard` serve: lists of a team with what hangs on each row, and what may be done with a
// deployment now, told in the words of ours by the same declaration.
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import { callerActions } from '../../src/resolvers/allowed-action.ts'

export const typeDefs = /* GraphQL */ `
  type AllowedAction {
    action: String!
    allowed: Boolean!
    because: String
  }
  type Instance {
    id: ID!
    state: String!
    runtime: String!
  }
  type InstanceConnection {
    nodes: [Instance!]!
  }
  type Operation {
    id: ID!
    kind: String!
    state: String!
    generation: Int!
  }
  type OperationConnection {
    nodes: [Operation!]!
  }
  type Deployment {
    id: ID!
    name: String!
    environment: String!
    state: String!
    url: String
    generation: Int!
    allowedActions: [AllowedAction!]!
    instances(first: Int!): InstanceConnection!
    operations(first: Int!): OperationConnection!
  }
  type DeploymentConnection {
    nodes: [Deployment!]!
  }
  type Resource {
    id: ID!
    name: String!
    state: String!
    type: String!
  }
  type ResourceConnection {
    nodes: [Resource!]!
  }
  type Query {
    deployments(first: Int!): DeploymentConnection!
    resources(first: Int!): ResourceConnection!
  }
`

export interface Action {
  readonly action: string
  readonly from: readonly string[]
}
/** What a caller may ask of a deployment, and from which states. */
export const actions: readonly Action[] = callerActions('Deployment').map((action) => {
  const { from } = deploymentMachine.moves[action as keyof typeof deploymentMachine.moves]
  return { action, from: from === 'birth' ? [] : from }
})
export const permanent = 'It is permanent: it has no time limit that could be moved.'

export function allowedActions({ state, ttlPolicy }: { readonly state: string; readonly ttlPolicy: string }) {
  return actions.map(({ action, from }) => {
    const because = !from.includes(state)
      ? `It is ${state}; ${action} starts from ${from.join(', ')}.`
      : action === 'setDeploymentTtl' && ttlPolicy !== 'TTL'
        ? permanent
        : null
    return { action, allowed: because === null, because }
  })
}
