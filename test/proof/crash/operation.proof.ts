// A death at every moment of every kind of operation.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { effects } from '../../../src/metrics-gauge.ts'
import { operations } from './operations.ts'
import { type Deaths, dieEverywhere, isWanted } from './scenario.ts'
import { openStage, type Stage } from './stage.ts'

const played = operations.filter(isWanted)
let stage: Stage
let deaths: Map<string, Deaths>
beforeAll(async () => {
  stage = await openStage()
  deaths = await dieEverywhere(stage, played)
}, 1_200_000)
afterAll(() => stage?.close())

test('no kind of operation is left out', () => {
  expect(operations.map(({ of }) => of).toSorted()).toEqual(effects.toSorted())
})

test.each(played)('$of, whenever it dies', ({ of }) => {
  const { points = 0, failures } = deaths.get(of) ?? {}
  process.stdout.write(`${String(points).padStart(4)} deaths of ${of}\n`)
  expect(failures?.join('\n')).toBe('')
})
