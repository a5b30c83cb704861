import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Api, openApi } from './api.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())
test('first', async () => {
  const a = await api.call(
    `mutation { deploy(input: {name: "hello", image: "hello", env: [{key: "A", value: "1"}]}) { __typename ... on DeployPayload { replayed deployment { id state env { key value revision changedBy } allowedActions { action allowed because } operations { nodes { id kind state } totalCount } events { nodes { kind } } } operation { id state } } ... on Refusal { code message } } }`,
  )
  console.log(JSON.stringify(a.data ?? a, null, 1), a.errors)
  const b = await api.call(
    `{ viewer { scopes team { name allowedActions { action } } token { lastUsedAt } } deployments { totalCount nodes { name operations { nodes { subject { id } allowedActions { action allowed because } } } } pageInfo { endCursor hasNextPage } } stuck(olderThanMs: 0) { entity state since owner remedies { mutation arguments } subject { id } } lifecycles { entity states { name deadlineMs } transitions { action from to } } events { nodes { kind } } }`,
  )
  console.log(JSON.stringify(b.data ?? b, null, 1).slice(0, 4000), b.errors)
  console.log(api.names(), api.logged)
  expect(a.status).toBe(200)
})
