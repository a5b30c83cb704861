// Stacks through the door: inputs at their bounds and beyond them, the refusals that every mutation can give, and another
// team's stacks. What is refused changes nothing.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/client.ts'
import { newId } from '../../src/db/id.ts'
import { statementName } from '../../src/db/session.ts'
import { createTeam, createToken, superuser, type TestTeam } from '../fixture.ts'
import { giveStackRoom, putStack, type StackFacts } from '../stacks/row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
let sql: postgres.Sql
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  other = await createTeam(api.database.url)
  for (const { teamId } of [api.team, other]) await giveStackRoom(sql, teamId)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const put = (facts: Partial<StackFacts> = {}) => putStack(sql, { teamId: api.team.teamId, state: 'HEALTHY', ...facts })
const faults = '... on ValidationFailed { faults { path message } }'
const named = () => `n-${crypto.randomUUID().slice(0, 8)}`
const service = (more: object = {}) => ({ name: 'web', image: 'hello', ...more })
const many = (count: number) => Array.from({ length: count }, (_, n) => service({ name: `s${n}` }))
const variable = (key: string, value: string) => ({ key, value })
/** Each path once: there may be several things wrong with one value. */
const pathsOf = (answer: { faults: { path: string[] }[] }) =>
  [...new Set(answer.faults.map(({ path }) => path.slice(1).join('.')))].sort()
const versions = () => sql`select id, version from stack order by id`

describe('what is just allowed', () => {
  test.each<[string, object]>([
    ['twenty services', { services: many(20) }],
    ['no services', { services: [] }],
    ['the longest names', { services: [service({ name: `a${'b'.repeat(62)}` })] }],
    ['the first and the last port', { services: [service({ port: 1 }), service({ name: 'api', port: 65_535 })] }],
    ['an environment of 64 KiB', { services: [], env: [variable('A', 'x'.repeat(65_535))] }],
    ['the longest image', { services: [service({ image: 'i'.repeat(255) })] }],
  ])('createStack with %s', async (_, input) => {
    const answer = await mutate(api, 'createStack', { name: named(), ...input }, faults)
    expect(answer.__typename, JSON.stringify(answer)).toBe('CreateStackPayload')
  })
})

describe('bad inputs are told, all faults at once, and change nothing:', () => {
  test.each<[string, object, string[]]>([
    ['a name with capitals', { name: 'Shop' }, ['name']],
    ['a name that is too long', { name: `a${'b'.repeat(63)}` }, ['name']],
    ['NUL in a name', { name: 'a\0b' }, ['name']],
    ['a lone surrogate in an environment', { environment: 'a\ud800' }, ['environment']],
    ['twenty-one services', { services: many(21) }, ['services']],
    ['a service twice', { services: [service(), service({ image: 'other' })] }, ['services.1.name']],
    ['a bad name of a service', { services: [service({ name: '-web' })] }, ['services.0.name']],
    ['NUL in the name of a service', { services: [service({ name: 'w\0b' })] }, ['services.0.name']],
    ['no image', { services: [service({ image: '' })] }, ['services.0.image']],
    ['an image that is too long', { services: [service({ image: 'i'.repeat(256) })] }, ['services.0.image']],
    ['a lone surrogate in an image', { services: [service({ image: 'a\ud800' })] }, ['services.0.image']],
    ['port 0', { services: [service({ port: 0 })] }, ['services.0.port']],
    ['a port too high', { services: [service({ port: 65_536 })] }, ['services.0.port']],
    ['a key twice', { env: [variable('A', '1'), variable('A', '2')] }, ['env.1.key']],
    ['NUL in a value', { env: [variable('A', 'a\0b')] }, ['env.0.value']],
    ['more than 64 KiB', { env: [variable('A', 'x'.repeat(65_536))] }, ['env']],
    ['what the runtime keeps to itself', { env: [variable('PORT', '1')] }, ['env.0.key']],
    ['an image that the runtime does not know', { services: [service({ image: 'unknown' })] }, ['services.0.image']],
    [
      'everything at once',
      { name: '1', environment: ' ', services: [service({ name: '', port: -1 })], env: [variable('a', '')] },
      ['name', 'environment', 'services.0.name', 'services.0.port', 'env.0.key'],
    ],
  ])('createStack: %s', async (_, input, paths) => {
    const before = await versions()
    const answer = await mutate(api, 'createStack', { name: 'fine', services: [service()], ...input }, faults)
    expect(answer).toMatchObject({ code: 'VALIDATION_FAILED', retryable: false })
    expect(pathsOf(answer)).toEqual([...paths].sort())
    expect(await versions()).toEqual(before)
  })

  test.each<[string, object, string[]]>([
    ['redeployStack', { services: many(21) }, ['services']],
    ['redeployStack', { services: [service(), service()] }, ['services.1.name']],
    ['redeployStack', { services: [service({ image: 'unknown' })] }, ['services.0.image']],
    ['deleteStack', { expectedVersion: '01' }, ['expectedVersion']],
    ['mergeStackEnv', { set: [variable('A', '1'), variable('A', '1')] }, ['set.1.key']],
    [
      'mergeStackEnv',
      {
        expect: [
          { key: 'A', revision: 1 },
          { key: 'A', absent: true },
        ],
      },
      ['expect.1.key'],
    ],
    ['mergeStackEnv', { set: [variable('A', '1')], unset: ['A'] }, ['unset']],
    ['mergeStackEnv', { unset: ['A', 'A'] }, ['unset.1']],
    ['mergeStackEnv', { set: [variable('A', '\ud800')] }, ['set.0.value']],
    ['mergeStackEnv', { unset: ['A\0'] }, ['unset.0']],
    ['mergeStackEnv', { set: [variable('PORT', '1')] }, ['set.0.key']],
    ['mergeStackEnv', { expect: [{ key: 'A', absent: false }] }, ['expect.0.absent']],
    ['mergeStackEnv', { expect: [{ key: 'A', revision: 1, absent: true }] }, ['expect.0']],
    ['mergeStackEnv', { expect: [{ key: 'A' }] }, ['expect.0']],
    ['mergeStackEnv', { idempotencyKey: 'k'.repeat(256) }, ['idempotencyKey']],
  ])('%s with %j', async (mutation, input, paths) => {
    const id = await put()
    const answer = await mutate(api, mutation, { id, ...input }, faults)
    expect([answer.code, pathsOf(answer)]).toEqual(['VALIDATION_FAILED', paths])
    expect((await sql`select version from stack where id = ${id}`)[0]?.version).toBe(1)
  })
})

const byId = ['redeployStack', 'deleteStack', 'mergeStackEnv'] as const
const asked = (mutation: string, id: string) => ({
  id,
  ...(mutation === 'mergeStackEnv' ? { set: [variable('A', '1')] } : {}),
})

describe.each(['createStack', ...byId])('%s: refusals that all have', (mutation) => {
  const input = async () =>
    mutation === 'createStack' ? { name: named(), services: [service()] } : asked(mutation, await put())
  const payload = `... on ${capital(mutation)}Payload { replayed stack { id } }`

  test('Forbidden without the scope, which is named; no remedy that needs it', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'deploy', 'resource'] })
    const answer = await mutate(api, mutation, await input(), '... on Forbidden { missing }', token)
    expect(answer).toMatchObject({ code: 'FORBIDDEN', missing: 'stack', retryable: false })
    expect(answer.remedies.filter((remedy: { mutation: string | null }) => remedy.mutation)).toEqual([])
  })

  test('IdempotencyKeyReused for another input; the same again is a replay, also after the stack has ended', async () => {
    const idempotencyKey = crypto.randomUUID()
    const first = { ...(await input()), idempotencyKey }
    const once = await mutate(api, mutation, first, payload)
    expect(once.replayed).toBe(false)
    await sql`set session_replication_role = replica`
    await sql`update stack set state = 'DELETED' where id = ${once.stack.id}`
    await sql`reset session_replication_role`
    expect(await mutate(api, mutation, first, payload)).toEqual({ ...once, replayed: true })
    const reused = await mutate(
      api,
      mutation,
      { ...(await input()), idempotencyKey },
      '... on IdempotencyKeyReused { firstUsedAt }',
    )
    expect(reused).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED', firstUsedAt: expect.stringMatching(/Z$/) })
  })

  test('Busy and TemporarilyUnavailable, and nothing was changed', async () => {
    const given = await input()
    for (const [kind, code] of [
      ['busy', 'BUSY'],
      ['unavailable', 'TEMPORARILY_UNAVAILABLE'],
    ] as const) {
      api.before = (statement) => {
        if (statementName(statement.sql) === mutation) throw new DatabaseFault(kind, 'told to')
      }
      const answer = await mutate(api, mutation, given)
      api.before = () => {}
      expect(answer).toMatchObject({ code, retryable: true, retryAfterMs: expect.any(Number) })
    }
    expect((await mutate(api, mutation, given)).__typename).toBe(`${capital(mutation)}Payload`)
  })
})

test.each(byId)('%s: VersionConflict shows the version that it has, and NotFound what never was', async (mutation) => {
  const id = await put({ version: 3 })
  const conflict = '... on VersionConflict { currentVersion stack { id version } }'
  expect(await mutate(api, mutation, { ...asked(mutation, id), expectedVersion: '2' }, conflict)).toMatchObject({
    code: 'VERSION_CONFLICT',
    currentVersion: '3',
    stack: { id, version: '3' },
  })
  expect((await mutate(api, mutation, { ...asked(mutation, id), expectedVersion: '3' })).__typename).toBe(
    `${capital(mutation)}Payload`,
  )
  for (const wrong of [newId('Stack'), newId('Deployment'), 'stk_', ''])
    expect((await mutate(api, mutation, asked(mutation, wrong))).code, wrong).toBe('NOT_FOUND')
})

test.each(byId)('%s of another team’s stack: NotFound, the same as what never was', async (mutation) => {
  const [id, missing] = [await put({ teamId: other.teamId }), newId('Stack')]
  const ask = async (of: string) =>
    JSON.stringify(await mutate(api, mutation, asked(mutation, of))).replaceAll(of, 'ID')
  expect(await ask(id)).toContain('"NOT_FOUND"')
  expect(await ask(id)).toBe(await ask(missing))
  expect((await sql`select state, version from stack where id = ${id}`)[0]).toEqual({ state: 'HEALTHY', version: 1 })
})
