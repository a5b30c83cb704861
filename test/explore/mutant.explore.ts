// That the explorer finds what it is there for: each planted bug, with a schedule that plays it again. Prints the score.
import { expect, test } from 'vitest'
import { Meeting } from './explore.ts'
import { mutants } from './mutant.ts'
import { openStage } from './stage.ts'

let killed = 0
test.each(mutants)('a planted bug is found: $name', async ({ subject, cast, stage: options }) => {
  const stage = await openStage({ ...options, seats: cast.length })
  try {
    const { finding } = await new Meeting(stage, subject, cast).explore()
    expect(finding?.flaws ?? []).not.toEqual([])
    // The very schedule fails again, on rows of its own.
    const { flaws } = await new Meeting(stage, subject, cast).replay(finding?.schedule ?? '')
    expect(flaws).not.toEqual([])
    killed++
  } finally {
    await stage.close()
  }
})

test('every planted bug is found', () => {
  process.stdout.write(`planted bugs: ${mutants.length}, found ${killed}\n`)
  expect(killed).toBe(mutants.length)
})
