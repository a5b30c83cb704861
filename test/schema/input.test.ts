// Bad inputs are typed, whatever they hold; so is a row that somebody else holds.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { putDeployment, superuser } from '../fixture.ts'
import { type Api, openApi } from './api.ts'
import { mutate } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

describe('bad inputs are typed', () => {
  const faults = '... on ValidationFailed { faults { path message } }'
  test.each([
    ['deploy', { name: 'Bad Name', image: 'hello' }, ['input', 'name']],
    ['deploy', { name: 'a\0b', image: 'hello' }, ['input', 'name']],
    ['deploy', { name: 'ok', image: '' }, ['input', 'image']],
    ['deploy', { name: 'ok', image: 'unknown' }, ['input', 'image']],
    ['deploy', { name: 'ok', image: 'hello', environment: 'x'.repeat(33) }, ['input', 'environment']],
    ['deploy', { name: 'ok', image: 'hello', ttlHours: 0 }, ['input', 'ttlHours']],
    ['deploy', { name: 'ok', image: 'hello', env: [{ key: 'a', value: '' }] }, ['input', 'env', '0', 'key']],
    ['deploy', { name: 'ok', image: 'hello', env: [{ key: 'A', value: '\uD800' }] }, ['input', 'env', '0', 'value']],
    ['deploy', { name: 'ok', image: 'hello', idempotencyKey: 'a b' }, ['input', 'idempotencyKey']],
    ['deploy', { name: 'ok', image: 'hello', expectedVersion: 'x' }, ['input', 'expectedVersion']],
    ['createApiToken', { name: 'x', scopes: [] }, ['input', 'scopes']],
    ['createApiToken', { name: 'x', scopes: ['nothing'] }, ['input', 'scopes', '0']],
    ['createApiToken', { name: 'x', scopes: ['read'], expiresAt: '2020-01-01T00:00:00Z' }, ['input', 'expiresAt']],
  ])('%s %j', async (mutation, input, path) => {
    const answer = await mutate(api, mutation, input, faults)
    expect(answer.code).toBe('VALIDATION_FAILED')
    expect(answer.faults[0].path).toEqual(path)
  })

  test.each([['"x"'], ['"2030-01-01"'], ['"2030-13-01T00:00:00Z"'], ['1']])(
    'a time of %s is malformed',
    async (time) => {
      const { status, errors } = await api.call(`{ events(filter: { from: ${time} }) { totalCount } }`)
      expect(errors?.[0]?.extensions.code).toMatch(/^(BAD_USER_INPUT|GRAPHQL_VALIDATION_FAILED)$/)
      expect([200, 400]).toContain(status)
    },
  )

  test('an id of another kind, or none at all, is not found', async () => {
    for (const id of ['x', '', newId('Team'), 'dep_x', 'dep_'.padEnd(300, '0'), '__proto__', 'a\0b']) {
      expect((await mutate(api, 'stopDeployment', { id })).code).toBe('NOT_FOUND')
      expect((await mutate(api, 'cancelOperation', { id })).code).toBe('NOT_FOUND')
      expect((await mutate(api, 'revokeApiToken', { id })).code).toBe('NOT_FOUND')
      const { data } = await api.call('query ($id: ID!) { node(id: $id) { id } deployment(id: $id) { id } }', { id })
      expect(data.deployment).toBeNull()
    }
  })
})

test('a row that somebody holds is Busy, with when to ask again', async () => {
  const id = await putDeployment(api.database.url, api.team.teamId)
  const sql = superuser(api.database.url)
  await sql.begin(async (held) => {
    await held`select id from deployment where id = ${id} for update`
    expect(await mutate(api, 'stopDeployment', { id })).toMatchObject({
      code: 'BUSY',
      retryable: true,
      retryAfterMs: 1_000,
    })
  })
  await sql.end()
}, 15_000)
