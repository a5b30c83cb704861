// GraphQL over HTTP as its specification has it: the audits of graphql-http, all of them, by POST and by GET, for a caller
// who may introspect.
import { serverAudits } from 'graphql-http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Api, openApi } from './api.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const authorized = (input: string, init: RequestInit = {}) =>
  fetch(input, {
    ...init,
    headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${api.team.token}` },
  })
const audits = serverAudits({ url: () => `${api.url}/graphql`, fetchFn: authorized })

describe('graphql-http', () => {
  test('is asked all of its questions', () => {
    const levels = audits.map(({ name }) => name.split(' ')[0])
    expect([audits.length, levels.filter((level) => level === 'MUST').length]).toEqual([61, expect.any(Number)])
  })

  test.each(audits)('$id $name', async ({ fn }) => {
    expect(await fn()).toMatchObject({ status: 'ok' })
  })
})

/** What the audits ask by POST, where GET may ask it as well: the same answer. */
describe('by GET', () => {
  const get = (parameters: Record<string, string>, accept: string) =>
    authorized(`${api.url}/graphql?${new URLSearchParams(parameters)}`, { headers: { accept } })
  const named = 'query Type($name: String!) { __type(name: $name) { name } }'
  const modern = 'application/graphql-response+json'

  test.each<[string, Record<string, string>, number, number]>([
    ['a query', { query: '{ __typename }' }, 200, 200],
    ['a query with variables', { query: named, variables: '{"name":"Team"}' }, 200, 200],
    ['a query with a name', { query: 'query A { __typename }', operationName: 'A' }, 200, 200],
    ['a query with extensions', { query: '{ __typename }', extensions: '{"some":"value"}' }, 200, 200],
    ['text of another alphabet', { query: '{ __type(name: "Run🏃Swim🏊") { name } }' }, 200, 200],
    ['no query', {}, 400, 400],
    ['variables that are no JSON', { query: named, variables: '{' }, 400, 400],
    ['variables that are a list', { query: named, variables: '[]' }, 400, 400],
    ['extensions that are a text', { query: named, extensions: '"x"' }, 400, 400],
    ['a document with a syntax error', { query: '{' }, 400, 200],
    ['a document that is invalid', { query: '{ nothing }' }, 400, 200],
    ['a variable that is missing', { query: named }, 400, 400],
    ['an operation that is not there', { query: 'query A { __typename }', operationName: 'B' }, 400, 400],
  ])('%s', async (_, parameters, status, legacyStatus) => {
    const answer = await get(parameters, modern)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      expect.stringMatching(status === 200 ? /^application\/graphql-response\+json/ : /json/),
    ])
    expect(Object.keys(await answer.json())).toContain(status === 200 ? 'data' : 'errors')
    expect((await get(parameters, 'application/json')).status).toBe(legacyStatus)
  })
})
