// Reading: pages that add up to the whole list, one statement per level, and nothing of another team by any path.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createTeam, createToken, putDeployment, putOperation, type TestTeam } from '../fixture.ts'
import { type Api, openApi } from './api.ts'

let api: Api
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  other = await createTeam(api.database.url)
})
beforeEach(() => api.forget())
afterAll(() => api.close())

const deployed = async (name: string, token?: string) => {
  const { data } = await api.call(
    'mutation ($name: String!) { deploy(input: { name: $name, image: "hello" }) { ... on DeployPayload { deployment { id } operation { id } } ... on Refusal { message } } }',
    { name },
    token,
  )
  return { id: data.deploy.deployment.id as string, operationId: data.deploy.operation.id as string }
}
/** Statements of a call, without the authentication that each one begins with. */
const statementsOf = async (query: string, variables: Record<string, unknown> = {}) => {
  api.forget()
  const { data, errors } = await api.call(query, variables)
  expect(errors).toBeUndefined()
  return { data, names: api.names().filter((name) => name !== 'read:authenticate' && name !== 'noteTokenUse') }
}

describe('pages', () => {
  let team: TestTeam
  const ids: string[] = []
  beforeAll(async () => {
    team = await createTeam(api.database.url)
    const createdAt = new Date('2030-01-01T00:00:00.000Z')
    // Three of each millisecond: the id decides among them.
    for (let i = 0; i < 12; i++) {
      ids.push(
        await putDeployment(api.database.url, team.teamId, {
          createdAt: new Date(createdAt.getTime() + Math.floor(i / 3)),
        }),
      )
    }
  })
  const page = async (args: string) => {
    const { data, errors } = await api.call(
      `{ deployments(${args}) { nodes { id } edges { cursor node { id } } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`,
      {},
      team.token,
    )
    return { ...data?.deployments, errors }
  }

  test.each(['first', 'last'])(
    'put together by %s they are the whole list, in one order, though rows are added',
    async (way) => {
      const whole = (await page('first: 100')).nodes.map((node: { id: string }) => node.id)
      const seen: string[] = []
      let cursor: string | null = null
      for (;;) {
        const from: string = cursor === null ? '' : `, ${way === 'first' ? 'after' : 'before'}: "${cursor}"`
        const { nodes, pageInfo } = await page(`${way}: 5${from}`)
        const found = nodes.map((node: { id: string }) => node.id)
        if (way === 'first') seen.push(...found)
        else seen.unshift(...found)
        // A new row goes to the front of the list: it may not shift what is behind a cursor.
        await putDeployment(api.database.url, team.teamId, { createdAt: new Date('2031-01-01T00:00:00.000Z') })
        if (!(way === 'first' ? pageInfo.hasNextPage : pageInfo.hasPreviousPage)) break
        cursor = way === 'first' ? pageInfo.endCursor : pageInfo.startCursor
      }
      const kept = new Set(whole)
      expect(seen.filter((id) => kept.has(id))).toEqual(whole)
      expect(new Set(seen).size).toBe(seen.length)
    },
  )

  test('cursors of edges are those of the page, the count is of the whole list', async () => {
    const { edges, nodes, pageInfo, totalCount } = await page('first: 3')
    expect(edges.map((edge: { node: unknown }) => edge.node)).toEqual(nodes)
    expect([edges[0].cursor, edges[2].cursor]).toEqual([pageInfo.startCursor, pageInfo.endCursor])
    expect(totalCount).toBeGreaterThanOrEqual(ids.length)
    const between = await page(`first: 3, after: "${edges[0].cursor}", before: "${edges[2].cursor}"`)
    expect(between.nodes).toEqual([nodes[1]])
  })

  test.each([
    ['first: 0', 'first must be 1 to 100, not 0.'],
    ['first: -1', 'first must be 1 to 100, not -1.'],
    ['first: 101', 'first must be 1 to 100, not 101.'],
    ['last: 1000000000', 'last must be 1 to 100, not 1000000000.'],
    ['first: 1, last: 1', 'Give either first or last, not both.'],
    ['after: ""', 'after is not a cursor that deployments has given out.'],
    ['after: "abc"', 'after is not a cursor that deployments has given out.'],
    ['before: "MTIzLmFiYy5kZWY"', 'before is not a cursor that deployments has given out.'],
    ['filter: { name: "a\\u0000b" }', 'filter.name may hold neither NUL nor a lone surrogate.'],
  ])('%s is refused by name', async (args, message) => {
    const { errors } = await page(args)
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({ message, extensions: { code: 'BAD_USER_INPUT' } })
  })

  test('half a surrogate pair in a filter is refused by name', async () => {
    const query = 'query ($f: DeploymentFilter) { deployments(filter: $f) { totalCount } }'
    const { errors } = await api.call(query, { f: { environment: '\uD800' } })
    expect(errors?.[0]?.message).toBe('filter.environment may hold neither NUL nor a lone surrogate.')
  })

  test('a bad size is the same refusal as literal, variable, default and deep inside, before anything is read', async () => {
    const message = 'first must be 1 to 100, not 1000000000.'
    const queries: [string, Record<string, unknown>][] = [
      ['{ deployments(first: 1000000000) { totalCount } }', {}],
      ['query ($n: Int) { deployments(first: $n) { totalCount } }', { n: 1_000_000_000 }],
      ['query ($n: Int = 1000000000) { deployments(first: $n) { totalCount } }', {}],
      ['{ deployments(first: 1) { nodes { operations(first: 1000000000) { totalCount } } } }', {}],
    ]
    for (const [query, variables] of queries) {
      api.forget()
      const { errors, data } = await api.call(query, variables)
      expect(errors?.map((error) => [error.message, error.extensions])).toEqual([[message, { code: 'BAD_USER_INPUT' }]])
      expect(data ?? null).toBeNull()
      expect(api.names()).not.toContain('read:deployments.page')
    }
  })

  test('a cursor is of no use altered, in another list, or to another team', async () => {
    const { pageInfo } = await page('first: 1')
    const cursor: string = pageInfo.endCursor
    const flipped = `${cursor.slice(0, 5)}${cursor[5] === 'A' ? 'B' : 'A'}${cursor.slice(6)}`
    for (const bad of [flipped, `${cursor}A`, cursor.slice(0, -1), `${cursor}=`]) {
      expect((await page(`after: "${bad}"`)).errors[0].extensions.code).toBe('BAD_USER_INPUT')
    }
    const elsewhere = await api.call(`{ operations(after: "${cursor}") { totalCount } }`, {}, team.token)
    expect(elsewhere.errors?.[0]?.message).toBe('after is not a cursor that operations has given out.')
    const stranger = await api.call(`{ deployments(after: "${cursor}") { totalCount } }`, {}, other.token)
    expect(stranger.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
  })
})

describe('filters', () => {
  test('of deployments, operations and events', async () => {
    const { teamId, token } = await createTeam(api.database.url)
    const failed = await putDeployment(api.database.url, teamId, {
      name: 'one',
      state: 'FAILED',
      environment: 'staging',
    })
    await putDeployment(api.database.url, teamId, { name: 'two' })
    const first = await putOperation(api.database.url, teamId, failed, { state: 'FAILED' })
    await putOperation(api.database.url, teamId, failed, { state: 'SUCCEEDED', kind: 'deployment.stop' })
    const count = async (field: string, filter: string) =>
      (await api.call(`{ ${field}(filter: { ${filter} }) { totalCount nodes { id } } }`, {}, token)).data[field]
    expect((await count('deployments', 'states: [FAILED]')).nodes).toEqual([{ id: failed }])
    expect((await count('deployments', 'states: []')).totalCount).toBe(0)
    expect((await count('deployments', 'environment: "staging", name: "one"')).totalCount).toBe(1)
    expect((await count('deployments', 'environment: "staging", name: "two"')).totalCount).toBe(0)
    expect((await count('operations', `subject: "${failed}", states: [FAILED, CANCELLED]`)).nodes).toEqual([
      { id: first },
    ])
    expect((await count('operations', 'kind: "deployment.stop"')).totalCount).toBe(1)
  })

  test('of events, by position alone', async () => {
    const { token, actor } = await createTeam(api.database.url)
    const { id } = await deployed('logged', token)
    const read = async (args: string) =>
      (
        await api.call(
          `{ events(${args}) { totalCount nodes { cursor kind to subject { id } actor { kind id } } pageInfo { endCursor } } }`,
          {},
          token,
        )
      ).data.events
    expect((await read('first: 10')).nodes).toEqual([])
    await sequenceEvents(api.pool.db, 100)
    const all = await read('first: 10')
    expect(all.nodes.map((node: { kind: string; to: string }) => [node.kind, node.to])).toEqual([
      ['deploy', 'BUILDING'],
      ['queueOperation', 'PENDING'],
    ])
    expect(all.nodes[0]).toMatchObject({ subject: { id }, actor: { kind: 'token', id: actor.id } })
    expect((await read(`first: 10, after: "${all.nodes[0].cursor}"`)).nodes).toEqual([all.nodes[1]])
    expect((await read(`filter: { subject: "${id}" }`)).totalCount).toBe(1)
    expect((await read(`filter: { actor: "${actor.id}", kind: "queueOperation" }`)).totalCount).toBe(1)
    expect((await read('filter: { to: "2020-01-01T00:00:00Z" }')).totalCount).toBe(0)
    expect((await read('filter: { from: "2020-01-01T00:00:00Z" }')).totalCount).toBe(2)
  })
})

describe('one statement per level', () => {
  beforeAll(async () => {
    for (const name of ['lvl-a', 'lvl-b', 'lvl-c']) await deployed(name)
    await sequenceEvents(api.pool.db, 100)
  })

  test('a list with all that hangs on it', async () => {
    const { names } = await statementsOf(`{ deployments(first: 10) { totalCount nodes {
      id env { key value } allowedActions { action }
      operations(first: 2) { totalCount nodes { id subject { id } retryOf { id } allowedActions { action } events(first: 2) { nodes { kind } } } }
      events(first: 5) { totalCount nodes { kind subject { id } operation { id subject { id } } } }
    } } }`)
    expect(names.sort()).toMatchInlineSnapshot(`
      [
        "read:deployment.byId",
        "read:deployment.env",
        "read:deployments.count",
        "read:deployments.page",
        "read:events.counts",
        "read:events.pages",
        "read:events.pages",
        "read:operation.byId",
        "read:operations.counts",
        "read:operations.pages",
      ]
    `)
  })

  test('the same list twice, in two ways', async () => {
    const { names } = await statementsOf(`{
      a: deployments(first: 2) { nodes { operations(first: 1) { nodes { id } } } }
      b: deployments(last: 2) { nodes { operations(first: 1) { nodes { id } } } }
    }`)
    expect(names.sort()).toMatchInlineSnapshot(`
      [
        "read:deployments.page",
        "read:deployments.page-back",
        "read:operations.pages",
        "read:operations.pages",
      ]
    `)
  })

  test('nodes of every kind', async () => {
    const { id, operationId } = await deployed('lvl-d')
    const ids = [id, operationId, api.team.actor.id, api.team.teamId, newId('Deployment'), 'x', id]
    const { data, names } = await statementsOf('query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }', { ids })
    expect(data.nodes.map((node: { __typename: string } | null) => node?.__typename ?? null)).toEqual([
      'Deployment',
      'Operation',
      'ApiToken',
      'Team',
      null,
      null,
      'Deployment',
    ])
    expect(names.sort()).toMatchInlineSnapshot(`
      [
        "read:api_token.byId",
        "read:deployment.byId",
        "read:operation.byId",
        "read:team.byId",
      ]
    `)
  })

  test('the emitted SQL', async () => {
    const texts = new Map<string, string>()
    api.before = ({ sql }) => {
      const name = /^\/\* (read:\S+) \*\//.exec(sql)?.[1]
      if (name) texts.set(name, sql)
    }
    await api.call(
      '{ deployments(first: 1) { nodes { operations(last: 1) { totalCount nodes { id } } } } events { totalCount } }',
    )
    await api.call(
      '{ deployments(last: 1) { totalCount nodes { env { key } } } nodes(ids: []) { id } stuck { since } }',
    )
    api.before = () => {}
    expect(
      [...texts]
        .filter(([name]) => name !== 'read:stuck')
        .sort()
        .map(([, sql]) => sql),
    ).toMatchSnapshot()
    // A statement that reads a table of ours names the team.
    for (const [name, sql] of texts) if (name !== 'read:authenticate') expect(sql, name).toContain('team_id')
  })
})

describe('another team', () => {
  test('its objects are not there, by any path, the same as what never was', async () => {
    const theirs = await deployed('theirs', other.token)
    await sequenceEvents(api.pool.db, 100)
    const read = async (id: string, operationId: string, tokenId: string, teamId: string) => {
      const { data } = await api.call(
        `query ($id: ID!, $op: ID!, $tok: ID!, $team: ID!) {
          deployment(id: $id) { id } operation(id: $op) { id } apiToken(id: $tok) { id }
          a: node(id: $id) { id } b: node(id: $op) { id } c: node(id: $tok) { id } d: node(id: $team) { id }
          nodes(ids: [$id, $op, $tok, $team]) { id }
          operations(filter: { subject: $id }) { totalCount nodes { id } } events(filter: { subject: $id }) { totalCount nodes { kind } }
        }`,
        { id, op: operationId, tok: tokenId, team: teamId },
      )
      return data
    }
    const missing = await read(newId('Deployment'), newId('Operation'), newId('ApiToken'), newId('Team'))
    expect(await read(theirs.id, theirs.operationId, other.actor.id, other.teamId)).toEqual(missing)
    expect(JSON.stringify(missing)).not.toMatch(/_0/)
    const list = await api.call(
      '{ deployments(first: 100) { nodes { id } } events(first: 100) { nodes { subjectId } } apiTokens { nodes { id } } stuck(olderThanMs: 0, first: 100) { subject { id } } }',
    )
    for (const id of [theirs.id, theirs.operationId, other.actor.id]) expect(list.text).not.toContain(id)
  })

  test('its objects cannot be moved: NotFound, the same as what never was', async () => {
    const theirs = await deployed('theirs-too', other.token)
    const calls: [string, string, string, string][] = [
      ['redeployDeployment', '', theirs.id, newId('Deployment')],
      ['stopDeployment', '', theirs.id, newId('Deployment')],
      ['startDeployment', '', theirs.id, newId('Deployment')],
      ['deleteDeployment', '', theirs.id, newId('Deployment')],
      ['mergeDeploymentEnv', ', set: [{ key: "A", value: "1" }]', theirs.id, newId('Deployment')],
      ['setDeploymentTtl', ', ttlHours: 1', theirs.id, newId('Deployment')],
      ['makeDeploymentPermanent', '', theirs.id, newId('Deployment')],
      ['retryOperation', '', theirs.operationId, newId('Operation')],
      ['cancelOperation', '', theirs.operationId, newId('Operation')],
      ['revokeApiToken', '', other.actor.id, newId('ApiToken')],
    ]
    for (const [mutation, more, id, missing] of calls) {
      const ask = async (of: string) => {
        const { text } = await api.call(
          `mutation { ${mutation}(input: { id: "${of}"${more} }) { __typename ... on Refusal { code message retryable remedies { query arguments explanation } } } }`,
        )
        return text.replaceAll(of, 'ID')
      }
      const answer = await ask(id)
      expect(answer, mutation + api.logged.join()).toContain('"NOT_FOUND"')
      expect(answer).toBe(await ask(missing))
    }
    const { data } = await api.call(
      'query ($id: ID!) { deployment(id: $id) { state version } }',
      { id: theirs.id },
      other.token,
    )
    expect(data.deployment).toEqual({ state: 'BUILDING', version: '1' })
  })
})

test('values of environment variables need env:read; the rest of them does not', async () => {
  const env = {
    B: { value: 'two', revision: 2, changedAt: '2030-01-01T00:00:00.000Z', changedBy: 'tok_x' },
    A: { value: '', revision: 1, changedAt: '2030-01-01T00:00:00.000Z', changedBy: 'tok_x' },
  }
  const id = await putDeployment(api.database.url, api.team.teamId, { env })
  const query = 'query ($id: ID!) { deployment(id: $id) { env { key revision changedAt changedBy value } } }'
  const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'deploy'] })
  const full = (await api.call(query, { id })).data.deployment.env
  expect(full.map((entry: { key: string; value: string }) => [entry.key, entry.value])).toEqual([
    ['A', ''],
    ['B', 'two'],
  ])
  const keys = await api.call(query, { id }, token)
  expect(keys.data.deployment.env).toEqual(full.map((entry: object) => ({ ...entry, value: null })))
  const merged = await api.call(
    'mutation ($id: ID!) { mergeDeploymentEnv(input: { id: $id, set: [{ key: "C", value: "canary" }] }) { ... on MergeDeploymentEnvPayload { deployment { env { key value } } } } }',
    { id },
    token,
  )
  expect(merged.text).not.toMatch(/canary|two/)
})

test('what is stuck, since when, and the way out of it', async () => {
  const { teamId, token } = await createTeam(api.database.url)
  const long = new Date(Date.now() - 2 * 3_600_000)
  const id = await putDeployment(api.database.url, teamId, { state: 'DEPLOYING', stateChangedAt: long })
  const operationId = await putOperation(api.database.url, teamId, id, {
    stateChangedAt: new Date(long.getTime() + 1_000),
  })
  await putDeployment(api.database.url, teamId, { state: 'BUILDING' })
  await putDeployment(api.database.url, teamId, { state: 'HEALTHY', stateChangedAt: long })
  const ask = async (args: string) =>
    (
      await api.call(
        `{ stuck${args} { subject { id } entity state owner since remedies { mutation arguments explanation } } }`,
        {},
        token,
      )
    ).data.stuck
  const found = await ask('')
  expect(
    found.map((row: { subject: { id: string }; state: string; owner: string }) => [
      row.subject.id,
      row.state,
      row.owner,
    ]),
  ).toEqual([
    [id, 'DEPLOYING', 'dispatch'],
    [operationId, 'PENDING', 'dispatch'],
  ])
  expect(found[0].since).toBe(long.toISOString())
  expect(found[1].remedies[0]).toMatchObject({ mutation: 'cancelOperation', arguments: { input: { id: operationId } } })
  expect(await ask('(olderThanMs: 0)')).toHaveLength(3)
  expect(await ask('(olderThanMs: 0, first: 1)')).toHaveLength(1)
  expect(await ask('(olderThanMs: 1e11)')).toEqual([])
})
