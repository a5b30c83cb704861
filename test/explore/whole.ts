// The whole of it: every pair of actors of every subject, and the triples that the catalogue of races speaks of, dealt out to files
// of the same length. Prints how many schedules each meeting has; PAWL_ROUNDS says how many random ones a triple gets beside those
// that preempt at most twice.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { record } from '../proof/record.ts'
import { type Cast, type Explored, type How, Meeting, pairsOf, words } from './explore.ts'
import { openStage, type Stage } from './stage.ts'
import { subjectNamed, subjects, triples } from './subject/all.ts'

/** Random schedules of each triple. */
const random = Number(process.env.PAWL_ROUNDS ?? 100)
/** Of two that go many steps, and of triples: those schedules that preempt at most so often. */
const bound = 2
/** Of two that go many steps, so many of those. */
const atMost = 300
/** So many files share them: see part-*.explore.ts. */
const parts = 6

interface Planned {
  readonly name: string
  readonly subject: string
  readonly cast: Cast
  readonly how: How
}

/** Every meeting there is, the longest kind first. */
function plan(): Planned[] {
  const planned = (subject: string, cast: Cast, how: How) => ({
    name: `${subject}/${cast.join('+')}`,
    subject,
    cast,
    how,
  })
  const pairs = subjects.flatMap(({ name, actors }) =>
    pairsOf(actors).map((cast) =>
      planned(name, cast, cast.every((one) => actors[one]?.kind === 'runner') ? { bound, atMost } : {}),
    ),
  )
  const threes = triples.map(([subject, ...cast]) => planned(subject, cast, { bound, random }))
  return [...threes, ...pairs.filter(({ how }) => how.bound), ...pairs.filter(({ how }) => !how.bound)]
}

/** Tests of the nth part of all meetings, from 1. */
export function explorePart(nth: number): void {
  let stage: Stage
  const table: Explored[] = []
  beforeAll(async () => {
    stage = await openStage()
  })
  afterAll(async () => {
    await stage.close()
    const total = table.reduce((sum, { schedules }) => sum + schedules, 0)
    const seconds = table.reduce((sum, { ms }) => sum + ms, 0) / 1_000
    process.stdout.write(
      `${numberOf(total)}  schedules of ${table.length} meetings, part ${nth} of ${parts}, in ${Math.round(seconds)} s: ${Math.round(total / seconds)} per second\n`,
    )
  })
  const mine = plan().filter((_, at) => at % parts === nth - 1)
  test.each(mine)('$name', async ({ subject, cast, how }) => {
    const explored = await new Meeting(stage, subjectNamed(subject), cast).explore(how)
    const { name, schedules, ms, finding } = explored
    table.push(explored)
    process.stdout.write(`${numberOf(schedules)}  ${name}${finding ? '  FAILS' : ''}\n`)
    record('meeting', { name, way: how.bound ? 'bounded' : 'all', schedules, ms, kept: finding === null })
    expect(finding === null ? '' : words(explored)).toBe('')
  })
}

const numberOf = (schedules: number) => String(schedules).padStart(7)
