// Stacks through the door: what a caller gets for each mutation, in each state and for each way to be refused; what is advised
// is what happens, and every remedy is accepted as it stands.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StackState } from '../../src/lifecycle/stack.ts'
import { callerActions } from '../../src/resolvers/allowed-action.ts'
import { createTeam, createToken, superuser } from '../fixture.ts'
import { stackStates } from '../lifecycle/expected-stack.ts'
import { giveStackRoom, putStack, putStackOperation, type StackFacts } from '../stacks/row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
let sql: postgres.Sql
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  await giveStackRoom(sql, api.team.teamId)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const put = (facts: Partial<StackFacts> = {}) => putStack(sql, { teamId: api.team.teamId, state: 'HEALTHY', ...facts })
const shown = `stack { id name environment state stateReason version generation specVersion deletedAt
  services { name image port exposed state stateReason url } env { key revision value }
  allowedActions { action allowed because } }`
const work = 'operation { id kind state generation subject { ... on Stack { id } } }'
const selections: Readonly<Record<string, string>> = {
  createStack: `${shown} ${work} replayed`,
  redeployStack: `${shown} ${work} replayed`,
  deleteStack: `${shown} ${work} replayed`,
  mergeStackEnv: `${shown} keysSet keysDeleted totalKeys replayed`,
}
const own = (mutation: string) => `... on ${capital(mutation)}Payload { ${selections[mutation]} }`
const named = () => `n-${crypto.randomUUID().slice(0, 8)}`
const web = { name: 'web', image: 'hello', port: 8080, exposed: true }
const set = (key: string, value: string) => [{ key, value }]
const asked = (mutation: string, id: string) => ({
  id,
  ...(mutation === 'mergeStackEnv' ? { set: set('A', '1') } : {}),
})
const mine = callerActions('Stack').filter((action) => action in selections)

describe('what is accepted', () => {
  test('createStack: BUILDING, with its services, its environment and its operation', async () => {
    const name = named()
    const services = [web, { name: 'db', image: 'other' }]
    const input = { name, services, env: set('MODE', 'test') }
    const { stack, operation, replayed } = await mutate(api, 'createStack', input, own('createStack'))
    expect(replayed).toBe(false)
    expect(stack).toMatchObject({
      id: expect.stringMatching(/^stk_/),
      name,
      environment: 'development',
      state: 'BUILDING',
      stateReason: null,
      version: '1',
      generation: 1,
      specVersion: 1,
      deletedAt: null,
      services: [
        { ...web, state: 'BUILDING', stateReason: null, url: null },
        { name: 'db', image: 'other', port: null, exposed: false, state: 'BUILDING', stateReason: null, url: null },
      ],
      env: [{ key: 'MODE', revision: 1, value: 'test' }],
    })
    expect(operation).toMatchObject({ kind: 'stack.roll_out', state: 'PENDING', subject: { id: stack.id } })
  })

  test.each([
    ['redeployStack', 'BUILDING', 2, 'stack.roll_out'],
    ['deleteStack', 'DELETING', 2, 'stack.tear_down'],
    ['mergeStackEnv', 'HEALTHY', 1, null],
  ] as const)('%s: %s, generation %i, %s', async (mutation, state, generation, kind) => {
    const id = await put()
    const { stack, operation } = await mutate(api, mutation, asked(mutation, id), own(mutation))
    expect(stack).toMatchObject({ id, state, generation, version: '2' })
    expect(stack.deletedAt !== null).toBe(mutation === 'deleteStack')
    if (kind) expect(operation).toMatchObject({ kind, state: 'PENDING', generation, subject: { id } })
  })

  test('redeployStack: specVersion counts other services, and not the same ones again', async () => {
    const id = await put({ services: ['web'] })
    const redeploy = async (services?: object[]) =>
      (await mutate(api, 'redeployStack', { id, services }, own('redeployStack'))).stack
    expect(await redeploy()).toMatchObject({ specVersion: 1, generation: 2, services: [{ name: 'web' }] })
    const other = [{ name: 'web', image: 'hello:2' }, web].map((each, n) => ({ ...each, name: `w${n}` }))
    expect(await redeploy(other)).toMatchObject({ specVersion: 2, services: [{ name: 'w0' }, { name: 'w1' }] })
    expect(await redeploy(other)).toMatchObject({ specVersion: 2, generation: 4 })
    expect(await redeploy([])).toMatchObject({ specVersion: 3, services: [] })
  })

  test('mergeStackEnv: honest counts, an empty value, an equal one, a key that was not there', async () => {
    const id = await put()
    const merge = (input: object) => mutate(api, 'mergeStackEnv', { id, ...input }, own('mergeStackEnv'))
    const pairs = (...keys: string[]) => keys.map((key) => ({ key, value: '' }))
    expect(await merge({ set: pairs('A', 'B') })).toMatchObject({ keysSet: 2, keysDeleted: 0, totalKeys: 2 })
    expect(await merge({ set: pairs('A'), unset: ['B', 'NEVER'] })).toMatchObject({
      keysSet: 1,
      keysDeleted: 1,
      totalKeys: 1,
      stack: { specVersion: 3, env: [{ key: 'A', revision: 2, value: '' }] },
    })
    expect(await merge({})).toMatchObject({ keysSet: 0, keysDeleted: 0, totalKeys: 1 })
  })

  test('a replay of a merge tells what it did then, with the stack as it is now', async () => {
    const id = await put()
    const input = { id, set: set('A', '1'), unset: ['NEVER'], idempotencyKey: crypto.randomUUID() }
    const first = await mutate(api, 'mergeStackEnv', input, own('mergeStackEnv'))
    await mutate(api, 'mergeStackEnv', { id, set: set('B', '1') })
    const again = await mutate(api, 'mergeStackEnv', input, own('mergeStackEnv'))
    const { keysSet, keysDeleted, totalKeys } = first
    expect(again).toMatchObject({ replayed: true, keysSet, keysDeleted, totalKeys, stack: { version: '3' } })
    expect([keysSet, keysDeleted, totalKeys]).toEqual([1, 0, 1])
  })
})

describe('how far each service is', () => {
  const read = async (id: string) =>
    (await api.call('query ($id: ID!) { stack(id: $id) { services { name state stateReason url } } }', { id })).data
      .stack.services

  test('is told service by service; an address only of those that are exposed', async () => {
    const placed = {
      web: { generation: 1, state: 'HEALTHY', url: 'http://web', instanceId: 'i' },
      api: { generation: 1, state: 'FAILED', reason: 'no' },
    } as const
    const id = await put({ state: 'DEPLOYING', services: ['web', 'api', 'db'], placed })
    await sql`update stack set services = jsonb_set(services, '{0,exposed}', 'true') where id = ${id}`
    expect(await read(id)).toEqual([
      { name: 'web', state: 'HEALTHY', stateReason: null, url: 'http://web' },
      { name: 'api', state: 'FAILED', stateReason: 'no', url: null },
      { name: 'db', state: 'DEPLOYING', stateReason: null, url: null },
    ])
    // After a redeploy nothing of that is true any more, and it answers where it did last until it is replaced.
    await mutate(api, 'redeployStack', { id })
    expect(await read(id)).toEqual([
      { name: 'web', state: 'BUILDING', stateReason: null, url: 'http://web' },
      { name: 'api', state: 'BUILDING', stateReason: null, url: null },
      { name: 'db', state: 'BUILDING', stateReason: null, url: null },
    ])
    await mutate(api, 'deleteStack', { id })
    expect((await read(id)).map(({ state }: { state: string }) => state)).toEqual(['DELETING', 'DELETING', 'DELETING'])
  })
})

describe.each(stackStates)('a stack that is %s', (state) => {
  test.each(mine)('%s happens exactly when it is allowed', async (action) => {
    const id = await put({ state })
    const { data } = await api.call(
      'query ($id: ID!) { stack(id: $id) { allowedActions { action allowed because } } }',
      { id },
    )
    const advice = data.stack.allowedActions.find((each: { action: string }) => each.action === action)
    const refusal =
      action === 'deleteStack'
        ? '... on StackAlreadyDeleted { deletedAt stack { id state deletedAt } }'
        : '... on StackDeleting { stack { id state } }'
    const answer = await mutate(api, action, asked(action, id), refusal)
    expect(answer.__typename === `${capital(action)}Payload`, JSON.stringify(answer)).toBe(advice.allowed)
    if (advice.allowed) return
    expect(advice.because).toContain(`It is ${state}`)
    expect(answer.stack).toMatchObject({ id, state })
    expect(answer.retryable).toBe(false)
    if (answer.__typename === 'StackAlreadyDeleted') {
      expect(answer).toMatchObject({ remedies: [], deletedAt: answer.stack.deletedAt })
    } else {
      expect(answer.__typename).toBe('StackDeleting')
      expect(answer.message).toContain(state)
      expect(answer.remedies.length).toBeGreaterThan(0)
    }
    for (const remedy of answer.remedies) {
      if (remedy.mutation)
        expect((await mutate(api, remedy.mutation, remedy.arguments.input)).__typename).toBe(
          `${capital(remedy.mutation)}Payload`,
        )
      else
        expect((await api.call('query ($id: ID!) { stack(id: $id) { id } }', remedy.arguments)).data.stack.id).toBe(
          remedy.arguments.id,
        )
    }
  })
})

describe('refusals of their own', () => {
  test('NameTaken shows who holds the name, in its environment only; QuotaExceeded shows the plan', async () => {
    const name = named()
    const id = await put({ name, state: 'FAILED' })
    const input = { name, services: [web] }
    expect(await mutate(api, 'createStack', input, '... on NameTaken { stack { id state } }')).toMatchObject({
      code: 'NAME_TAKEN',
      stack: { id, state: 'FAILED' },
      remedies: [{ query: 'stack', arguments: { id } }],
    })
    const staging = await mutate(api, 'createStack', { ...input, environment: 'staging' }, own('createStack'))
    expect(staging.stack).toMatchObject({ name, environment: 'staging' })
    const other = await createTeam(api.database.url)
    await giveStackRoom(sql, other.teamId, 0)
    const quota = '... on QuotaExceeded { limit cap used }'
    expect(await mutate(api, 'createStack', input, quota, other.token)).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      limit: 'stacks',
      cap: 0,
      used: 0,
      remedies: [{ query: 'stacks' }],
    })
  })

  test('StackDeleting where another stack has taken the name since: there is that one to look at', async () => {
    const name = named()
    const id = await put({ name, state: 'DELETED' })
    const heir = await put({ name })
    const answer = await mutate(api, 'redeployStack', { id })
    expect(answer.remedies).toMatchObject([{ mutation: null, query: 'stack', arguments: { id: heir } }])
  })

  test('EnvConflict names the keys as they are, never their values; EnvTooLarge says by how much', async () => {
    const id = await put()
    await mutate(api, 'mergeStackEnv', { id, set: set('A', 'canary') })
    const late = { id, set: set('B', '1'), expect: [{ key: 'A', absent: true }] }
    const conflict = await mutate(api, 'mergeStackEnv', late, '... on EnvConflict { keys { key revision changedBy } }')
    const key = { key: 'A', revision: 1, changedBy: api.team.actor.id }
    expect(conflict).toMatchObject({ code: 'ENV_CONFLICT', keys: [key], remedies: [{ query: 'stack' }] })
    expect(JSON.stringify(conflict)).not.toContain('canary')
    const half = 'x'.repeat(40_000)
    await mutate(api, 'mergeStackEnv', { id, set: set('BIG', half) })
    const large = await mutate(
      api,
      'mergeStackEnv',
      { id, set: [...set('BIGGER', half), ...set('SMALL', '1')], unset: ['A'] },
      '... on EnvTooLarge { bytes maxBytes stack { env { key } } }',
    )
    expect(large).toMatchObject({ code: 'ENV_TOO_LARGE', maxBytes: 65_536, bytes: 80_015 })
    // The whole patch is refused: what it would have set and unset is as it was.
    expect(large.stack.env.map((each: { key: string }) => each.key)).toEqual(['A', 'BIG'])
  })

  test('SecretUnresolved names the variables that lead nowhere; nothing is started', async () => {
    const unresolved = '... on SecretUnresolved { keys }'
    const input = { name: named(), services: [web], env: set('API', 'service://api') }
    expect(await mutate(api, 'createStack', input, unresolved)).toMatchObject({
      code: 'SECRET_UNRESOLVED',
      keys: ['API'],
    })
    const { stack } = await mutate(
      api,
      'createStack',
      { ...input, services: [web, { name: 'api', image: 'hello' }] },
      own('createStack'),
    )
    const dropping = { id: stack.id, services: [web] }
    expect(await mutate(api, 'redeployStack', dropping, unresolved)).toMatchObject({ keys: ['API'] })
    await mutate(api, 'mergeStackEnv', { id: stack.id, unset: ['API'] })
    expect((await mutate(api, 'redeployStack', dropping)).__typename).toBe('RedeployStackPayload')
  })
})

test('values of its environment need env:read; the rest of it does not', async () => {
  const id = await put()
  await mutate(api, 'mergeStackEnv', { id, set: set('A', 'canary') })
  const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'stack'] })
  const query = 'query ($id: ID!) { stack(id: $id) { env { key revision changedAt changedBy value } } }'
  const full = (await api.call(query, { id })).data.stack.env
  const less = await api.call(query, { id }, token)
  expect([full[0].value, less.data.stack.env]).toEqual(['canary', [{ ...full[0], value: null }]])
  const merged = await mutate(api, 'mergeStackEnv', { id, set: set('B', 'canary') }, own('mergeStackEnv'), token)
  expect(merged).toMatchObject({ keysSet: 1, totalKeys: 2 })
  expect(JSON.stringify(merged)).not.toContain('canary')
})

test('a stack that is stuck shows since when, who should see to it, and a way out that is accepted', async () => {
  const { teamId, token } = await createTeam(api.database.url)
  await giveStackRoom(sql, teamId)
  const stateChangedAt = new Date(Date.now() - 2 * 3_600_000)
  const stuckIn = async (state: StackState, kind: string) => {
    const id = await putStack(sql, { teamId, state, stateChangedAt })
    await putStackOperation(sql, { teamId, subjectId: id, state: 'RUNNING', kind, claimToken: 'x', dueInSeconds: 60 })
    return id
  }
  const rolling = await stuckIn('DEPLOYING', 'stack.roll_out')
  const ending = await stuckIn('DELETING', 'stack.tear_down')
  const { data } = await api.call(
    '{ stuck { subject { id } state owner since remedies { mutation arguments explanation } } }',
    {},
    token,
  )
  const found = (id: string) => data.stuck.find((row: { subject: { id: string } }) => row.subject.id === id)
  expect(found(rolling)).toMatchObject({ state: 'DEPLOYING', owner: 'dispatch', since: stateChangedAt.toISOString() })
  expect(found(rolling).remedies.map((each: { mutation: string }) => each.mutation)).toEqual([
    'redeployStack',
    'deleteStack',
  ])
  for (const { mutation, arguments: given } of found(rolling).remedies)
    expect((await mutate(api, mutation, given.input, '', token)).__typename).toBe(`${capital(mutation)}Payload`)
  // A teardown is tried until it is done: nothing that a caller could do would help.
  expect(found(ending)).toMatchObject({ owner: 'teardown', remedies: [{ mutation: null }] })
})
