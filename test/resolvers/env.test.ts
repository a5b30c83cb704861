// The rules of environment variables, sentence by sentence, and that of many editors at once none loses a key.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Env } from '../../src/db/env.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { openWorld, outcomeOf, type World } from '../races/world.ts'
import { contextFor } from '../row.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

interface Patch {
  readonly set?: readonly { key: string; value: string }[]
  readonly unset?: readonly string[]
  readonly expect?: readonly { key: string; revision?: number; absent?: boolean }[]
}
const merge = (id: string, patch: Patch) => mutations.mergeDeploymentEnv(world.context, { id, ...patch } as never)
const put = async (id: string, patch: Patch) => {
  const result = await merge(id, patch)
  if (isRefusal(result)) throw new Error(result.message)
  return { sets: result.keysSet, deletes: result.keysDeleted, env: result.deployment.env }
}
const pair = (key: string, value: string) => ({ key, value })
const stored = async (id: string): Promise<Env> => {
  const [row] = await world.stranger<{ env: Env }[]>`select env from deployment where id = ${id}`
  return row?.env ?? {}
}
const values = (env: Env) => Object.fromEntries(Object.entries(env).map(([key, { value }]) => [key, value]))

describe('a merge', () => {
  test('sets and unsets in one patch, keeps the rest, and answers with what is stored', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    await put(id, { set: [pair('KEEP', 'k'), pair('DROP', 'd')] })
    const { env } = await put(id, { set: [pair('NEW', 'n')], unset: ['DROP'] })
    expect(values(env)).toEqual({ KEEP: 'k', NEW: 'n' })
    expect(env).toEqual(await stored(id))
  })

  test('takes an empty string as a value', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    expect(values((await put(id, { set: [pair('EMPTY', '')] })).env)).toEqual({ EMPTY: '' })
  })

  test('counts an equal value as set, under a new revision', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const first = await put(id, { set: [pair('A', 'same')] })
    const second = await put(id, { set: [pair('A', 'same')] })
    expect([first.sets, second.sets]).toEqual([1, 1])
    expect(second.env.A?.revision).toBe((first.env.A?.revision ?? 0) + 1)
  })

  test('counts upserts, and of the keys to unset only those that were there', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    await put(id, { set: [pair('A', '1'), pair('B', '1')] })
    const { sets, deletes } = await put(id, { set: [pair('C', '1')], unset: ['A', 'B', 'NEVER'] })
    expect([sets, deletes]).toEqual([1, 2])
    expect((await put(id, { unset: ['A'] })).deletes).toBe(0)
  })

  test('keeps who changed a key and when, and touches no other key', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const before = (await put(id, { set: [pair('A', '1')] })).env
    expect(before.A).toEqual({
      value: '1',
      revision: expect.any(Number),
      changedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      changedBy: world.team.actor.id,
    })
    expect((await put(id, { set: [pair('B', '1')] })).env.A).toEqual(before.A)
  })

  test('never gives a revision twice, not even to a key that was away', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const first = (await put(id, { set: [pair('A', '1')] })).env.A?.revision ?? 0
    await put(id, { unset: ['A'] })
    expect((await put(id, { set: [pair('A', '1')] })).env.A?.revision).toBeGreaterThan(first)
    const late = await merge(id, { set: [pair('A', '2')], expect: [{ key: 'A', revision: first }] })
    expect(outcomeOf(late)).toBe('EnvConflict')
  })

  test('stores references as they were written', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const { env } = await put(id, { set: [pair('S', 'secret://TOKEN'), pair('R', 'resource://main')] })
    expect(values(env)).toEqual({ S: 'secret://TOKEN', R: 'resource://main' })
  })

  test('of nothing changes no key', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    await put(id, { set: [pair('A', '1')] })
    expect(await put(id, {})).toMatchObject({ sets: 0, deletes: 0 })
    expect(values(await stored(id))).toEqual({ A: '1' })
  })

  test('leaves key names in its event, and no value', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    await put(id, { set: [pair('VISIBLE', 'hidden')] })
    const [row] = await world.stranger`select data::text from event where subject_id = ${id}`
    expect(row?.data).toContain('VISIBLE')
    expect(row?.data).not.toContain('hidden')
  })
})

describe('is not valid:', () => {
  test.each<[string, Patch]>([
    ['a key twice in set', { set: [pair('A', '1'), pair('A', '2')] }],
    ['a key twice in unset', { unset: ['A', 'A'] }],
    ['a key in both lists', { set: [pair('A', '1')], unset: ['A'] }],
    [
      'a key twice in expect',
      {
        expect: [
          { key: 'A', absent: true },
          { key: 'A', revision: 1 },
        ],
      },
    ],
    ['an expectation of both', { expect: [{ key: 'A', absent: true, revision: 1 }] }],
    ['an expectation of nothing', { expect: [{ key: 'A' }] }],
    ['NUL in a value', { set: [pair('A', 'a\0b')] }],
    ['a lone surrogate in a value', { set: [pair('A', '\ud800')] }],
    ['NUL in a key', { unset: ['A\0'] }],
    ['a key in small letters', { set: [pair('a', '1')] }],
    ['a key that begins with a digit', { set: [pair('1A', '1')] }],
    ['an empty key', { unset: [''] }],
    ['more keys than one patch may touch', { unset: Array.from({ length: 1_001 }, (_, n) => `K${n}`) }],
  ])('%s', async (_, patch) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const result = await merge(id, patch)
    expect(outcomeOf(result)).toBe('ValidationFailed')
    expect(await stored(id)).toEqual({})
  })

  test('all faults are told at once', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const result = await merge(id, { set: [pair('a', '\0'), pair('B', '1')], unset: ['B', 'c'] })
    const { faults } = (result as unknown as { facts: { faults: { path: string[] }[] } }).facts
    expect(faults.map(({ path }) => path.join('.'))).toEqual(
      expect.arrayContaining(['input.set.0.key', 'input.set.0.value', 'input.unset.1']),
    )
  })
})

describe('an expectation', () => {
  test('that holds lets the patch through, by revision and by absence', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const revision = (await put(id, { set: [pair('A', '1')] })).env.A?.revision ?? 0
    const { env } = await put(id, {
      set: [pair('A', '2'), pair('B', '1')],
      expect: [
        { key: 'A', revision },
        { key: 'B', absent: true },
      ],
    })
    expect(values(env)).toEqual({ A: '2', B: '1' })
  })

  test('that does not hold refuses the whole patch and names each key as it is', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const { env } = await put(id, { set: [pair('A', 'secret-a'), pair('B', '1')] })
    const result = await merge(id, {
      set: [pair('C', '1')],
      expect: [
        { key: 'A', revision: 99 },
        { key: 'B', absent: true },
        { key: 'GONE', revision: 1 },
        { key: 'C', absent: true },
      ],
    })
    const told = (key: string) => ({
      key,
      revision: env[key]?.revision,
      changedAt: env[key]?.changedAt,
      changedBy: env[key]?.changedBy,
    })
    expect(result).toMatchObject({
      refusal: 'EnvConflict',
      facts: { keys: [told('A'), told('B'), { key: 'GONE', revision: null, changedAt: null, changedBy: null }] },
    })
    const { keys, ...rest } = (result as Refusal).facts
    expect(JSON.stringify([{ ...(result as Refusal), facts: { keys } }])).not.toContain('secret-a')
    expect(rest).toMatchObject({ deployment: { id } })
    expect(values(await stored(id))).toEqual({ A: 'secret-a', B: '1' })
  })
})

describe('the size', () => {
  test('is counted in bytes of UTF-8 over all keys and values, after the merge', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const half = 'é'.repeat(16_000)
    await put(id, { set: [pair('A', half)] })
    const rest = 65_536 - 2 - 32_000
    const over = await merge(id, { set: [pair('B', 'x'.repeat(rest + 1))] })
    expect(over).toMatchObject({ refusal: 'EnvTooLarge', facts: { bytes: 65_537, maxBytes: 65_536 } })
    await put(id, { set: [pair('B', 'x'.repeat(rest))] })
    // What is unset or replaced in the same patch does not count.
    await put(id, { set: [pair('C', 'x'.repeat(32_000))], unset: ['A'] })
    expect(Object.keys(await stored(id)).sort()).toEqual(['B', 'C'])
  })
})

test('of 50 merges of different keys at once none is lost', async () => {
  const id = await world.deployment({ state: 'HEALTHY' })
  const pools = [world.openPool(10), world.openPool(10)]
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      mutations.mergeDeploymentEnv(contextFor((pools[n % 2] ?? world.pool).db, world.team.actor), {
        id,
        set: [pair(`KEY_${n}`, `${n}`)],
      } as never),
    ),
  )
  expect(results.map(outcomeOf)).toEqual(Array.from({ length: 50 }, () => 'HEALTHY'))
  const env = await stored(id)
  expect(values(env)).toEqual(Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`KEY_${n}`, `${n}`])))
  expect(new Set(Object.values(env).map(({ revision }) => revision)).size).toBe(50)
})
