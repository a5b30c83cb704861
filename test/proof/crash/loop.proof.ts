// A death at every moment of a pass of every loop.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LOOPS } from '../../../src/metrics.ts'
import { record } from '../record.ts'
import { loops } from './loops.ts'
import { type Deaths, dieEverywhere, isWanted } from './scenario.ts'
import { openStage, type Stage } from './stage.ts'

const played = Object.values(loops).filter(isWanted)
let stage: Stage
let deaths: Map<string, Deaths>
beforeAll(async () => {
  stage = await openStage()
  // A team ends in several passes.
  deaths = await dieEverywhere(stage, played, { everyMs: { teardown: 500 } })
}, 1_200_000)
afterAll(() => stage?.close())

test('no loop is left out', () => {
  expect([...Object.values(loops).map(({ of }) => of), usage].toSorted()).toEqual(LOOPS.toSorted())
})

test.each(played)('$of, whenever it dies', ({ of }) => {
  const { points = 0, failures } = deaths.get(of) ?? {}
  process.stdout.write(`${String(points).padStart(4)} deaths of ${of}\n`)
  expect(failures?.join('\n')).toBe('')
})

// Only those that serve requests exchange what was spent: what they have told stays told, and nobody else is kept from asking.
const usage = 'exchange-usage'
const moments = ['exchangeRateUsage', 'trimRateUsage'].flatMap((statement) =>
  (['before', 'after'] as const).map((when) => ({ statement, when })),
)
test.runIf(isWanted({ of: usage })).each(moments)(
  'exchange-usage, that dies $when $statement',
  async ({ statement, when }) => {
    const { token } = await stage.team()
    await stage.sql`delete from rate_usage`
    const stops = new Set<unknown>()
    const { child, served } = stage.victim(
      { everyMs: { [usage]: 50 }, stopAt: [{ about: [statement], statement, nth: 1, when }] },
      { role: 'api', at: () => false, told: (message) => void (message.stopped !== undefined && stops.add(message)) },
    )
    const { graphql } = (await served) as { graphql: string }
    const body = JSON.stringify({ query: '{ viewer { __typename } }' })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    expect((await fetch(graphql, { method: 'POST', headers, body })).status).toBe(200)
    await stage.kill(child, () => stops.size > 0)
    const told = await stage.sql`select 1 from rate_usage where bucket like 'actor:%' and spent > 0`
    const kept = stops.size > 0 && told.length >= (statement === 'exchangeRateUsage' && when === 'before' ? 0 : 1)
    record('crash', { of: usage, point: `${when} ${statement}`, kept })
    expect(kept).toBe(true)
    expect(await stage.asks(token, '{ viewer { __typename } }')).toMatchObject({ viewer: {} })
  },
)
