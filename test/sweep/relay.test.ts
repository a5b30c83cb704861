// Objects and lists as Relay's clients expect them, of every type and every list that the schema has: ids lead back to their
// objects; pages put together are the whole list, in both directions, while rows are added; what pages say of themselves is
// true; cursors are of use where they were given out and nowhere else.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Api, openApi } from '../schema/api.ts'
import { add, ask, type List, lists, page, whole } from './list.ts'
import { noLimit } from './no-limit.ts'
import { nodeTypes } from './walk.ts'
import { openWorld, type World } from './world.ts'

let api: Api
let world: World
let other: World
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
  other = await openWorld(api)
})
afterAll(async () => {
  await other.close()
  await world.close()
  await api.close()
})

const call = async (query: string, variables: Record<string, unknown> = {}) => {
  const answer = await api.call(query, variables, world.a.token)
  expect(answer.errors, answer.text).toBeUndefined()
  return answer.data
}

describe('objects', () => {
  test.each(nodeTypes)('a %s is found by its id, and tells the same id', async (type) => {
    const id = world.a.own[type]
    const { node, nodes } = await call(
      'query ($id: ID!) { node(id: $id) { __typename id } nodes(ids: [$id]) { __typename id } }',
      { id },
    )
    expect(node).toEqual({ __typename: type, id })
    expect(nodes).toEqual([node])
  })

  test('nodes keeps the order, with null for what is not there, and takes an id twice', async () => {
    const own = nodeTypes.map((type) => world.a.own[type])
    const ids = [...own, 'x', world.b.own.Stack, '', own[0]]
    const { nodes } = await call('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids })
    expect(nodes.map((node: { id: string } | null) => node?.id ?? null)).toEqual([...own, null, null, null, own[0]])
    expect((await call('{ nodes(ids: []) { id } }')).nodes).toEqual([])
  })

  test('at most a hundred ids at once', async () => {
    const ask = (count: number) =>
      api.call('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: Array(count).fill('x') }, world.a.token)
    expect((await ask(100)).errors).toBeUndefined()
    expect((await ask(101)).errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT')
  })
})

const refusedFor = async (list: List, args: Record<string, unknown>) => {
  const { data, errors } = await ask(world, list, args)
  const shown = list.type === 'Query' ? data?.[list.field] : data?.node?.[list.field]
  return shown ? 'not refused' : errors?.[0]?.extensions.code
}

describe.each(lists.map((list) => [`${list.type}.${list.field}`, list] as const))('%s', (_, list) => {
  const moment = Date.UTC(2031, 0, 1)
  let added = 0
  /** Two of each moment, newer and newer. */
  const addOne = () => add(world, list, new Date(moment + Math.floor(added++ / 2)))
  beforeAll(async () => {
    const { totalCount } = await page(world, list, { first: 1 })
    for (let i = 0; i < 5; i++) await addOne()
    const grown = (await page(world, list, { first: 1 })).totalCount - totalCount
    expect(grown, 'test/sweep/list.ts does not know how a row gets into this list').toBe(5)
  })

  test.each(['first', 'last'] as const)(
    'pages by %s are the whole list, while rows are added, and tell the truth',
    async (way) => {
      const start = await whole(world, list)
      const seen: string[] = []
      for (let cursor: string | null = null; ; ) {
        const all = await whole(world, list)
        const from: object = cursor === null ? {} : { [way === 'first' ? 'after' : 'before']: cursor }
        const found = await page(world, list, { [way]: 3, ...from })
        const { hasNextPage, hasPreviousPage, startCursor, endCursor } = found.pageInfo
        expect([startCursor, endCursor]).toEqual([found.cursors[0] ?? null, found.cursors.at(-1) ?? null])
        expect(found.nodes).toEqual(found.edgeNodes)
        expect(found.totalCount).toBe(all.length)
        if (found.cursors.length > 0) {
          expect(hasNextPage).toBe(all.indexOf(String(endCursor)) < all.length - 1)
          expect(hasPreviousPage).toBe(all.indexOf(String(startCursor)) > 0)
        }
        if (way === 'first') seen.push(...found.cursors)
        else seen.unshift(...found.cursors)
        if (seen.length < 12) await addOne()
        if (!(way === 'first' ? hasNextPage : hasPreviousPage)) break
        cursor = way === 'first' ? endCursor : startCursor
      }
      expect(new Set(seen).size).toBe(seen.length)
      expect(seen.filter((one) => start.includes(one))).toEqual(start)
    },
  )

  test('a page between two cursors', async () => {
    const { cursors } = await page(world, list, { first: 5 })
    const [after, , , before] = cursors
    expect((await page(world, list, { first: 100, after, before })).cursors).toEqual(cursors.slice(1, 3))
    expect((await page(world, list, { last: 1, after, before })).cursors).toEqual(cursors.slice(2, 3))
  })

  test('a page has 1 to 100 rows, 20 when nothing is said', async () => {
    for (const way of ['first', 'last']) {
      for (const size of [0, -1, 101, 2_147_483_647, -2_147_483_648])
        expect(await refusedFor(list, { [way]: size }), `${way}: ${size}`).toBe('BAD_USER_INPUT')
      expect((await page(world, list, { [way]: 1 })).cursors).toHaveLength(1)
    }
    expect(await refusedFor(list, { first: 1, last: 1 })).toBe('BAD_USER_INPUT')
    expect((await page(world, list, {})).cursors.length).toBeLessThanOrEqual(20)
  })

  test('a cursor that was altered, or given out elsewhere or to others, is refused', async () => {
    const good = String((await page(world, list, { first: 1 })).cursors[0])
    const swapped = (at: number) => `${good.slice(0, at)}${good[at] === 'A' ? 'B' : 'A'}${good.slice(at + 1)}`
    const elsewhere = lists.find((one) => one.type === 'Query' && one.of !== list.of) as List
    const bad = [
      ...[0, 5, Math.floor(good.length / 2), good.length - 1].map(swapped),
      `${good}A`,
      good.slice(0, -1),
      `${good}=`,
      '',
      'x',
      '\0',
      '__proto__',
      'A'.repeat(10_000),
      String((await page(world, elsewhere, { first: 1 })).cursors[0]),
      String((await page(other, list, { first: 1 }, other.a.token, other.a.own[list.type])).cursors[0]),
    ]
    for (const cursor of bad) {
      expect(await refusedFor(list, { first: 1, after: cursor }), `after ${cursor.slice(0, 80)}`).toBe('BAD_USER_INPUT')
      expect(await refusedFor(list, { first: 1, before: cursor }), `before ${cursor.slice(0, 80)}`).toBe(
        'BAD_USER_INPUT',
      )
    }
  })
})
