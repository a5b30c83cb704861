// Every answer that all mutations have, by the real API over a real PostgreSQL; each remedy in it is taken and accepted.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { everyCases } from './every.ts'
import { nameOf, play } from './pair.ts'
import { openStage, type Stage } from './stage.ts'
import { missingPairs } from './table.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

const cases = everyCases.filter(({ member }) => member !== 'TemporarilyUnavailable')
test.each(cases.map((one) => [nameOf(one), one] as const))('%s', async (_, one) => {
  await play(stage, one)
})

test('every pair of the schema is produced, but for those that no input has a place for', () => {
  expect(missingPairs()).toEqual([])
})
