// Sixteen deletes at once over three replicas, round after round: one deprovision each, by the log of the provider and by what
// is there afterwards. PAWL_ROUNDS sets how many rounds.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answersOf, openResourceStage, type ResourceStage } from '../resources/fixture.ts'
import { callers, storm } from './storm.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 15)
let stage: ResourceStage

beforeAll(async () => {
  stage = await openResourceStage()
})
afterAll(() => stage.close())

test(`deletes against deletes: ${rounds} rounds of ${callers} callers on three replicas`, {
  timeout: 300_000,
}, async () => {
  const counts = await storm(stage, rounds, undefined, async (id) => {
    const effects = stage.effectsOn(id)
    // One call did it; whoever came besides, with an older claim, was turned away.
    expect(answersOf(stage, id, 'deprovision').filter((answer) => answer === 'done')).toHaveLength(1)
    const count = (wanted: string) => effects.filter((effect) => effect === wanted).length
    return { made: count('made'), removed: count('removed'), left: await stage.exists(id) }
  })
  expect(await stage.provisioner.listOwned(new AbortController().signal)).toEqual({ kind: 'done', value: [] })
  console.log(`delete storm: ${JSON.stringify({ callers, ...counts })}`)
})
