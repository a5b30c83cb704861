// Each attack on the front door on its own: one refusal, by its code, before anything is run, with the headers of every
// answer; and an honest caller is served after it as before.
import { isObjectType } from 'graphql'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { schema } from '../../src/schema/schema.ts'
import { type Api, openApi } from '../schema/api.ts'
import { attacks } from './attack.ts'
import { post, type Target } from './client.ts'

let api: Api
let target: Target
beforeAll(async () => {
  api = await openApi({ times: { lingerMs: 200 } })
  target = { url: api.url, token: api.team.token }
})
beforeEach(() => api.forget())
afterAll(() => api.close())

/** What is asked of the database for every caller, whatever else becomes of the request. */
const everyRequest = /authenticate|noteTokenUse/

async function served(): Promise<void> {
  const { status, data } = await post(target, '{ viewer { scopes } }')
  expect([status, data?.viewer.scopes.includes('read')]).toEqual([200, true])
}

describe('is answered by one refusal, and nothing is run', () => {
  test.each(attacks)('$name', async ({ send, answer }) => {
    const { status, errors, data, headers, text } = await send(target)
    expect([status, errors.map((error) => error.extensions.code)], text.slice(0, 300)).toEqual([
      answer.status,
      [answer.code],
    ])
    expect(data ?? null).toBeNull()
    expect(errors[0]?.message.length).toBeLessThan(1_000)
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-request-id': expect.any(String) })
    expect(headers).not.toHaveProperty('access-control-allow-origin')
    expect(api.names().filter((name) => !everyRequest.test(name))).toEqual([])
    await served()
  })
})

const lists = Object.values(schema.getTypeMap())
  .filter(isObjectType)
  .flatMap((type) => Object.values(type.getFields()).map((field) => ({ name: `${type.name}.${field.name}`, field })))
  .filter(({ field }) => field.args.some(({ name }) => name === 'first'))

describe('a page is weighed before it is read', () => {
  test('there are lists', () => expect(lists.length).toBeGreaterThan(10))

  test.each(lists)('$name', ({ field }) => {
    const { complexity } = field.extensions as { complexity?: (args: object) => { field: number; multiplier: number } }
    expect(() => complexity?.({ first: 1_000_000_000 })).toThrow('first must be 1 to 100, not 1000000000.')
    expect(complexity?.({ first: 7 }).multiplier).toBe(7)
  })
})
