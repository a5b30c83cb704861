// Fifty merges at once on different keys of one stack, over three replicas, round after round; in every other round a deletion
// comes in between. Not forced but many: what each caller was told is held to a serial order of the merges, that of the versions.
// PAWL_ROUNDS sets how many rounds.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { deleteStack, mergeStackEnv, type StackEnvPayload } from '../../src/resolvers/stack.ts'
import { contextFor } from '../row.ts'
import { openStackWorld, type StackWorld, seenStack, stackOutcome } from './stack-world.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 4)
const callers = 50
let world: StackWorld
beforeAll(async () => {
  world = await openStackWorld()
})
afterAll(() => world.close())

const own = Array.from({ length: callers }, (_, n) => `OLD_${n}`)
const entry = (revision: number) => ({
  value: 'old',
  revision,
  changedAt: '2030-01-01T00:00:00.000Z',
  changedBy: 'tok_x',
})
/** Each sets a key of its own, takes away one that is there, one that all want to take away, and one that never was. */
const patchOf = (n: number) => ({
  set: [{ key: `KEY_${n}`, value: `${n}` }],
  unset: [`OLD_${n}`, 'SHARED', `NEVER_${n}`],
})

/** Plays the patches again, one after another in the order of the versions that they made. */
function held(won: readonly { n: number; result: StackEnvPayload }[]): Set<string> {
  const keys = new Set([...own, 'SHARED'])
  const inOrder = won.toSorted((a, b) => a.result.stack.version - b.result.stack.version)
  inOrder.forEach(({ n, result }, index) => {
    const { set, unset } = patchOf(n)
    const keysDeleted = unset.filter((key) => keys.delete(key)).length
    for (const { key } of set) keys.add(key)
    const told = { keysSet: result.keysSet, keysDeleted: result.keysDeleted, totalKeys: result.totalKeys }
    expect(told).toEqual({ keysSet: 1, keysDeleted, totalKeys: keys.size })
    expect(new Set(Object.keys(result.stack.env))).toEqual(keys)
    // One after another, with nothing in between: no version is skipped or given twice.
    expect([result.stack.version, result.stack.specVersion]).toEqual([index + 2, index + 2])
  })
  return keys
}

test(`merges of one stack: ${rounds} rounds of ${callers} callers on three replicas`, {
  timeout: 120_000,
}, async () => {
  const contexts = [1, 2, 3].map(() => contextFor(world.openPool(8).db, world.team.actor))
  const figures = { rounds, callers, merged: 0, deleting: 0, roundsWithBoth: 0, fastestMs: Infinity, slowestMs: 0 }
  for (let round = 0; round < rounds; round++) {
    const env = Object.fromEntries([...own, 'SHARED'].map((key, index) => [key, entry(index + 1)]))
    const id = await world.stack({ state: 'HEALTHY', env })
    const startedAt = performance.now()
    const ask = (n: number) => mergeStackEnv(contexts[n % 3] ?? world.context, { id, ...patchOf(n) } as never)
    const begun = Array.from({ length: callers / 2 }, (_, n) => ask(n))
    const deletion = round % 2 === 1 ? deleteStack(contexts[round % 3] ?? world.context, { id }) : null
    const results = await Promise.all([
      ...begun,
      ...Array.from({ length: callers / 2 }, (_, n) => ask(callers / 2 + n)),
    ])
    const tookMs = Math.round(performance.now() - startedAt)
    if (deletion) expect(stackOutcome(await deletion)).toBe('DELETING')

    const won = results.flatMap((result, n) => (isRefusal(result) ? [] : [{ n, result }]))
    const lost = results.filter(isRefusal)
    expect([...new Set(lost.map(({ refusal }) => refusal))]).toEqual(lost.length > 0 ? ['StackDeleting'] : [])
    if (!deletion) expect(won).toHaveLength(callers)
    const row = await seenStack(world, id)
    const keys = held(won)
    expect(new Set(Object.keys(row.env))).toEqual(keys)
    for (const { n } of won) expect(row.env[`KEY_${n}`]?.value).toBe(`${n}`)
    // No revision is given twice, nor one that was there before.
    expect(new Set(Object.values(row.env).map(({ revision }) => revision)).size).toBe(keys.size)
    expect(row.version).toBe(1 + won.length + (deletion ? 1 : 0))
    figures.merged += won.length
    figures.deleting += lost.length
    if (won.length > 0 && lost.length > 0) figures.roundsWithBoth++
    if (!deletion) {
      figures.fastestMs = Math.min(figures.fastestMs, tookMs)
      figures.slowestMs = Math.max(figures.slowestMs, tookMs)
    }
  }
  expect(figures.merged + figures.deleting).toBe(rounds * callers)
  console.log(`stack env storm: ${JSON.stringify(figures)}`)
})
