// Every mutation while the database is cut off in the middle of it: typed, and accepted once it is back. Apart from the others, for
// here a connection is waited for as short as can be.
import { afterAll, beforeAll, test } from 'vitest'
import { everyCases } from './every.ts'
import { nameOf, play } from './pair.ts'
import { openStage, type Stage } from './stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage({ waitForSlotMs: 300 })
})
afterAll(() => stage.close())

const cases = everyCases.filter(({ member }) => member === 'TemporarilyUnavailable')
test.each(cases.map((one) => [nameOf(one), one] as const))('%s', async (_, one) => {
  await play(stage, one)
})
