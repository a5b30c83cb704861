// Pages: put together they are the whole list; bad sizes and cursors that were not given out are refused by name.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam, putDeployment, type TestTeam } from '../fixture.ts'
import { type Api, openApi } from './api.ts'

let api: Api
let other: TestTeam
beforeAll(async () => {
  api = await openApi()
  other = await createTeam(api.database.url)
})
afterAll(() => api.close())

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
