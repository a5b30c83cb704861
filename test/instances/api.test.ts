// Instances through the door: what runs elsewhere makes itself known, sends heartbeats and leaves; every refusal with its remedies
// taken; what Pawl runs is only looked at here.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { instanceCounts, oldestChecks } from '../../src/resolvers/passing.ts'
import { createTeam, createToken, superuser, type TestTeam } from '../fixture.ts'
import { putDeployment } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { capital, mutate } from '../schema/call.ts'
import { putStack } from '../stacks/row.ts'
import { countedInstances, type InstanceFacts, putInstance, storedInstance } from './row.ts'

let api: Api
let sql: ReturnType<typeof superuser>
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  other = await createTeam(api.database.url)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const seen = `id state stateReason version name environment runtime instanceId service generation url lastCheckedAt lastHeartbeatAt
  heartbeatSeconds restarts startedAt restartDueAt deployment { id } stack { id } allowedActions { action allowed because }`
const ask = (mutation: string) => (input: object, token?: string) =>
  mutate(
    api,
    mutation,
    input,
    `... on ${capital(mutation)}Payload { replayed instance { ${seen} } }
    ... on IllegalState { action instance { id state instanceId } deployment { id } }
    ... on VersionConflict { currentVersion instance { id } } ... on ValidationFailed { faults { path message } }
    ... on Forbidden { missing }`,
    token,
  )
const register = ask('registerInstance')
const beat = ask('heartbeatInstance')
const remove = ask('removeInstance')
const byName: Readonly<Record<string, typeof register>> = {
  registerInstance: register,
  heartbeatInstance: beat,
  removeInstance: remove,
}
const put = (facts: Omit<InstanceFacts, 'teamId'>) => putInstance(sql, { teamId: api.team.teamId, ...facts })
const eventsOf = async (id: string) => {
  const rows = await sql<{ kind: string; from: string | null; to: string }[]>`
    select kind, from_state as "from", to_state as "to" from event where subject_id = ${id} order by id`
  return rows.map(({ kind, from, to }) => `${kind} ${from ?? ''}→${to}`)
}
/** Every remedy of a refusal that is a call is accepted as it stands; answers with what was called. */
async function take(refusal: { remedies: { mutation: string | null; arguments: { input: object } }[] }) {
  const calls = refusal.remedies.filter(({ mutation }) => mutation !== null)
  for (const { mutation, arguments: given } of calls)
    expect((await byName[String(mutation)]?.(given.input))?.__typename).toBe(`${capital(String(mutation))}Payload`)
  return calls.map(({ mutation }) => mutation)
}

describe('registerInstance', () => {
  test('makes it known, STARTING, with a place in the plan; the least that is said is a name', async () => {
    const before = await countedInstances(sql, api.team.teamId)
    const { instance, replayed } = await register({ name: 'edge' })
    expect([instance, replayed]).toMatchObject([
      {
        state: 'STARTING',
        name: 'edge',
        environment: 'development',
        runtime: 'EXTERNAL',
        generation: 1,
        heartbeatSeconds: 30,
        lastHeartbeatAt: null,
        startedAt: null,
        restarts: 0,
        url: null,
        deployment: null,
        stack: null,
      },
      false,
    ])
    expect(instance.instanceId).toMatch(/^external-[0-9a-f]{24}$/)
    expect(instance.allowedActions).toEqual([
      { action: 'heartbeatInstance', allowed: true, because: null },
      { action: 'removeInstance', allowed: true, because: null },
    ])
    expect(await countedInstances(sql, api.team.teamId)).toEqual({ used: before.used + 1, live: before.live + 1 })
    expect(await eventsOf(instance.id)).toEqual(['registerInstance →STARTING'])
  })

  test('keeps all that it is told, and is part of a deployment, in its environment and at its generation', async () => {
    const { teamId } = api.team
    const deploymentId = await putDeployment(sql, {
      teamId,
      state: 'HEALTHY',
      environment: 'production',
      generation: 4,
    })
    const told = { name: 'edge', instanceId: 'i-0/1:2', url: 'https://edge.example:8443/x', heartbeatSeconds: 5 }
    const { instance } = await register({ ...told, deploymentId })
    expect(instance).toMatchObject({
      ...told,
      environment: 'production',
      generation: 4,
      deployment: { id: deploymentId },
    })
    expect(await register({ name: 'a', environment: 'production', deploymentId })).toMatchObject({
      __typename: 'RegisterInstancePayload',
    })
    expect(await register({ name: 'a', environment: 'staging', deploymentId })).toMatchObject({
      code: 'VALIDATION_FAILED',
      faults: [{ path: ['input', 'environment'], message: expect.stringContaining('production') }],
    })
  })

  test.each(['EXPIRED', 'DELETING', 'DELETED'] as const)('is refused for a deployment that is %s', async (state) => {
    const id = await putDeployment(sql, { teamId: api.team.teamId, state })
    expect(await register({ name: 'late', deploymentId: id })).toMatchObject({
      code: 'ILLEGAL_STATE',
      deployment: { id },
      remedies: [{ mutation: null, query: 'deployment', arguments: { id } }],
    })
  })

  test('a second time under the same id is refused, and shown the first one with its heartbeat as the remedy', async () => {
    const first = await register({ name: 'once', instanceId: 'i-once' })
    const before = await countedInstances(sql, api.team.teamId)
    const second = await register({ name: 'other', environment: 'staging', instanceId: 'i-once' })
    expect(second).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'registerInstance',
      retryable: false,
      instance: { id: first.instance.id, state: 'STARTING', instanceId: 'i-once' },
    })
    expect(await countedInstances(sql, api.team.teamId)).toEqual(before)
    expect(await take(second)).toEqual(['heartbeatInstance'])
    expect(await storedInstance(sql, first.instance.id)).toMatchObject({ state: 'ONLINE' })
    // Another team may call one of its own the same.
    expect(await register({ name: 'once', instanceId: 'i-once' }, other.token)).toMatchObject({
      instance: { instanceId: 'i-once' },
    })
  })

  test('an id that was removed is never used again; the remedy makes a new one', async () => {
    const { instance } = await register({
      name: 'gone',
      instanceId: 'i-gone',
      environment: 'staging',
      heartbeatSeconds: 60,
    })
    await remove({ id: instance.id })
    const again = await register({ name: 'gone', instanceId: 'i-gone' })
    expect(again).toMatchObject({ code: 'ILLEGAL_STATE', instance: { id: instance.id, state: 'REMOVED' } })
    expect(again.message).toContain('never used again')
    expect(await take(again)).toEqual(['registerInstance'])
    const [heir] =
      await sql`select name, environment, heartbeat_seconds as beats, instance_id as "instanceId" from instance
      where team_id = ${api.team.teamId} order by created_at desc, id desc limit 1`
    expect(heir).toMatchObject({ name: 'gone', environment: 'staging', beats: 60 })
    expect(heir?.instanceId).not.toBe('i-gone')
  })

  test('beyond the plan is refused; a place that is given back is there again', async () => {
    const team = await createTeam(api.database.url)
    await sql`update plan_usage set cap = 1 where team_id = ${team.teamId} and kind = 'instances'`
    // What Pawl runs does not count.
    await putInstance(sql, { teamId: team.teamId, state: 'ONLINE', runtime: 'PROCESS' })
    const { instance } = await register({ name: 'only' }, team.token)
    expect(await register({ name: 'more' }, team.token)).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      remedies: [{ query: 'instances' }],
    })
    expect(await remove({ id: instance.id }, team.token)).toMatchObject({ instance: { state: 'REMOVED' } })
    expect(await remove({ id: instance.id }, team.token)).toMatchObject({ code: 'ILLEGAL_STATE' })
    expect(await countedInstances(sql, team.teamId)).toEqual({ used: 0, live: 0 })
    expect(await register({ name: 'more' }, team.token)).toMatchObject({ instance: { state: 'STARTING' } })
  })

  test.each([
    [{ name: 'Edge' }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'a', environment: 'No' }, 'environment'],
    [{ name: 'a', instanceId: 'a b' }, 'instanceId'],
    [{ name: 'a', instanceId: '' }, 'instanceId'],
    [{ name: 'a', instanceId: 'x'.repeat(256) }, 'instanceId'],
    [{ name: 'a', url: 'ftp://a.example' }, 'url'],
    [{ name: 'a', url: 'https://user:secret@a.example' }, 'url'],
    [{ name: 'a', url: 'no address' }, 'url'],
    [{ name: 'a', url: `https://a.example/${'x'.repeat(2048)}` }, 'url'],
    [{ name: 'a', heartbeatSeconds: 4 }, 'heartbeatSeconds'],
    [{ name: 'a', heartbeatSeconds: 3601 }, 'heartbeatSeconds'],
  ])('is told what is wrong: case %#', async (input, field) => {
    expect(await register(input)).toMatchObject({ code: 'VALIDATION_FAILED', faults: [{ path: ['input', field] }] })
  })
})

describe('heartbeatInstance', () => {
  test('brings it ONLINE, and, with healthy: false, DEGRADED with the reason', async () => {
    const { instance } = await register({ name: 'beats' })
    const { id } = instance
    const online = await beat({ id })
    expect(online.instance).toMatchObject({ state: 'ONLINE', stateReason: null })
    expect(online.instance.startedAt).not.toBe(null)
    expect(await beat({ id, healthy: false, reason: 'the disk is full' })).toMatchObject({
      instance: { state: 'DEGRADED', stateReason: 'the disk is full', startedAt: online.instance.startedAt },
    })
    expect(await beat({ id, healthy: false })).toMatchObject({ instance: { state: 'DEGRADED', stateReason: null } })
    expect(await beat({ id, healthy: true })).toMatchObject({ instance: { state: 'ONLINE', stateReason: null } })
    expect(await eventsOf(id)).toEqual([
      'registerInstance →STARTING',
      'heartbeatInstance STARTING→ONLINE',
      'reportInstanceDegraded ONLINE→DEGRADED',
      'heartbeatInstance DEGRADED→ONLINE',
    ])
  })

  test('that changes nothing leaves no event and no gap in the chain, is heard, and says nothing of a new state', async () => {
    const id = await put({ state: 'ONLINE', heardSecondsAgo: 20, sinceSecondsAgo: 1000 })
    const before = await storedInstance(sql, id)
    expect(await beat({ id })).toMatchObject({ instance: { state: 'ONLINE' } })
    const after = await storedInstance(sql, id)
    expect([after.stateChangedAt, after.version]).toEqual([before.stateChangedAt, before.version + 1])
    expect(Number(after.heartbeatAt)).toBeGreaterThan(Number(before.heartbeatAt))
    expect(await eventsOf(id)).toEqual([])
    await beat({ id, healthy: false, reason: 'x' })
    for (let n = 0; n < 3; n++) await beat({ id, healthy: false, reason: 'y' })
    await beat({ id })
    await beat({ id })
    await remove({ id })
    expect(await eventsOf(id)).toEqual([
      'reportInstanceDegraded ONLINE→DEGRADED',
      'heartbeatInstance DEGRADED→ONLINE',
      'removeInstance ONLINE→REMOVED',
    ])
    const { data } = await feedOf(id)
    expect(data.instance.events.nodes).toHaveLength(3)
  })

  test('of one that was removed is refused; the remedy makes it known anew', async () => {
    const { instance } = await register({ name: 'back', url: 'https://back.example' })
    await remove({ id: instance.id })
    const refusal = await beat({ id: instance.id })
    expect(refusal).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'heartbeatInstance',
      instance: { state: 'REMOVED' },
    })
    expect(await take(refusal)).toEqual(['registerInstance'])
    expect((await storedInstance(sql, instance.id)).state).toBe('REMOVED')
    const gone = (await feedOf(instance.id)).data.instance.allowedActions
    expect(gone.map(({ allowed }: { allowed: boolean }) => allowed)).toEqual([false, false])
  })

  test('takes a reason only of what is not well, and not for ever', async () => {
    const id = await put({ state: 'ONLINE' })
    for (const input of [{ reason: 'x' }, { healthy: true, reason: 'x' }, { healthy: false, reason: 'x'.repeat(501) }])
      expect(await beat({ id, ...input })).toMatchObject({
        code: 'VALIDATION_FAILED',
        faults: [{ path: ['input', 'reason'] }],
      })
    expect((await storedInstance(sql, id)).version).toBe(1)
  })
})

const feedOf = async (id: string) => {
  await sequenceEvents(api.pool.db, 100)
  return api.call(
    `query ($id: ID!) { instance(id: $id) { allowedActions { allowed } events { nodes { kind } } operations { nodes { kind } } } }`,
    { id },
  )
}

describe('what Pawl runs itself', () => {
  test.each(['heartbeatInstance', 'removeInstance'])('is not moved by %s, whatever runs it', async (mutation) => {
    const { teamId } = api.team
    const deploymentId = await putDeployment(sql, { teamId, state: 'HEALTHY' })
    const stackId = await putStack(sql, { teamId, state: 'HEALTHY' })
    const parts = [
      [await put({ state: 'ONLINE', runtime: 'PROCESS', subjectId: deploymentId }), 'deployment', deploymentId],
      [await put({ state: 'OFFLINE', runtime: 'DOCKER', subjectId: stackId, service: 'web' }), 'stack', stackId],
    ]
    for (const [id, query, subject] of parts) {
      const before = await storedInstance(sql, String(id))
      const refusal = await byName[mutation]?.({ id })
      expect(refusal).toMatchObject({
        code: 'ILLEGAL_STATE',
        action: mutation,
        instance: { id },
        remedies: [{ mutation: null, query, arguments: { id: subject } }],
      })
      expect(refusal.message).toContain('Pawl runs it')
      expect(await storedInstance(sql, String(id))).toEqual(before)
      const { data } = await api.call('query ($id: ID!) { instance(id: $id) { allowedActions { allowed because } } }', {
        id,
      })
      for (const { allowed, because } of data.instance.allowedActions)
        expect([allowed, because]).toEqual([false, expect.stringContaining('Pawl runs it')])
    }
  })
})

describe('every call', () => {
  test('under a key is answered as the first one was, with the instance as it is now; another input is refused', async () => {
    const input = { name: 'keyed', idempotencyKey: 'k-reg' }
    const first = await register(input)
    const { id } = first.instance
    await beat({ id, idempotencyKey: 'k-beat' })
    expect(await register(input)).toMatchObject({ replayed: true, instance: { id, state: 'ONLINE' } })
    expect(await register({ ...input, name: 'else' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
    await beat({ id, healthy: false })
    const { version } = await storedInstance(sql, id)
    expect(await beat({ id, idempotencyKey: 'k-beat' })).toMatchObject({
      replayed: true,
      instance: { state: 'DEGRADED' },
    })
    expect(await beat({ id, idempotencyKey: 'k-beat', healthy: false })).toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED',
    })
    expect((await storedInstance(sql, id)).version).toBe(version)
    expect(await remove({ id, idempotencyKey: 'k-rem' })).toMatchObject({ replayed: false })
    expect(await remove({ id, idempotencyKey: 'k-rem' })).toMatchObject({
      replayed: true,
      instance: { state: 'REMOVED' },
    })
    // A repeat is a repeat, also of what would be refused by now.
    expect(await beat({ id, idempotencyKey: 'k-beat' })).toMatchObject({ replayed: true })
    expect(await register(input)).toMatchObject({ replayed: true, instance: { id, state: 'REMOVED' } })
  })

  test('with another version than the one that is there is a conflict', async () => {
    const id = await put({ state: 'ONLINE' })
    await beat({ id })
    for (const call of [beat, remove])
      expect(await call({ id, expectedVersion: '1' })).toMatchObject({
        code: 'VERSION_CONFLICT',
        currentVersion: '2',
        instance: { id },
      })
    expect(await remove({ id, expectedVersion: '2' })).toMatchObject({ instance: { state: 'REMOVED' } })
  })

  test('with another team’s id is answered as with that of nothing', async () => {
    const theirs = await putInstance(sql, { teamId: other.teamId, state: 'ONLINE' })
    const deployment = await putDeployment(sql, { teamId: other.teamId, state: 'HEALTHY' })
    for (const call of [beat, remove]) {
      for (const id of [theirs, newId('Instance'), newId('Deployment'), 'x'])
        expect(await call({ id })).toMatchObject({ code: 'NOT_FOUND' })
    }
    for (const deploymentId of [deployment, newId('Deployment'), newId('Instance'), 'x', ''])
      expect(await register({ name: 'a', deploymentId })).toMatchObject({ code: 'NOT_FOUND' })
    expect(await storedInstance(sql, theirs)).toMatchObject({ state: 'ONLINE', version: 1 })
    const { data } = await api.call('query ($id: ID!) { instance(id: $id) { id } node(id: $id) { id } }', {
      id: theirs,
    })
    expect(data).toEqual({ instance: null, node: null })
  })

  test('needs the scope deploy; whoever reads sees', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'stack'] })
    const id = await put({ state: 'ONLINE' })
    for (const call of [() => register({ name: 'a' }, token), () => beat({ id }, token), () => remove({ id }, token)])
      expect(await call()).toMatchObject({ code: 'FORBIDDEN', missing: 'deploy' })
    const { data } = await api.call(
      'query ($id: ID!) { instance(id: $id) { state allowedActions { allowed } } }',
      { id },
      token,
    )
    expect(data.instance).toEqual({ state: 'ONLINE', allowedActions: [{ allowed: false }, { allowed: false }] })
  })
})

describe('lists', () => {
  test('filter by name, environment, state and runtime; all that is given must hold', async () => {
    const team = await createTeam(api.database.url)
    const mine = (facts: Omit<InstanceFacts, 'teamId'>) => putInstance(sql, { teamId: team.teamId, ...facts })
    const [a, b, c, d] = [
      await mine({ name: 'a', state: 'ONLINE' }),
      await mine({ name: 'b', state: 'REMOVED', environment: 'staging' }),
      await mine({ name: 'a', state: 'OFFLINE', runtime: 'PROCESS' }),
      await mine({ name: 'b', state: 'DEGRADED', runtime: 'DOCKER', environment: 'staging' }),
    ]
    const found = async (filter: string) => {
      const { data } = await api.call(`{ instances(first: 10 ${filter}) { totalCount nodes { id } } }`, {}, team.token)
      expect(data.instances.totalCount).toBe(data.instances.nodes.length)
      return data.instances.nodes.map(({ id }: { id: string }) => id).sort()
    }
    const all = [a, b, c, d].sort()
    expect(await found('')).toEqual(all)
    expect(await found(', filter: { name: "a" }')).toEqual([a, c].sort())
    expect(await found(', filter: { environment: "staging" }')).toEqual([b, d].sort())
    expect(await found(', filter: { runtime: EXTERNAL }')).toEqual([a, b].sort())
    expect(await found(', filter: { states: [ONLINE, DEGRADED] }')).toEqual([a, d].sort())
    expect(await found(', filter: { states: [] }')).toEqual([])
    expect(
      await found(', filter: { runtime: EXTERNAL, states: [REMOVED], name: "b", environment: "staging" }'),
    ).toEqual([b])
    expect(await found(', filter: { runtime: null }')).toEqual(all)
  })

  test('a deployment and a stack show theirs, and theirs show them and the work that was accepted for them', async () => {
    const { teamId } = api.team
    const deploymentId = await putDeployment(sql, { teamId, state: 'HEALTHY' })
    const stackId = await putStack(sql, { teamId, state: 'HEALTHY' })
    const [run, unit, web] = [
      await put({ state: 'ONLINE', runtime: 'PROCESS', subjectId: deploymentId }),
      await put({ state: 'ONLINE', subjectId: deploymentId }),
      await put({ state: 'STARTING', runtime: 'PROCESS', subjectId: stackId, service: 'web' }),
    ]
    const operationId = newId('Operation')
    await sql`insert into operation (id, state, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
      values (${operationId}, 'PENDING', ${teamId}, 'deployment.restart', 'Deployment', ${deploymentId}, now(), '{}', 'test')`
    const back = 'nodes { id service deployment { id } stack { id } operations { totalCount nodes { id } } }'
    const { data, errors } = await api.call(
      `query ($d: ID!, $s: ID!) { deployment(id: $d) { instances(first: 5) { totalCount ${back} } } stack(id: $s) { instances(first: 5) { totalCount ${back} } } }`,
      { d: deploymentId, s: stackId },
    )
    expect(errors).toBeUndefined()
    const { instances } = data.deployment
    expect([instances.totalCount, instances.nodes.map(({ id }: { id: string }) => id).sort()]).toEqual([
      2,
      [run, unit].sort(),
    ])
    for (const node of instances.nodes)
      expect(node).toMatchObject({
        deployment: { id: deploymentId },
        stack: null,
        operations: { totalCount: 1, nodes: [{ id: operationId }] },
      })
    expect(data.stack.instances).toEqual({
      totalCount: 1,
      nodes: [
        { id: web, service: 'web', deployment: null, stack: { id: stackId }, operations: { totalCount: 0, nodes: [] } },
      ],
    })
  })

  test('one that was never heard of shows as stuck past its deadline, with the calls that lead out', async () => {
    const team = await createTeam(api.database.url)
    const late = { state: 'STARTING', heardSecondsAgo: null, sinceSecondsAgo: 901 } as const
    const id = await putInstance(sql, { ...late, teamId: team.teamId })
    const managed = await putInstance(sql, { ...late, teamId: team.teamId, runtime: 'PROCESS', sinceSecondsAgo: 1000 })
    const { data } = await api.call(
      '{ stuck { entity state owner subject { id } remedies { mutation arguments } } }',
      {},
      team.token,
    )
    const told = { entity: 'Instance', state: 'STARTING', owner: 'reconcile-instances' }
    expect(data.stuck).toEqual([
      { ...told, subject: { id: managed }, remedies: [{ mutation: null, arguments: null }] },
      {
        ...told,
        subject: { id },
        remedies: [
          { mutation: 'heartbeatInstance', arguments: { input: { id } } },
          { mutation: 'removeInstance', arguments: { input: { id } } },
        ],
      },
    ])
    expect(await beat({ id }, team.token)).toMatchObject({ instance: { state: 'ONLINE' } })
  })
})

test('the gauges tell how many there are of each, and how long ago one was last heard of, of those that are waited for', async () => {
  const { teamId } = await createTeam(api.database.url)
  const facts: Omit<InstanceFacts, 'teamId'>[] = [
    { runtime: 'DOCKER', state: 'ONLINE', sinceSecondsAgo: 5_000 },
    { runtime: 'DOCKER', state: 'OFFLINE', sinceSecondsAgo: 1e6 },
    // Its start goes on: there is no run yet that could be asked about.
    { runtime: 'DOCKER', state: 'STARTING', sinceSecondsAgo: 1e6, instanceId: null },
    { runtime: 'DOCKER', state: 'REMOVED', sinceSecondsAgo: 1e6 },
    { state: 'ONLINE', heardSecondsAgo: 50_000 },
    { state: 'OFFLINE', heardSecondsAgo: 1e6 },
  ]
  for (const each of facts) await putInstance(sql, { ...each, teamId })
  const counts = await instanceCounts(api.pool.db)
  expect(counts).toEqual(expect.arrayContaining([{ runtime: 'DOCKER', state: 'STARTING', count: 1 }]))
  expect(counts.filter(({ state }) => state === 'REMOVED')).toEqual([])
  const ages = Object.fromEntries(
    (await oldestChecks(api.pool.db)).map(({ runtime, ageMs }) => [runtime, ageMs / 1000]),
  )
  expect([ages.DOCKER, ages.EXTERNAL].map((age) => Math.floor(Number(age) / 1000))).toEqual([5, 50])
})
