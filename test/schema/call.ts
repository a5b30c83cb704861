// Calls that many schema tests make: a deployment by the real mutation, and any mutation with what all refusals have.
import { expect } from 'vitest'
import type { Api } from './api.ts'

/** Deploys, and returns the ids of the deployment and of its first operation. */
export async function deployed(api: Api, name: string, token?: string): Promise<{ id: string; operationId: string }> {
  const answer = await mutate(
    api,
    'deploy',
    { name, image: 'hello' },
    '... on DeployPayload { deployment { id } operation { id } }',
    token,
  )
  return { id: answer.deployment.id, operationId: answer.operation.id }
}

export const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1)
const refusal =
  '... on Refusal { code message retryable retryAfterMs remedies { mutation query arguments explanation } }'

/** Calls a mutation by name; its own selection beside what all refusals have. Fails on errors at top level. */
export async function mutate(api: Api, mutation: string, input: object, selection = '', token?: string) {
  const document = `mutation ($input: ${capital(mutation)}Input!) { ${mutation}(input: $input) { __typename ${refusal} ${selection} } }`
  const { data, errors } = await api.call(document, { input }, token)
  expect(errors).toBeUndefined()
  return data[mutation]
}
