// No refusal burns an approval: each one of promoteStack and twinResource is arranged, the approval is the same before and
// after, nothing of the target or of anything else has changed, and once the cause is mended the very same approval succeeds.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commonRefusals } from '../../src/refusals.ts'
import { extraRefusals } from '../../src/schema/schema.ts'
import { changedTables, fingerprint } from '../sweep/fingerprint.ts'
import { planRefusals } from './plan-refusal.ts'
import { promoteRefusals } from './promote-refusal.ts'
import { type Case, closeFailing } from './refusal-case.ts'
import { twinRefusals } from './twin-refusal.ts'
import { openPromotionWorld, outcome, type PromotionWorld } from './world.ts'

let world: PromotionWorld
beforeAll(async () => {
  world = await openPromotionWorld()
})
afterAll(async () => {
  await closeFailing()
  await world.close()
})

const told: string[] = []
afterAll(() => {
  if (process.env.PAWL_TABLE) console.log(told.join('\n'))
})

const all = [
  ...[...promoteRefusals, ...planRefusals].map((each) => ['promoteStack', each] as const),
  ...twinRefusals.map((each) => ['twinResource', each] as const),
]

async function play(mutation: string, { refusal, because, arrange }: Case) {
  const { approval, target, ask, mend } = await arrange(world)
  const seen = () =>
    Promise.all([approval && world.row('promotion_approval', approval), target && world.row(...target)])
  const state = () => (approval ? world.approvalState(approval) : null)
  const [before, rows, stateBefore] = [await fingerprint(world.stranger), await seen(), await state()]
  const result = await ask()
  expect(outcome(result)).toBe(refusal)
  const stateAfter = await state()
  expect(await seen()).toEqual(rows)
  expect(changedTables(before, await fingerprint(world.stranger))).toEqual([])
  let then = 'for good'
  if (mend) {
    expect(outcome(await mend())).toBe('accepted')
    expect(await state()).toBe('EXECUTED')
    then = 'mended: the same approval EXECUTED'
  }
  told.push([mutation, refusal, because, `${stateBefore} → ${stateAfter}`, then].join(' | '))
}

test.each(all.map(([mutation, each]) => [mutation, each.refusal, each.because, each] as const))(
  'R50 R51 %s refused as %s, %s, leaves the approval as it is',
  (mutation, _refusal, _because, each) => play(mutation, each),
)

test.each([
  ['promoteStack', [...promoteRefusals, ...planRefusals]],
  ['twinResource', twinRefusals],
] as const)('every refusal of %s is in the table', (mutation, cases) => {
  const declared = [...commonRefusals, ...(extraRefusals.get(mutation) ?? [])]
  expect([...new Set(cases.map(({ refusal }) => refusal))].sort()).toEqual([...declared].sort())
})
