// That the explorer finds what it is there for: each planted bug, by a check that knows nothing of it, and with a schedule that
// plays it again. Prints what has found which, and the score.
import { afterAll, expect, test } from 'vitest'
import { record } from '../proof/record.ts'
import { words } from './explore.ts'
import { mutants } from './mutant/all.ts'
import { Hunt } from './mutant/hunt.ts'

const hunt = new Hunt(Math.max(...mutants.map(({ cast }) => cast.length)))
afterAll(() => hunt.close())

/** This one is shown as a sample of what is told. */
const shown = mutants.find(({ guards }) => !guards)
let killed = 0
test.each(mutants)('a planted bug is found: $name', async (mutant) => {
  const { name, races } = mutant
  const { finding, by, fault } = await hunt.find(mutant)
  const told = mutant === shown && finding ? { told: words({ name, schedules: 0, ms: 0, finding }) } : {}
  record('mutant', { name, races, killed: fault === null, by, ...told })
  process.stdout.write(`${fault === null ? 'found   ' : 'SURVIVES'}  ${name} (${races.join(' ')}): ${by}\n`)
  expect(fault).toBeNull()
  killed++
})

test('every planted bug is found', () => {
  process.stdout.write(
    `planted bugs: ${mutants.length}, found ${killed}: ${Math.floor((100 * killed) / mutants.length)} %\n`,
  )
  expect(killed).toBe(mutants.length)
})
