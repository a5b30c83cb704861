// Resources through the door: inputs that break the rules, another team's resources, and the operations of resources.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createTeam, superuser, type TestTeam } from '../fixture.ts'
import { giveRoom, putResource, putResourceOperation, type ResourceOperationFacts } from '../resources/row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
let sql: postgres.Sql
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  other = await createTeam(api.database.url)
  for (const { teamId } of [api.team, other]) await giveRoom(sql, teamId)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const faults = '... on ValidationFailed { faults { path message } }'
const put = (state: 'ACTIVE' | 'PAUSED' | 'FAILED' | 'PROVISIONING' = 'ACTIVE', teamId = api.team.teamId) =>
  putResource(sql, { teamId, state, url: 'fake://u:canary@127.0.0.1/u' })

describe('bad inputs are told, all faults at once, and change nothing', () => {
  const bad: readonly (readonly [string, object, readonly string[]])[] = [
    ['a name with capitals', { name: 'Store' }, ['name']],
    ['a name that begins with a digit', { name: '1store' }, ['name']],
    ['no name', { name: '' }, ['name']],
    ['a name that is too long', { name: `a${'b'.repeat(63)}` }, ['name']],
    ['NUL in a name', { name: 'a\0b' }, ['name']],
    ['a lone surrogate in a name', { name: 'a\ud800' }, ['name']],
    ['an environment with spaces', { environment: 'my env' }, ['environment']],
    ['an environment that is too long', { environment: 'e'.repeat(33) }, ['environment']],
    ['no time', { ttlHours: 0 }, ['ttlHours']],
    ['more than a year', { ttlHours: 8_761 }, ['ttlHours']],
    ['a key with spaces', { idempotencyKey: 'a b' }, ['idempotencyKey']],
    ['an empty key', { idempotencyKey: '' }, ['idempotencyKey']],
    [
      'everything at once',
      { name: '-', environment: '', ttlHours: -1, idempotencyKey: ' ' },
      ['name', 'environment', 'ttlHours', 'idempotencyKey'],
    ],
  ]
  test.each(bad)('createResource: %s', async (_, input, paths) => {
    const before = await sql`select count(*)::int as n from resource`
    const answer = await mutate(api, 'createResource', { type: 'POSTGRES', name: 'fine', ...input }, faults)
    expect(answer).toMatchObject({ code: 'VALIDATION_FAILED', retryable: false })
    expect([...new Set(answer.faults.map(({ path }: { path: string[] }) => path[1]))].sort()).toEqual([...paths].sort())
    expect(await sql`select count(*)::int as n from resource`).toEqual(before)
  })

  test.each([
    ['setResourceTtl', { ttlHours: 0 }, 'ttlHours'],
    ['setResourceTtl', { ttlHours: 8_761 }, 'ttlHours'],
    ['deleteResource', { expectedVersion: '0' }, 'expectedVersion'],
    ['pauseResource', { expectedVersion: '1.0' }, 'expectedVersion'],
    ['resumeResource', { idempotencyKey: 'ü' }, 'idempotencyKey'],
    ['rotateResourceCredentials', { idempotencyKey: 'k'.repeat(256) }, 'idempotencyKey'],
  ])('%s with %j', async (mutation, input, path) => {
    const id = await put()
    const answer = await mutate(api, mutation, { id, ...input }, faults)
    expect(answer.faults).toMatchObject([{ path: ['input', path] }])
    expect((await sql`select version from resource where id = ${id}`)[0]?.version).toBe(1)
  })

  test.each([
    'type: MYSQL, name: "a"',
    'type: "POSTGRES", name: "a"',
    'name: "a"',
    'type: POSTGRES',
    'type: POSTGRES, name: "a", size: 1',
  ])('what is no document of this schema is none: %s', async (input) => {
    const { errors, data } = await api.call(`mutation { createResource(input: { ${input} }) { __typename } }`)
    expect(data ?? null).toBeNull()
    expect(errors?.length).toBeGreaterThan(0)
  })
})

describe('another team’s resource', () => {
  test('is not there by any path, the same as what never was', async () => {
    const id = await put('ACTIVE', other.teamId)
    const operationId = await putResourceOperation(sql, { teamId: other.teamId, subjectId: id, state: 'PENDING' })
    await sequenceEvents(api.pool.db, 100)
    const read = async (of: string, op: string) => {
      const { data, text } = await api.call(
        `query ($id: ID!, $op: ID!) { resource(id: $id) { id connection { url } } node(id: $id) { id } nodes(ids: [$id, $op]) { id }
          operation(id: $op) { id } operations(filter: { subject: $id }) { totalCount } events(filter: { subject: $id }) { totalCount }
          resources(first: 100) { nodes { id } } stuck(olderThanMs: 0) { subject { id } } }`,
        { id: of, op },
      )
      expect(text).not.toMatch(/canary/)
      return data
    }
    const missing = await read(newId('Resource'), newId('Operation'))
    expect(await read(id, operationId)).toEqual(missing)
    expect(missing).toMatchObject({ resource: null, node: null, nodes: [null, null], operation: null })
    expect(JSON.stringify(missing)).not.toContain(id)
    // Its own team sees it.
    expect(
      (await api.call('query ($id: ID!) { resource(id: $id) { id } }', { id }, other.token)).data.resource,
    ).toEqual({ id })
  })

  test.each(['deleteResource', 'pauseResource', 'resumeResource', 'rotateResourceCredentials', 'setResourceTtl'])(
    'cannot be moved by %s: NotFound, the same as what never was',
    async (mutation) => {
      const [id, missing] = [await put('ACTIVE', other.teamId), newId('Resource')]
      const more = mutation === 'setResourceTtl' ? { ttlHours: 1 } : {}
      const ask = async (of: string) =>
        JSON.stringify(await mutate(api, mutation, { id: of, ...more })).replaceAll(of, 'ID')
      expect(await ask(id)).toContain('"NOT_FOUND"')
      expect(await ask(id)).toBe(await ask(missing))
      expect((await sql`select state, version from resource where id = ${id}`)[0]).toEqual({
        state: 'ACTIVE',
        version: 1,
      })
    },
  )

  test('its name is free for this team', async () => {
    const id = await put('ACTIVE', other.teamId)
    const [row] = await sql`select name from resource where id = ${id}`
    expect((await mutate(api, 'createResource', { type: 'POSTGRES', name: row?.name })).__typename).toBe(
      'CreateResourcePayload',
    )
  })
})

describe('an operation of a resource', () => {
  const cases: readonly (readonly [
    string,
    'PROVISIONING' | 'FAILED' | 'ACTIVE',
    Partial<ResourceOperationFacts>,
    string,
    boolean,
  ])[] = [
    [
      'a provision that waits',
      'PROVISIONING',
      { kind: 'resource.provision', state: 'PENDING' },
      'cancelOperation',
      true,
    ],
    [
      'a provision at work',
      'PROVISIONING',
      { kind: 'resource.provision', state: 'RUNNING', claimToken: 'x', attempt: 1, dueInSeconds: 60 },
      'cancelOperation',
      false,
    ],
    ['a rotation that waits', 'ACTIVE', { kind: 'resource.rotate', state: 'PENDING' }, 'cancelOperation', false],
    ['a provision that failed', 'FAILED', { kind: 'resource.provision', state: 'FAILED' }, 'retryOperation', false],
  ]
  test.each(cases)('%s of a %s resource: %j: %s: %s', async (_, state, facts, action, accepted) => {
    const subjectId = await put(state)
    const given = { state: 'PENDING' as const, ...facts }
    const id = await putResourceOperation(sql, { teamId: api.team.teamId, subjectId, ...given })
    const { data } = await api.call(
      'query ($id: ID!) { operation(id: $id) { allowedActions { action allowed because } subject { ... on Resource { id state } } } }',
      { id },
    )
    const advice = data.operation.allowedActions.find((each: { action: string }) => each.action === action)
    expect([advice.allowed, data.operation.subject]).toEqual([accepted, { id: subjectId, state }])
    const selection = `... on ${capital(action)}Payload { operation { id state subject { ... on Resource { state stateReason } } } } ... on IllegalState { operation { id } }`
    const answer = await mutate(api, action, { id }, selection)
    expect(answer.__typename).toBe(accepted ? `${capital(action)}Payload` : 'IllegalState')
    expect(answer.operation.id).toBe(id)
    if (accepted)
      expect(answer.operation).toMatchObject({
        state: 'CANCELLED',
        subject: { state: 'FAILED', stateReason: 'the operation was cancelled' },
      })
  })
})
