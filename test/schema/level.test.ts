// One statement per level, whatever the width: an N+1 is a red diff here. The text of each is a snapshot too.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { putInstance } from '../instances/row.ts'
import { putDeployment } from '../row.ts'
import { type Api, openApi } from './api.ts'
import { deployed } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

/** Statements of a call, without the authentication that each one begins with. */
const statementsOf = async (query: string, variables: Record<string, unknown> = {}) => {
  api.forget()
  const { data, errors } = await api.call(query, variables)
  expect(errors).toBeUndefined()
  return { data, names: api.names().filter((name) => name !== 'read:authenticate' && name !== 'noteTokenUse') }
}

describe('one statement per level', () => {
  beforeAll(async () => {
    for (const name of ['lvl-a', 'lvl-b', 'lvl-c']) await deployed(api, name)
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

  test('what runs for each of fifty deployments is one statement', async () => {
    const { teamId } = api.team
    for (let n = 0; n < 50; n++) {
      const subjectId = await putDeployment(api.database.url, { teamId, state: 'HEALTHY' })
      await putInstance(api.database.url, { teamId, state: 'ONLINE', runtime: 'PROCESS', subjectId })
    }
    const { data, names } = await statementsOf(
      '{ deployments(first: 50) { nodes { id instances(first: 2) { nodes { state deployment { id } allowedActions { action } } } } } }',
    )
    for (const { id, instances } of data.deployments.nodes)
      expect(instances.nodes).toMatchObject([{ state: 'ONLINE', deployment: { id } }])
    expect(names.sort()).toEqual(['read:deployment.byId', 'read:deployments.page', 'read:instances.pages'])
  })

  test('nodes of every kind', async () => {
    const { id, operationId } = await deployed(api, 'lvl-d')
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
      '{ deployments(last: 1, filter: { states: [HEALTHY], name: "x" }) { totalCount nodes { env { key } } } nodes(ids: []) { id } stuck { since } }',
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
