// The part of our schema that the peers which are written by hand serve, letter by letter, and who asks them.
import { createHash } from 'node:crypto'

export const typeDefs = /* GraphQL */ `
  type Deployment {
    id: ID!
    state: String!
    version: String!
  }
  type Operation {
    id: ID!
    state: String!
  }
  input RedeployDeploymentInput {
    id: ID!
    image: String
    idempotencyKey: String
    expectedVersion: String
  }
  type RedeployDeploymentPayload {
    deployment: Deployment
    operation: Operation
    replayed: Boolean!
  }
  interface Refusal {
    code: String!
    message: String!
  }
  type NotFound implements Refusal {
    code: String!
    message: String!
  }
  type NotRedeployable implements Refusal {
    code: String!
    message: String!
  }
  type VersionConflict implements Refusal {
    code: String!
    message: String!
  }
  type IdempotencyKeyReused implements Refusal {
    code: String!
    message: String!
  }
  union RedeployDeploymentResult =
      IdempotencyKeyReused
    | NotFound
    | NotRedeployable
    | RedeployDeploymentPayload
    | VersionConflict
  type Query {
    version: String!
  }
  type Mutation {
    redeployDeployment(input: RedeployDeploymentInput!): RedeployDeploymentResult!
  }
`

export interface Input {
  readonly id: string
  readonly image?: string | null
  readonly idempotencyKey?: string | null
  readonly expectedVersion?: string | null
}

/** The states that a redeploy starts from. */
export const workable = ['BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED']

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The parts of a token: found by the one, known by the hash of the other. */
export function tokenOf(authorization: string | undefined): { lookupId: string; secretHash: string } | null {
  const [, lookupId, secret] = /^Bearer pawl_(\w{12})_(\w{30})\w{6}$/.exec(authorization ?? '') ?? []
  return lookupId && secret ? { lookupId, secretHash: sha256(secret) } : null
}

/** Tells an input from another. */
export const hashOf = ({ id, image = null, expectedVersion = null }: Input): string =>
  sha256(JSON.stringify({ id, image, expectedVersion }))

const refusal = (__typename: string, code: string, message: string) => ({ __typename, code, message })
export const notFound = (id: string) => refusal('NotFound', 'NOT_FOUND', `There is no deployment ${id}.`)
export const keyReused = () =>
  refusal('IdempotencyKeyReused', 'IDEMPOTENCY_KEY_REUSED', 'This key was first used with another input.')
/** Why a deployment that is there was not moved. */
export const notMoved = ({ state, version }: { state: string; version: number }) =>
  workable.includes(state)
    ? refusal('VersionConflict', 'VERSION_CONFLICT', `The deployment is at version ${version} now.`)
    : refusal('NotRedeployable', 'NOT_REDEPLOYABLE', `A deployment that is ${state} cannot be redeployed.`)

export const accepted = <D, O>(deployment: D, operation: O, replayed: boolean) => ({
  __typename: 'RedeployDeploymentPayload',
  deployment,
  operation,
  replayed,
})
