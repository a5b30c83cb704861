// Reading: filters, values that need a scope of their own, and what is stuck.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createTeam, createToken, putDeployment, putOperation } from '../fixture.ts'
import { type Api, openApi } from './api.ts'
import { deployed } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

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
    const { id } = await deployed(api, 'logged', token)
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
