// Another team's objects: not there by any path, and not to be moved; told as what never was.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createTeam, type TestTeam } from '../fixture.ts'
import { type Api, openApi } from './api.ts'
import { deployed } from './call.ts'

let api: Api
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  other = await createTeam(api.database.url)
})
afterAll(() => api.close())

describe('another team', () => {
  test('its objects are not there, by any path, the same as what never was', async () => {
    const theirs = await deployed(api, 'theirs', other.token)
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
    const theirs = await deployed(api, 'theirs-too', other.token)
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
