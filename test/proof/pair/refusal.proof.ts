// Every answer that single mutations have, scene by scene, by the real API over a real PostgreSQL; each remedy in it is taken
// and accepted.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nameOf, play } from './pair.ts'
import { openStage, type Stage } from './stage.ts'
import { ownCases } from './table.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

test.each(ownCases.map((one) => [nameOf(one), one.because, one] as const))('%s: %s', async (_, __, one) => {
  await play(stage, one)
})

test('a case has a name of its own', () => {
  const names = ownCases.map((one) => `${nameOf(one)}: ${one.because}`)
  expect(names).toEqual([...new Set(names)])
})
