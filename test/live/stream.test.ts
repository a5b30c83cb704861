// What a client of a stream sees: events as they come, objects as they change, by GET and by POST, in the form of GraphQL
// over SSE; and what it is told where there is no stream for it.
import type { GraphQLInputObjectType } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schema } from '../../src/schema/schema.ts'
import { createTeam, createToken, putDeployment } from '../fixture.ts'
import { until } from '../until.ts'
import { type LiveStage, openLiveStage, openStreams } from './stage.ts'

let stage: LiveStage
beforeAll(async () => {
  stage = await openLiveStage({ times: { heartbeatMs: 50 } })
})
afterAll(() => stage.close())

const events =
  'subscription ($after: String, $filter: EventFilter) { events(after: $after, filter: $filter) { cursor kind subjectId version } }'
const listed = '{ events(last: 100) { nodes { cursor kind subjectId version } } }'

describe('events', () => {
  test.each(['GET', 'POST'] as const)('by %s: what happens from now on, in the order of the list', async (method) => {
    const before = await stage.deploy()
    await expect.poll(async () => (await stage.api.call(listed)).data.events.nodes.at(-1)?.subjectId).toMatch(/^op_/)
    const stream = await stage.subscribe(events, { method })
    expect([stream.status, stream.headers['content-type'], stream.headers['cache-control']]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      'no-store',
    ])
    const id = await stage.deploy()
    await stage.change(id)
    const told = [await stream.next(), await stream.next(), await stream.next()].map((one) => one?.data.events)
    expect(told.map(({ kind }) => kind)).toEqual(['deploy', 'queueOperation', 'mergeDeploymentEnv'])
    expect(told.map(({ subjectId }) => subjectId)).not.toContain(before)
    const all = (await stage.api.call(listed)).data.events.nodes
    expect(told).toEqual(all.slice(-3))
    stream.cut()
    await stage.empty()
  })

  test('after a cursor: what came since, then what comes', async () => {
    const id = await stage.deploy()
    for (let at = 1; at < 6; at++) await stage.change(id)
    await expect.poll(async () => (await stage.api.call(listed)).data.events.nodes.at(-1)?.version).toBe('6')
    const nodes = (await stage.api.call(listed)).data.events.nodes
    const [{ cursor }] = nodes.slice(-4)
    const stream = await stage.subscribe(events, { variables: { after: cursor, filter: { subject: id } } })
    await stage.change(id)
    const seen = []
    for (let at = 0; at < 4; at++) seen.push((await stream.next())?.data.events.version)
    expect(seen).toEqual(['4', '5', '6', '7'])
    stream.cut()
  })

  test('by a filter: its own and no other', async () => {
    const [one, other] = [await stage.deploy(), await stage.deploy()]
    const stream = await stage.subscribe(events, {
      variables: { filter: { subject: one, kind: 'mergeDeploymentEnv' } },
    })
    await stage.change(other)
    await stage.change(one)
    expect((await stream.next())?.data.events).toMatchObject({ subjectId: one, kind: 'mergeDeploymentEnv' })
    stream.cut()
  })

  test('every filter lets through what it lets through in the list, and each of them leaves something out', async () => {
    const one = await stage.deploy()
    const last = async (count: number) => {
      const { nodes } = (await stage.api.call('{ events(last: 1) { nodes { cursor occurredAt subjectId version } } }'))
        .data.events
      expect(nodes[0]).toMatchObject({ subjectId: one, version: String(count) })
      return nodes[0]
    }
    await stage.change(one)
    const start = await until(() => last(2))
    const whole = await stage.subscribe(events, { variables: { after: start.cursor } })
    const { actor } = await createToken(stage.api.database.url, stage.api.team.teamId)
    await stage.deploy()
    await stage.change(one)
    const from = new Date(Date.parse((await until(() => last(3))).occurredAt) + 1)
    const filters: Record<string, unknown> = {
      subject: one,
      subjectType: 'Deployment',
      kind: 'mergeDeploymentEnv',
      actor: actor.id,
      from,
      to: from,
    }
    expect(Object.keys((schema.getType('EventFilter') as GraphQLInputObjectType).getFields()).sort()).toEqual(
      Object.keys(filters).sort(),
    )
    const given = Object.entries(filters).map(([name, value]) => ({ after: start.cursor, filter: { [name]: value } }))
    const streams = await Promise.all(given.map((variables) => stage.subscribe(events, { variables })))
    await stage.change(await stage.deploy())
    await until(() => expect(whole.told.length).toBe(6))
    for (const [at, stream] of streams.entries()) {
      const query = events
        .replace('subscription', 'query')
        .replace('{ cursor', '{ nodes { cursor')
        .replace(/\}$/, '} }')
      const list = (await stage.api.call(query, given[at])).data.events.nodes
      await until(() => expect(stream.told.map(({ data }) => data.events)).toEqual(list))
      expect(list.length).toBeLessThan(6)
      stream.cut()
    }
    whole.cut()
  })

  test('of another team none is sent', async () => {
    const theirs = await createTeam(stage.api.database.url)
    const stream = await stage.subscribe(events, { token: theirs.token })
    await stage.deploy()
    const id = await stage.deploy(undefined, theirs.token)
    expect((await stream.next())?.data.events.subjectId).toBe(id)
    stream.cut()
  })

  test('each answer is made of what is there now, not of what the answer before had read', async () => {
    const id = await stage.deploy()
    const query = `subscription { events(filter: { subject: "${id}" }) { subject { ... on Deployment { version } } } }`
    const stream = await stage.subscribe(query)
    for (const version of [2, 3]) {
      await stage.change(id)
      // The deployment's birth may have got its place in the log after the stream had begun.
      let shown = 0
      while (shown < version) shown = Number((await stream.next())?.data.events.subject.version)
      expect(shown).toBe(version)
    }
    stream.cut()
  })

  test('a heartbeat comes while nothing happens', async () => {
    const stream = await stage.subscribe(events)
    await expect.poll(stream.beats).toBeGreaterThan(3)
    expect(stream.told).toEqual([])
    stream.cut()
  })

  test.each<[string, object, string]>([
    ['a cursor that is none', { after: 'x' }, 'BAD_USER_INPUT'],
    ['a filter that cannot be asked', { filter: { kind: '\0' } }, 'BAD_USER_INPUT'],
  ])('%s is refused before anything is sent', async (_, variables, code) => {
    const stream = await stage.subscribe(events, { variables: { ...variables } })
    await stream.over
    expect(stream.told).toMatchObject([{ errors: [{ extensions: { code } }] }])
    expect(stream.told[0]?.data ?? null).toBeNull()
    expect(stream.completed()).toBe(true)
  })
})

describe('EVENTS_LAGGED', () => {
  test('a cursor that is older than what is kept is told so, by the list and by the stream, with where to go on', async () => {
    const id = await stage.deploy()
    await stage.change(id)
    const named = async () =>
      (await stage.api.call(`{ events(last: 3, filter: { subject: "${id}" }) { nodes { cursor kind } } }`)).data.events
        .nodes
    await expect.poll(async () => (await named()).length).toBe(2)
    const [first, second] = await named()
    // As trimming leaves it: what was first is gone.
    await stage.sql`update event_horizon set trimmed_through =
      (select position from event where subject_id = ${id} and kind = 'mergeDeploymentEnv')`
    const list = await stage.api.call('query ($after: String) { events(after: $after) { nodes { kind } } }', {
      after: first.cursor,
    })
    const oldestCursor = second.cursor
    expect(list.errors).toMatchObject([{ extensions: { code: 'EVENTS_LAGGED', oldestCursor } }])
    const stream = await stage.subscribe(events, { variables: { after: first.cursor } })
    expect((await stream.next())?.errors).toMatchObject([{ extensions: { code: 'EVENTS_LAGGED', oldestCursor } }])
    await stream.over
    expect([stream.told.length, stream.completed()]).toEqual([1, true])
    const goingOn = await stage.subscribe(events, { variables: { after: oldestCursor, filter: { subject: id } } })
    await stage.change(id)
    expect((await goingOn.next())?.data.events).toMatchObject({ kind: 'mergeDeploymentEnv', version: '3' })
    goingOn.cut()
  })
})

describe('objects', () => {
  test.each(['deployment', 'operation'])('%s is sent now and at each change', async (field) => {
    const deployment = await stage.deploy()
    const [row] = await stage.sql`select id from operation where subject_id = ${deployment}`
    const id = field === 'deployment' ? deployment : row?.id
    const stream = await stage.subscribe(`subscription { ${field}(id: "${id}") { id state version } }`)
    expect((await stream.next())?.data[field]).toMatchObject({ id, version: '1' })
    await stage.api.call(`mutation { cancelOperation(input: { id: "${row?.id}" }) { __typename } }`)
    const state = field === 'deployment' ? 'FAILED' : 'CANCELLED'
    expect((await stream.next())?.data[field]).toEqual({ id, state, version: '2' })
    stream.cut()
  })

  test('stack is sent now and at each change', async () => {
    const create = `mutation { createStack(input: { name: "live", services: [{ name: "web", image: "hello" }] }) {
      ... on CreateStackPayload { stack { id } } } }`
    const { id } = (await stage.api.call(create)).data.createStack.stack
    const stream = await stage.subscribe(`subscription { stack(id: "${id}") { version env { key } } }`)
    expect((await stream.next())?.data.stack).toEqual({ version: '1', env: [] })
    await stage.api.call(
      `mutation { mergeStackEnv(input: { id: "${id}", set: [{ key: "A", value: "1" }] }) { __typename } }`,
    )
    expect((await stream.next())?.data.stack).toEqual({ version: '2', env: [{ key: 'A' }] })
    stream.cut()
  })

  test('one that has ended is sent once, and the stream stays open', async () => {
    const id = await putDeployment(stage.api.database.url, stage.api.team.teamId, { state: 'DELETED' })
    const stream = await stage.subscribe(`subscription { deployment(id: "${id}") { state } }`)
    expect((await stream.next())?.data.deployment).toEqual({ state: 'DELETED' })
    const beats = stream.beats()
    await expect.poll(stream.beats).toBeGreaterThan(beats + 2)
    expect([stream.told.length, stream.completed()]).toEqual([1, false])
    stream.cut()
  })

  test('of what is not there or is another team’s: null, and the end', async () => {
    const theirs = await createTeam(stage.api.database.url)
    const foreign = await putDeployment(stage.api.database.url, theirs.teamId)
    for (const id of [foreign, 'dep_00000000000000000000000000', 'x']) {
      const stream = await stage.subscribe(`subscription { deployment(id: "${id}") { id } }`)
      await stream.over
      expect([stream.told, stream.completed()]).toEqual([[{ data: { deployment: null } }], true])
    }
  })
})

describe('no stream is opened', () => {
  const query = 'subscription { events { cursor } }'

  test('without a token: 401', async () => {
    const stream = await stage.subscribe(query, { token: 'none' })
    await stream.over
    expect([stream.status, JSON.parse(stream.text()).errors[0].extensions.code]).toEqual([401, 'UNAUTHENTICATED'])
  })

  test('without the scope read: 403', async () => {
    const { token } = await createToken(stage.api.database.url, stage.api.team.teamId, { scopes: ['deploy'] })
    const stream = await stage.subscribe(query, { token })
    await stream.over
    expect(stream.status).toBe(403)
    expect(stream.told).toMatchObject([{ errors: [{ extensions: { code: 'FORBIDDEN', missing: 'read' } }] }])
  })

  test('for a client that reads JSON alone: 406, and nothing is left of it', async () => {
    const stream = await stage.subscribe(query, { accept: 'application/json' })
    await stream.over
    expect([stream.status, JSON.parse(stream.text()).errors[0].extensions.code]).toEqual([406, 'NOT_ACCEPTABLE'])
    await stage.empty()
  })

  test('and a query of a client that reads streams is answered as one, with one answer', async () => {
    const stream = await stage.subscribe('{ limits { __typename } }')
    await stream.over
    expect([stream.status, stream.told, stream.completed()]).toMatchObject([
      200,
      [{ data: { limits: { __typename: 'Limits' } } }],
      true,
    ])
  })

  test('of two fields at once', async () => {
    const stream = await stage.subscribe('subscription { a: events { cursor } b: events { cursor } }')
    await stream.over
    expect(stream.told.concat(JSON.parse(stream.text() || '{}'))[0]?.errors?.length).toBe(1)
  })
})

test('what is open and what was sent is counted', async () => {
  const id = await stage.deploy()
  const stream = await stage.subscribe(`subscription { deployment(id: "${id}") { version } }`)
  await stream.next()
  const text = await stage.api.metrics.text()
  expect(text).toMatch(/^pawl_streams\{subscription="deployment"\} 1$/m)
  expect(text).toMatch(/^pawl_stream_events_total\{subscription="deployment"\} [1-9]/m)
  stream.cut()
  await expect.poll(() => openStreams(stage.api)).toBe(0)
  await expect
    .poll(() => stage.api.metrics.text())
    .toMatch(/^pawl_graphql_duration_seconds_count\{operation="deployment",outcome="ok"\} [1-9]/m)
})
