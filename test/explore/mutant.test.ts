// A bounded handful of the planted bugs for every run, one of each kind; all of them are in `npm run explore`. And that every race
// of the catalogue has a planted bug, here or in a race test, or a reason why none can stand for it.
import { afterAll, expect, test } from 'vitest'
import { mutants } from './mutant/all.ts'
import { catalogue, plantedElsewhere } from './mutant/cover.ts'
import { Hunt } from './mutant/hunt.ts'
import { unplanted } from './mutant/unplanted.ts'

/** A guard, a swap in two, an event apart, a counter, a key. */
const few = [
  'a redeploy looks past the lock, and revives what has expired',
  'a deletion is split in two',
  'an event is outside of the statement',
  'the plan is held by a count',
  'a key is stored unless somebody else has it, and nobody asks',
]

const hunt = new Hunt(2)
afterAll(() => hunt.close())

test.each(mutants.filter(({ name }) => few.includes(name)))('a planted bug is found: $name', async (mutant) => {
  expect((await hunt.find(mutant)).fault).toBeNull()
})

test('every name is of one planted bug, and the handful is among them', () => {
  const names = mutants.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(names).toEqual(expect.arrayContaining(few))
})

test('every race has a planted bug, here or in a test of its own, or a reason why it has none', () => {
  const here = new Set(mutants.flatMap(({ races }) => races))
  const there = plantedElsewhere()
  const all = catalogue()
  expect([...here].filter((id) => !all.includes(id))).toEqual([])
  const left = all.filter((id) => !here.has(id) && !there.has(id))
  expect(left.sort()).toEqual(Object.keys(unplanted).sort())
})
