// The whole of it, subject by subject: every pair of actors, and the triples that the catalogue of races speaks of. Prints how
// many schedules each has; PAWL_ROUNDS says how many random ones a triple gets beside those that preempt at most twice.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cast, type Explored, Meeting, pairsOf, words } from './explore.ts'
import { openStage, type Stage } from './stage.ts'
import { subjectNamed, subjects, triples } from './subject/all.ts'

/** Random schedules of each triple. */
const random = Number(process.env.PAWL_ROUNDS ?? 100)
/** Two runners have more schedules than can be played: those that preempt at most so often. */
const bound = 2
const isManyStepped = (name: string) => /\brun\+run\b|teardown\+teardown/.test(name)

/** Tests of all subjects whose names begin with one of these. */
export function exploreSubjects(...prefixes: string[]): void {
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
      `${numberOf(total)}  schedules of ${prefixes.join(', ')} in ${Math.round(seconds)} s: ${Math.round(total / seconds)} per second\n`,
    )
  })
  const mine = (name: string) => prefixes.some((prefix) => name === prefix || name.startsWith(`${prefix}.`))
  const pairs = subjects
    .filter(({ name }) => mine(name))
    .flatMap((subject) => pairsOf(Object.keys(subject.actors)).map((cast) => new Named(subject.name, cast)))
  const threes = triples.filter(([subject]) => mine(subject)).map(([subject, ...cast]) => new Named(subject, cast))

  test.each([...pairs, ...threes])('$name', async ({ name, subject, cast }) => {
    const limits = cast.length > 2 ? { bound, random } : isManyStepped(name) ? { bound } : {}
    const explored = await new Meeting(stage, subjectNamed(subject), cast).explore(limits)
    table.push(explored)
    process.stdout.write(lineOf(explored))
    expect(explored.finding === null ? '' : words(explored)).toBe('')
  })
}

const numberOf = (schedules: number) => String(schedules).padStart(7)
const lineOf = ({ name, schedules, finding }: Explored) =>
  `${numberOf(schedules)}  ${name}${finding ? '  FAILS' : ''}\n`

class Named {
  readonly name: string
  readonly subject: string
  readonly cast: Cast

  constructor(subject: string, cast: Cast) {
    this.subject = subject
    this.cast = cast
    this.name = `${subject}/${cast.join('+')}`
  }
}
