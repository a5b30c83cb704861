// Resources through the door: what a caller gets for each mutation, in each state and for each way to be refused; what is advised
// is what happens, and every remedy is accepted as it stands.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFakeDriver } from '../../src/drivers/runtime/fake.ts'
import { createLog } from '../../src/log.ts'
import { callerActions } from '../../src/resolvers/allowed-action.ts'
import { createHttpServer } from '../../src/server.ts'
import { createTeam, createToken, superuser } from '../fixture.ts'
import { resourceStates } from '../lifecycle/expected-resource.ts'
import { giveRoom, putResource, type ResourceFacts } from '../resources/row.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
let sql: postgres.Sql
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  await giveRoom(sql, api.team.teamId, 10_000)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const put = (facts: Partial<ResourceFacts> = {}) =>
  putResource(sql, { teamId: api.team.teamId, state: 'ACTIVE', ...facts })
const shown = `resource { id type name environment state stateReason stateChangedAt version generation createdAt expiresAt
  deletedAt sizeBytes connection { url } allowedActions { action allowed because } }
  operation { id kind state generation attempt subject { ... on Resource { id } } } replayed`
const own = (mutation: string, selection = shown) => `... on ${capital(mutation)}Payload { ${selection} }`
const named = () => `n-${crypto.randomUUID().slice(0, 8)}`
const asked = (mutation: string, id: string) => ({ id, ...(mutation === 'setResourceTtl' ? { ttlHours: null } : {}) })
/** A state from which each is accepted. */
const startsIn = (mutation: string): ResourceFacts['state'] => (mutation === 'resumeResource' ? 'PAUSED' : 'ACTIVE')

describe('what is accepted', () => {
  test('createResource: PROVISIONING, with its operation; nothing to connect to yet', async () => {
    const name = named()
    const answer = await mutate(api, 'createResource', { type: 'POSTGRES', name, ttlHours: 2 }, own('createResource'))
    const { resource, operation } = answer
    expect(answer.replayed).toBe(false)
    expect(resource).toMatchObject({
      id: expect.stringMatching(/^res_/),
      type: 'POSTGRES',
      name,
      environment: 'development',
      state: 'PROVISIONING',
      stateReason: null,
      version: '1',
      generation: 1,
      deletedAt: null,
      sizeBytes: null,
      connection: null,
    })
    const hours = (Date.parse(resource.expiresAt) - Date.parse(resource.createdAt)) / 3_600_000
    expect(hours).toBeCloseTo(2, 2)
    expect(operation).toMatchObject({
      kind: 'resource.provision',
      state: 'PENDING',
      attempt: 0,
      subject: { id: resource.id },
    })
    const allowed = resource.allowedActions.filter((each: { allowed: boolean }) => each.allowed)
    expect(allowed.map((each: { action: string }) => each.action).sort()).toEqual(['deleteResource', 'setResourceTtl'])
  })

  test.each([
    ['deleteResource', 'DELETING', 2, 'resource.deprovision'],
    ['pauseResource', 'PAUSING', 2, 'resource.pause'],
    ['resumeResource', 'RESUMING', 2, 'resource.resume'],
    ['rotateResourceCredentials', 'ACTIVE', 2, 'resource.rotate'],
    ['setResourceTtl', 'ACTIVE', 1, null],
  ] as const)('%s: %s, generation %i, %s', async (mutation, state, generation, kind) => {
    const id = await put({ state: startsIn(mutation) })
    const { resource, operation } = await mutate(api, mutation, asked(mutation, id), own(mutation))
    expect(resource).toMatchObject({ id, state, generation, version: '2' })
    expect(resource.deletedAt !== null).toBe(mutation === 'deleteResource')
    if (kind) expect(operation).toMatchObject({ kind, state: 'PENDING', generation, subject: { id } })
    else expect(operation).toBeNull()
  })

  test('setResourceTtl sets, moves and takes away', async () => {
    const id = await put({ expiresInSeconds: 60 })
    const set = async (ttlHours: number | null) =>
      (await mutate(api, 'setResourceTtl', { id, ttlHours }, own('setResourceTtl'))).resource.expiresAt
    const inHours = async (ttlHours: number) => (Date.parse(String(await set(ttlHours))) - Date.now()) / 3_600_000
    expect(await inHours(24)).toBeCloseTo(24, 1)
    expect(await inHours(1)).toBeCloseTo(1, 1)
    expect(await set(null)).toBeNull()
  })

  test('the URL is shown to the scope resource alone, and only where it is asked for', async () => {
    const id = await put({ url: 'fake://user:canary@127.0.0.1/db' })
    const query =
      'query ($id: ID!) { resource(id: $id) { name connection { url } } resources(first: 100) { nodes { connection { url } } } }'
    const full = await api.call(query, { id })
    expect(full.data.resource.connection).toEqual({ url: 'fake://user:canary@127.0.0.1/db' })
    const { token } = await createToken(api.database.url, api.team.teamId, {
      scopes: ['read', 'deploy', 'env:read', 'admin'],
    })
    const less = await api.call(query, { id }, token)
    expect(less.data.resource).toEqual({ name: full.data.resource.name, connection: null })
    expect(less.text).not.toContain('canary')
    api.forget()
    await api.call('query ($id: ID!) { resource(id: $id) { name state } }', { id })
    expect(api.names()).not.toContain('read:resource.connection')
  })

  test('a list by type, state, name and environment', async () => {
    const environment = named()
    const id = await put({ environment, type: 'REDIS', state: 'PAUSED', name: 'cache' })
    await put({ environment, name: 'store' })
    const list = async (filter: string) => {
      const { data } = await api.call(
        `{ resources(filter: { environment: "${environment}", ${filter} }) { totalCount nodes { id } } }`,
      )
      return data.resources
    }
    for (const filter of [
      'type: REDIS',
      'states: [PAUSED]',
      'name: "cache"',
      'type: REDIS, states: [PAUSED, ACTIVE], name: "cache"',
    ])
      expect(await list(filter)).toEqual({ totalCount: 1, nodes: [{ id }] })
    expect((await list('states: []')).totalCount).toBe(0)
    expect((await list('')).totalCount).toBe(2)
  })
})

describe.each(resourceStates)('a resource that is %s', (state) => {
  test.each(callerActions('Resource'))('%s happens exactly when it is allowed', async (action) => {
    const id = await put({ state })
    const { data } = await api.call(
      'query ($id: ID!) { resource(id: $id) { allowedActions { action allowed because } } }',
      { id },
    )
    const advice = data.resource.allowedActions.find((each: { action: string }) => each.action === action)
    const refusal =
      action === 'deleteResource'
        ? '... on ResourceAlreadyDeleted { deletedAt resource { id state deletedAt } }'
        : '... on IllegalState { action resource { id state } }'
    const answer = await mutate(api, action, asked(action, id), refusal)
    expect(answer.__typename === `${capital(action)}Payload`, JSON.stringify(answer)).toBe(advice.allowed)
    if (advice.allowed) return
    expect(advice.because).toContain(`It is ${state}`)
    expect(answer.message).toContain(state)
    expect(answer.resource).toMatchObject({ id, state })
    if (answer.__typename === 'ResourceAlreadyDeleted') {
      expect(answer).toMatchObject({ retryable: false, remedies: [], deletedAt: answer.resource.deletedAt })
    } else {
      expect(answer).toMatchObject({ __typename: 'IllegalState', action })
      expect(answer.remedies.length).toBeGreaterThan(0)
    }
    for (const remedy of answer.remedies) {
      if (remedy.mutation)
        expect((await mutate(api, remedy.mutation, remedy.arguments.input)).__typename).toBe(
          `${capital(remedy.mutation)}Payload`,
        )
      else
        expect(
          (await api.call('query ($id: ID!) { resource(id: $id) { id } }', remedy.arguments)).data.resource.id,
        ).toBe(remedy.arguments.id)
    }
  })
})

describe('refusals of their own', () => {
  test('NameTaken shows who holds the name; QuotaExceeded shows the plan', async () => {
    const name = named()
    const id = await put({ name, state: 'FAILED' })
    expect(
      await mutate(api, 'createResource', { type: 'REDIS', name }, '... on NameTaken { resource { id state } }'),
    ).toMatchObject({
      code: 'NAME_TAKEN',
      resource: { id, state: 'FAILED' },
      remedies: [{ query: 'resource', arguments: { id } }],
    })
    const other = await createTeam(api.database.url)
    await giveRoom(sql, other.teamId, 0)
    expect(
      await mutate(
        api,
        'createResource',
        { type: 'REDIS', name },
        '... on QuotaExceeded { limit cap used }',
        other.token,
      ),
    ).toMatchObject({ code: 'QUOTA_EXCEEDED', limit: 'resources', cap: 0, used: 0, remedies: [{ query: 'resources' }] })
  })

  test('IllegalState while a rotation is under way: worth asking again', async () => {
    const id = await put({ rotating: true })
    for (const action of ['pauseResource', 'rotateResourceCredentials'])
      expect(await mutate(api, action, { id }, '... on IllegalState { action resource { id } }')).toMatchObject({
        code: 'ILLEGAL_STATE',
        action,
        retryable: true,
        retryAfterMs: 1_000,
        resource: { id },
        remedies: [{ query: 'resource', arguments: { id } }],
      })
  })

  test('an end whose name another one has taken since: there is that one to look at', async () => {
    const name = named()
    const id = await put({ name, state: 'DELETED' })
    const heir = await put({ name })
    const answer = await mutate(api, 'pauseResource', { id })
    expect(answer.remedies).toMatchObject([{ mutation: null, query: 'resource', arguments: { id: heir } }])
  })

  test('ResourceTypeUnavailable says what would have to be set; a repeat of a call that won is a replay all the same', async () => {
    const input = { type: 'REDIS', name: named(), idempotencyKey: crypto.randomUUID() }
    expect((await mutate(api, 'createResource', input)).__typename).toBe('CreateResourcePayload')
    const server = createHttpServer({
      graphql: {
        db: api.pool.db,
        images: createFakeDriver(),
        nudge: () => {},
        resourceTypes: (type) => (type === 'REDIS' ? 'Set PAWL_REDIS_URL to make resources of this type' : null),
        webhookFault: async () => null,
        sealing: testSealing,
      },
      metrics: api.metrics,
      log: createLog({ level: 'fatal' }),
      ready: async () => true,
    })
    const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}/graphql`
    const call: Api['call'] = async (query, variables) => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${api.team.token}` }
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })
      return (await response.json()) as never
    }
    const poor = { ...api, call }
    const selection = '... on ResourceTypeUnavailable { type }'
    expect(await mutate(poor, 'createResource', { type: 'REDIS', name: named() }, selection)).toMatchObject({
      code: 'RESOURCE_TYPE_UNAVAILABLE',
      type: 'REDIS',
      message: 'Set PAWL_REDIS_URL to make resources of this type',
    })
    expect((await mutate(poor, 'createResource', { type: 'POSTGRES', name: named() })).__typename).toBe(
      'CreateResourcePayload',
    )
    expect(await mutate(poor, 'createResource', input, own('createResource', 'replayed'))).toMatchObject({
      replayed: true,
    })
    await server.stop(0)
  })
})
