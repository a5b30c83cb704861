// A bounded part of the exploration for every run; the whole is `npm run explore`. With PAWL_EXPLORE=<subject>/<actors> it is
// that meeting in full, with :<schedule> behind it that schedule alone, step by step.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Meeting, words } from './explore.ts'
import { openStage, type Stage } from './stage.ts'
import { subjectNamed } from './subject/all.ts'

const wanted = process.env.PAWL_EXPLORE
/** One of each kind: two callers, a caller and a loop, a name, a counter, an approval. */
const few = [
  'deployment/redeploy+delete',
  'deployment/redeploy+expire',
  'deployment.none/anew+other',
  'resource/delete+delete',
  'stack/env+env2',
  'approval/approve+reject',
  'member/demoteFirst+demoteSecond',
]

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

function meeting(name: string): Meeting {
  const [subject = '', cast = ''] = name.split('/')
  return new Meeting(stage, subjectNamed(subject), cast.split('+'))
}

test.runIf(wanted === undefined).each(few)('every schedule of %s keeps the promises', async (name) => {
  const explored = await meeting(name).explore()
  expect(explored.finding === null ? '' : words(explored)).toBe('')
  expect(explored.schedules).toBeGreaterThan(3)
})

test.runIf(wanted !== undefined)(
  'what PAWL_EXPLORE asks for',
  async () => {
    const [name = '', schedule] = String(wanted).split(':')
    if (schedule === undefined) {
      const explored = await meeting(name).explore()
      process.stdout.write(`${explored.schedules} schedules of ${name}\n`)
      expect(explored.finding === null ? '' : words(explored)).toBe('')
    } else {
      const { steps, flaws } = await meeting(name).replay(schedule)
      process.stdout.write(`${steps.join('\n')}\n`)
      expect(flaws).toEqual([])
    }
  },
  600_000,
)
