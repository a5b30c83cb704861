// A value that is not taken is never told again: a secret may have been sent with the wrong type.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Api, openApi } from '../schema/api.ts'
import { post, type Target } from './client.ts'

let api: Api
let target: Target
beforeAll(async () => {
  api = await openApi()
  target = { url: api.url, token: api.team.token }
})
afterAll(() => api.close())

const set = 'mutation ($v: SetSecretInput!) { setSecret(input: $v) { __typename } }'
test.each([
  ['a number', 4242424242, /4242/],
  ['an object', { a: 'LEAK-CANARY' }, /CANARY/],
  ['a list', ['LEAK-CANARY'], /CANARY/],
])('%s in place of a secret is refused by its place, and is not told again', async (_, value, shown) => {
  const given = { environment: 'development', name: 'A', value }
  const { status, text, errors } = await post(target, set, { v: given })
  expect([status, errors[0]?.extensions.code]).toEqual([400, 'BAD_USER_INPUT'])
  expect(errors[0]?.message).toBe(
    'Variable "$v" got an invalid value at "v.value"; Expected a value of type "String!".',
  )
  expect(text).not.toMatch(shown)
  const literal = JSON.stringify(value).replace('"a"', 'a')
  const document = `mutation { setSecret(input: { environment: "development", name: "A", value: ${literal} }) { __typename } }`
  const written = await post(target, document)
  expect(written.errors[0]?.message).toBe('String cannot represent a non string value')
  expect(written.errors[0]?.extensions.code).toBe('GRAPHQL_VALIDATION_FAILED')
  expect(written.text).not.toMatch(shown)
})

test('a variable that is wrong as a whole, or of a wrong list, names what is expected', async () => {
  const told = async (v: unknown) => (await post(target, set, { v })).errors[0]?.message
  expect(await told('LEAK-CANARY')).toBe(
    'Variable "$v" got an invalid value at "v"; Expected type "SetSecretInput" to be an object.',
  )
  expect(await told({ environment: 'development', name: 'A', value: null })).toBe(
    'Variable "$v" got an invalid value at "v.value"; Expected non-nullable type "String!" not to be null.',
  )
  expect(await told({})).toContain('of required type "String!" was not provided.')
})
