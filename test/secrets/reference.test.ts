// Nothing is started whose references lead nowhere: refused where it is asked for, in the deciding statement, with the
// variables and what they refer to; and what the refusal says to do makes the same call accepted.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import * as calls from '../../src/resolvers/deployment.ts'
import { retryOperation } from '../../src/resolvers/operation.ts'
import { resolveEnv } from '../../src/resolvers/reference.ts'
import { openWorld, outcomeOf, type World } from '../races/world.ts'
import { putResource } from '../resources/row.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'
import { kept, putSecret } from './fixture.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

let made = 0
/** Names that nobody has yet. */
let secret = ''
let store = ''
beforeEach(() => {
  made++
  secret = `Key.${made}`
  store = `store-${made}`
})
const list = (env: Record<string, string>) => Object.entries(env).map(([key, value]) => ({ key, value }))
const stored = (env: Record<string, string>) =>
  Object.fromEntries(
    Object.entries(env).map(([key, value]) => [
      key,
      { value, revision: 1, changedAt: '2030-01-01T00:00:00.000Z', changedBy: 't' },
    ]),
  )
const count = async () =>
  (
    await world.stranger`select (select count(*)::int from deployment) as deployments,
    (select count(*)::int from operation) as operations, (select count(*)::int from event) as events,
    (select count(*)::int from idempotency_key) as keys, (select sum(used)::int from plan_usage) as used`
  )[0]

/** Each way to start something; asks with an environment, of which those by id find it on the row. */
const ways: [string, (env: Record<string, string>) => Promise<() => Promise<object>>][] = [
  ['deploy', async (env) => () => calls.deploy(world.context, { name: `d${made}`, image: 'hello', env: list(env) })],
  [
    'deploy with redeploy: true',
    async (env) => {
      const name = `r${Object.keys(env).length}-${made}`
      // One of the references is there already, the others come with the call.
      const [first, ...rest] = Object.entries(env)
      await world.deployment({ state: 'HEALTHY', name, env: stored(Object.fromEntries(first ? [first] : [])) })
      const input = { name, image: 'hello', redeploy: true, env: list(Object.fromEntries(rest)) }
      return () => calls.deploy(world.context, input)
    },
  ],
  [
    'redeployDeployment',
    async (env) => {
      const id = await world.deployment({ state: 'FAILED', env: stored(env) })
      return () => calls.redeployDeployment(world.context, { id })
    },
  ],
  [
    'startDeployment',
    async (env) => {
      const id = await world.deployment({ state: 'STOPPED', env: stored(env) })
      return () => calls.startDeployment(world.context, { id })
    },
  ],
  [
    'retryOperation',
    async (env) => {
      const subjectId = await world.deployment({ state: 'FAILED', env: stored(env) })
      const id = await world.operation({ subjectId, state: 'FAILED' })
      return () => retryOperation(world.context, { id })
    },
  ],
]

describe.each(ways)('%s', (way, prepare) => {
  test('is refused with all that leads nowhere, changes nothing, and is accepted once it is there', async () => {
    const ask = await prepare({
      A: `secret://${secret}`,
      B: `resource://${store}`,
      C: 'service://web',
      D: 'plain',
      E: `see secret://${secret}`,
    })
    const before = await count()
    const refused = (await ask()) as Refusal
    expect(refused).toMatchObject({
      refusal: 'SecretUnresolved',
      retryable: false,
      facts: { keys: ['A', 'B', 'C'], ...(way === 'deploy' ? {} : { deployment: { generation: 1 } }) },
    })
    expect(refused.message).toContain(
      `A refers to secret://${secret}, and there is no secret of that name in development; B refers to resource://${store}, ` +
        'and there is no resource of that name in development; C refers to service://web, and there is no service of that name. Nothing was started.',
    )
    expect(refused.remedies.map(({ mutation, query }) => mutation ?? query)).toEqual([
      null,
      'secrets',
      'resources',
      null,
    ])
    expect(await count()).toEqual(before)

    const later = await prepare({ A: `secret://${secret}x`, B: `resource://${store}x` })
    await kept(world, `${secret}x`)
    await putResource(world.stranger, { teamId: world.team.teamId, state: 'PROVISIONING', name: `${store}x` })
    expect(isRefusal(await later())).toBe(false)
  })
})

test.each([
  ['secret', 'DELETED'],
  ['resource', 'FAILED'],
  ['resource', 'DELETING'],
  ['resource', 'DELETED'],
  ['another environment’s secret', 'ACTIVE'],
  ['another environment’s resource', 'ACTIVE'],
  ['no name at all', ''],
])('leads nowhere: %s %s', async (what, state) => {
  const environment = what.startsWith('another') ? 'production' : 'development'
  let value = 'secret://'
  if (what.endsWith('secret')) {
    await putSecret(world, { state, name: secret, environment })
    value = `secret://${secret}`
  } else if (what.endsWith('resource')) {
    await putResource(world.stranger, { teamId: world.team.teamId, state: state as never, name: store, environment })
    value = `resource://${store}`
  }
  const answer = await calls.deploy(world.context, { name: `n${made}`, image: 'hello', env: [{ key: 'A', value }] })
  expect(answer).toMatchObject({ refusal: 'SecretUnresolved', facts: { keys: ['A'] } })
})

test.each(['PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED'] as const)(
  'a resource that is %s can be referred to',
  async (state) => {
    await putResource(world.stranger, { teamId: world.team.teamId, state, name: store })
    const env = [{ key: 'A', value: `resource://${store}` }]
    expect(outcomeOf(await calls.deploy(world.context, { name: `s${made}`, image: 'hello', env }))).toBe('BUILDING')
  },
)

test('another team’s secrets and resources are none', async () => {
  const teamId = world.team.teamId.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
  await world.stranger`insert into team (id, state, name) values (${teamId}, 'ACTIVE', 'other')`
  await putResource(world.stranger, { teamId, state: 'ACTIVE', name: store })
  const id = await kept(world, secret)
  await world.stranger`update secret set team_id = ${teamId} where id = ${id}`
  const env = list({ A: `secret://${secret}`, B: `resource://${store}` })
  const answer = await calls.deploy(world.context, { name: `f${made}`, image: 'hello', env })
  expect(answer).toMatchObject({ refusal: 'SecretUnresolved', facts: { keys: ['A', 'B'] } })
})

test('a repeat of a call that won is a replay, whatever became of what it refers to', async () => {
  await kept(world, secret)
  const env = [{ key: 'A', value: `secret://${secret}` }]
  const input = { name: `k${made}`, image: 'hello', env, idempotencyKey: `key-${made}` }
  expect(outcomeOf(await calls.deploy(world.context, input))).toBe('BUILDING')
  await world.stranger`update secret set state = 'DELETED', value = null, version = version + 1 where name = ${secret}`
  expect(outcomeOf(await calls.deploy(world.context, input))).toBe('replayed')
})

test('services are addresses of the same stack alone; all secrets, and all resources, are one statement each', async () => {
  const { teamId } = world.team
  await putResource(world.stranger, { teamId, state: 'ACTIVE', name: store, url: 'postgres://u:p@store/db' })
  await kept(world, secret, '1')
  await kept(world, `${secret}b`, '2')
  const values = {
    A: `secret://${secret}`,
    B: `secret://${secret}b`,
    R: `resource://${store}`,
    S: `resource://${store}`,
    W: 'service://web',
    P: '',
  }
  const statements: unknown[] = []
  const pool = openPool({
    url: world.url,
    purpose: 'worker',
    slots: 2,
    statementTimeoutMs: 5_000,
    wrap: (channel) => ({
      run: (statement) => {
        statements.push(statement)
        return channel.run(statement)
      },
    }),
  })
  const resolve = (env: Record<string, string>, services?: Record<string, string>) =>
    resolveEnv(pool.db, testSealing, { teamId, environment: 'development', env: stored(env) }, services)
  try {
    const url = 'postgres://u:p@store/db'
    const env = { A: '1', B: '2', R: url, S: url, W: 'http://127.0.0.1:1', P: '' }
    expect(await resolve(values, { web: 'http://127.0.0.1:1' })).toMatchObject({ kind: 'resolved', env })
    expect(statements).toHaveLength(2)
    const reason = 'W refers to service://toString, and there is no service of that name'
    expect(await resolve({ W: 'service://toString' })).toEqual({ kind: 'unresolved', reason })
    expect(await resolve({ P: '' })).toEqual({ kind: 'resolved', env: { P: '' }, hidden: [] })
    expect(statements).toHaveLength(2)
  } finally {
    await pool.close()
  }
})

describe('through the door', () => {
  let api: Api
  beforeAll(async () => {
    api = await openApi()
  })
  afterAll(() => api.close())

  test('the refusal carries the deployment, and its queries can be asked as they stand', async () => {
    const env = [{ key: 'A', value: 'secret://none' }]
    const deploy = (more: object) =>
      mutate(api, 'deploy', { image: 'hello', ...more }, '... on SecretUnresolved { keys deployment { state } }')
    expect(await deploy({ name: 'app', env })).toMatchObject({
      code: 'SECRET_UNRESOLVED',
      keys: ['A'],
      deployment: null,
    })
    await deploy({ name: 'app' })
    const answer = await deploy({ name: 'app', env, redeploy: true })
    expect(answer).toMatchObject({ code: 'SECRET_UNRESOLVED', keys: ['A'], deployment: { state: 'BUILDING' } })
    const look = answer.remedies.find(({ query }: { query: string | null }) => query === 'secrets')
    const query = `query ($filter: SecretFilter) { ${look.query}(filter: $filter) { totalCount } }`
    expect((await api.call(query, look.arguments)).data.secrets.totalCount).toBe(0)
  })
})
