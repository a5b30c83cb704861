// Every answer that all mutations have, by the real API over a real PostgreSQL; each remedy in it is taken and accepted.
import { afterAll, beforeAll, test } from 'vitest'
import { commonCases } from './common.ts'
import { nameOf, play } from './pair.ts'
import { openStage, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

test.each(commonCases.map((one) => [nameOf(one), one] as const))('%s', async (_, one) => {
  await play(stage, one)
})
