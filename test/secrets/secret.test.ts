// Secrets through the door: every mutation, state and refusal; what is stored, who uses it, and that no value comes back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { createSealing } from '../../src/sealing.ts'
import { createToken, superuser } from '../fixture.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'

let api: Api
let sql: ReturnType<typeof superuser>
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const seen = 'id name environment state revision version changedBy'
const set = (input: object, token?: string) =>
  mutate(api, 'setSecret', input, `... on SetSecretPayload { created replayed secret { ${seen} } }`, token)
const del = (input: object, token?: string) =>
  mutate(
    api,
    'deleteSecret',
    input,
    `... on DeleteSecretPayload { replayed secret { ${seen} } } ... on SecretAlreadyDeleted { secret { id state } }
      ... on VersionConflict { currentVersion secret { id } } ... on Forbidden { missing }
      ... on ValidationFailed { faults { path message } }`,
    token,
  )
const stored = async (id: string) =>
  (await sql`select state, revision, value, team_id from secret where id = ${id}`)[0] as {
    state: string
    revision: number
    value: string | null
    team_id: string
  }
const opened = async (id: string) => {
  const { revision, value, team_id } = await stored(id)
  return value === null ? null : testSealing.open(value, secretPlace({ teamId: team_id, id, revision }))
}
const usage = async () =>
  (await sql`select used from plan_usage where kind = 'secrets' and team_id = ${api.team.teamId}`)[0]?.used

describe('setSecret', () => {
  test('makes the first one, then replaces its value; each is sealed for its own revision', async () => {
    const before = await usage()
    const first = await set({ name: 'Api.Key-1_x', value: 'one' })
    expect(first).toMatchObject({
      created: true,
      replayed: false,
      secret: { name: 'Api.Key-1_x', environment: 'development', state: 'ACTIVE', revision: 1, version: '1' },
    })
    const second = await set({ name: 'Api.Key-1_x', value: 'two' })
    const { id } = first.secret
    expect(second).toMatchObject({ created: false, secret: { id, revision: 2, version: '2' } })
    expect(second.secret.changedBy).toBe(api.team.actor.id)
    expect(await opened(id)).toBe('two')
    expect(await usage()).toBe(before + 1)
    const { value } = await stored(id)
    expect(() => testSealing.open(String(value), [api.team.teamId, id, 'value:1'])).toThrow('cannot be opened')
  })

  test('the same name in another environment is another secret', async () => {
    const here = await set({ name: 'both', value: 'a' })
    const there = await set({ name: 'both', value: 'b', environment: 'production' })
    expect(there).toMatchObject({ created: true, secret: { environment: 'production' } })
    expect([await opened(here.secret.id), await opened(there.secret.id)]).toEqual(['a', 'b'])
  })

  test.each(['', 'päßwörd 🔑', 'x'.repeat(65_536), 'two\nlines'])('takes any text: case %#', async (value) => {
    const { secret } = await set({ name: `any${value.length}`, value })
    expect(await opened(secret.id)).toBe(value)
  })

  test.each([
    [{ name: '1x', value: '' }, 'name'],
    [{ name: '', value: '' }, 'name'],
    [{ name: 'x'.repeat(64), value: '' }, 'name'],
    [{ name: 'a/b', value: '' }, 'name'],
    [{ name: 'x', value: '', environment: 'No' }, 'environment'],
    [{ name: 'x', value: 'canary\0' }, 'value'],
    [{ name: 'x', value: 'canary\ud800' }, 'value'],
    [{ name: 'x', value: 'é'.repeat(32_769) }, 'value'],
  ])('is told what is wrong, and never the value: case %#', async (input, field) => {
    const answer = await mutate(api, 'setSecret', input, '... on ValidationFailed { faults { path message } }')
    expect(answer).toMatchObject({ code: 'VALIDATION_FAILED', faults: [{ path: ['input', field] }] })
    expect(JSON.stringify(answer)).not.toMatch(/canary|éé/)
  })

  test('an expected version replaces only what was seen, and makes nothing', async () => {
    const { secret } = await set({ name: 'versioned', value: 'a' })
    expect(await set({ name: 'versioned', value: 'b', expectedVersion: secret.version })).toMatchObject({
      created: false,
    })
    expect(await set({ name: 'versioned', value: 'c', expectedVersion: secret.version })).toMatchObject({
      code: 'VERSION_CONFLICT',
    })
    expect(await set({ name: 'unseen', value: 'c', expectedVersion: '1' })).toMatchObject({ code: 'NOT_FOUND' })
    expect(await opened(secret.id)).toBe('b')
  })

  test('needs the scope deploy', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'env:read'] })
    expect(await set({ name: 'no', value: 'a' }, token)).toMatchObject({ code: 'FORBIDDEN' })
    expect(await del({ name: 'no' }, token)).toMatchObject({ code: 'FORBIDDEN', missing: 'deploy' })
  })

  test('leaves name and revision in its events, and no value', async () => {
    const { secret } = await set({ name: 'told', value: 'hidden-1' })
    await set({ name: 'told', value: 'hidden-2' })
    await del({ id: secret.id })
    const events = await sql`select kind, data from event where subject_id = ${secret.id} order by id`
    const data = (revision: number) => ({ name: 'told', environment: 'development', revision })
    expect([...events]).toEqual([
      { kind: 'createSecret', data: data(1) },
      { kind: 'setSecret', data: data(2) },
      { kind: 'deleteSecret', data: data(2) },
    ])
  })
})

describe('an idempotency key', () => {
  test('is answered as the first call was, made or replaced, with the secret as it is now', async () => {
    const input = { name: 'keyed', value: 'a', idempotencyKey: 'k1' }
    const first = await set(input)
    expect(await set({ name: 'keyed', value: 'b', idempotencyKey: 'k2' })).toMatchObject({ created: false })
    expect(await set(input)).toMatchObject({ created: true, replayed: true, secret: { revision: 2 } })
    expect(await set({ name: 'keyed', value: 'b', idempotencyKey: 'k2' })).toMatchObject({
      created: false,
      replayed: true,
    })
    expect(await opened(first.secret.id)).toBe('b')
  })

  test('of another value is refused, also when the secret is long gone; that of a delete finds what it deleted', async () => {
    const input = { name: 'reused', value: 'a', idempotencyKey: 'k3' }
    const { secret } = await set(input)
    expect(await set({ ...input, value: 'b' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
    expect(await del({ name: 'reused', idempotencyKey: 'k4' })).toMatchObject({ replayed: false })
    expect(await set({ ...input, value: 'b' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
    expect(await set(input)).toMatchObject({ replayed: true, secret: { id: secret.id, state: 'DELETED' } })
    await set({ name: 'reused', value: 'again' })
    const repeat = await del({ name: 'reused', idempotencyKey: 'k4' })
    expect(repeat).toMatchObject({ replayed: true, secret: { id: secret.id } })
    expect(await del({ name: 'other', idempotencyKey: 'k4' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
  })

  test('is told by a digest that takes the keys: what is stored of it is no hash of the value', async () => {
    await set({ name: 'guess', value: 'hunter2', idempotencyKey: 'k5' })
    await set({ name: 'other', value: 'hunter2', idempotencyKey: 'k6' })
    const rows = await sql`select input_hash from idempotency_key where key in ('k5', 'k6')`
    const [five, six] = rows.map(({ input_hash }) => String(input_hash))
    expect(five).toMatch(/^v1\.test\.[\w-]{43}$/)
    expect(five).not.toBe(six)
    const canonical = '{"name":"guess","value":"hunter2"}'
    expect(testSealing.digests(canonical)[0]).toBe(five)
    expect(createSealing([{ id: 'test', bytes: Buffer.alloc(32, 8) }]).digests(canonical)[0]).not.toBe(five)
  })
})

describe('deleteSecret', () => {
  test.each(['id', 'name'])('by %s erases the value and gives its place back; the second is told so', async (by) => {
    const { secret } = await set({ name: `gone-${by}`, value: 'a' })
    const used = await usage()
    const input = by === 'id' ? { id: secret.id } : { name: secret.name, environment: 'development' }
    expect(await del(input)).toMatchObject({ secret: { id: secret.id, state: 'DELETED', revision: 1 } })
    expect(await stored(secret.id)).toMatchObject({ state: 'DELETED', value: null })
    expect(await usage()).toBe(used - 1)
    expect(await del(input)).toMatchObject({
      code: 'SECRET_ALREADY_DELETED',
      retryable: false,
      remedies: [],
      secret: { id: secret.id, state: 'DELETED' },
    })
    expect(await usage()).toBe(used - 1)
    const again = await set({ name: secret.name, value: 'b' })
    expect(again).toMatchObject({ created: true, secret: { revision: 1 } })
    expect(again.secret.id).not.toBe(secret.id)
  })

  test('of what never was, or is another’s, is NOT_FOUND', async () => {
    expect(await del({ name: 'never' })).toMatchObject({ code: 'NOT_FOUND' })
    expect(await del({ id: 'dep_01h455vb4pex5vsknk084sn02q' })).toMatchObject({ code: 'NOT_FOUND' })
    expect(await del({ id: 'sec_01h455vb4pex5vsknk084sn02q' })).toMatchObject({ code: 'NOT_FOUND' })
  })

  test('of a version that is not there any more is refused', async () => {
    const { secret } = await set({ name: 'moving', value: 'a' })
    await set({ name: 'moving', value: 'b' })
    expect(await del({ id: secret.id, expectedVersion: '1' })).toMatchObject({
      code: 'VERSION_CONFLICT',
      currentVersion: '2',
      secret: { id: secret.id },
    })
  })

  test.each([
    [{}, ['input', 'id']],
    [{ id: 'sec_x', name: 'x' }, ['input', 'id']],
    [{ id: 'sec_x', environment: 'production' }, ['input', 'environment']],
  ])('takes either an id or a name: case %#', async (input, path) => {
    expect(await del(input)).toMatchObject({ code: 'VALIDATION_FAILED', faults: [{ path }] })
  })
})

test('what may be done with it is told, and changes when it is gone', async () => {
  const { secret } = await set({ name: 'allowed', value: 'a' })
  const read = '{ secret(id: "ID") { state allowedActions { action allowed } usedBy { key } } }'.replace(
    'ID',
    secret.id,
  )
  const allowed = async () =>
    Object.fromEntries(
      (await api.call(read)).data.secret.allowedActions.map((each: { action: string; allowed: boolean }) => [
        each.action,
        each.allowed,
      ]),
    )
  expect(await allowed()).toEqual({ setSecret: true, deleteSecret: true })
  await del({ id: secret.id })
  expect(await allowed()).toEqual({ setSecret: false, deleteSecret: false })
})

test('the plan has room for so many, and the refusal says how many', async () => {
  const { teamId } = api.team
  await sql`update plan_usage set cap = used where team_id = ${teamId} and kind = 'secrets'`
  const used = Number(await usage())
  const full = await mutate(
    api,
    'setSecret',
    { name: 'toomany', value: 'a' },
    '... on QuotaExceeded { limit cap used }',
  )
  expect(full).toMatchObject({ code: 'QUOTA_EXCEEDED', limit: 'secrets', cap: used, used })
  expect(full.remedies).toMatchObject([{ query: 'secrets' }])
  // To replace one takes no room.
  expect(await set({ name: 'both', value: 'c' })).toMatchObject({ created: false })
  await sql`update plan_usage set cap = 100 where team_id = ${teamId} and kind = 'secrets'`
})

test('usedBy: live deployments and stacks of its environment, for all secrets of a page in one statement', async () => {
  for (const environment of ['development', 'production']) await set({ name: 'shared', value: 'a', environment })
  const idle = await set({ name: 'idle', value: 'a' })
  const deploy = async (name: string, env: object, environment = 'development') =>
    (
      await mutate(
        api,
        'deploy',
        { name, image: 'hello', environment, env: Object.entries(env).map(([key, value]) => ({ key, value })) },
        '... on DeployPayload { deployment { id } }',
      )
    ).deployment.id
  const one = await deploy('one', { A: 'secret://shared', B: 'secret://shared', C: 'see secret://shared' })
  const two = await deploy('two', { A: 'secret://shared' }, 'production')
  const ended = await deploy('ended', { A: 'secret://shared' })
  await mutate(api, 'deleteDeployment', { id: ended })
  const services = [{ name: 'web', image: 'hello' }]
  const stack = await mutate(
    api,
    'createStack',
    { name: 'st', services, env: [{ key: 'Z', value: 'secret://shared' }] },
    '... on CreateStackPayload { stack { id } }',
  )
  const list =
    '{ secrets(filter: { states: [ACTIVE] }) { nodes { id name environment usedBy { key subject { id __typename } } } } }'
  await api.call(list)
  api.forget()
  const { data } = await api.call(list)
  const uses = Object.fromEntries(
    data.secrets.nodes.map((row: { name: string; environment: string; usedBy: object[] }) => [
      `${row.name} ${row.environment}`,
      row.usedBy,
    ]),
  )
  const use = (key: string, id: string, __typename = 'Deployment') => ({ key, subject: { id, __typename } })
  expect(uses).toMatchObject({
    'shared development': [use('A', one), use('B', one), use('Z', stack.stack.id, 'Stack')],
    'shared production': [use('A', two)],
    'idle development': [],
  })
  expect(api.names().filter((name) => name === 'read:secret.uses')).toHaveLength(1)
  expect(api.names().filter((name) => name === 'read:deployment.byId')).toHaveLength(1)
  await del({ id: idle.secret.id })
})
