// A lane of a pool: so many statements at once, in the order in which they came; the rest waits, neither for ever nor without end.
import { expect, test } from 'vitest'
import { laneOf } from '../../src/db/lane.ts'
import { type Database, databaseOver } from '../../src/db/session.ts'
import type { Statement } from '../../src/db/slot.ts'

/** Drizzle's own is lazy. */
const ask = async (db: Database, text: string) => void (await db.execute(text))

function gated() {
  const under: { statement: Statement; end: () => void; fail: () => void }[] = []
  const db = databaseOver({
    run: (statement) =>
      new Promise((resolve, reject) =>
        under.push({ statement, end: () => resolve([]), fail: () => reject(new Error('x')) }),
      ),
  })
  return { under, db, names: () => under.map(({ statement }) => statement.sql) }
}

test('so many run, the others follow in order, also after one that failed', async () => {
  const { under, db, names } = gated()
  const lane = laneOf(db, { atOnce: 2, maxWaiting: 10, waitMs: 5_000 })
  const asked = ['a', 'b', 'c', 'd'].map((name) => ask(lane, name).then(() => name))
  const first = expect(asked[0]).rejects.toThrow()
  await expect.poll(names).toEqual(['a', 'b'])
  under[0]?.fail()
  await first
  await expect.poll(names).toEqual(['a', 'b', 'c'])
  under[1]?.end()
  await expect.poll(names).toEqual(['a', 'b', 'c', 'd'])
  for (const { end } of under) end()
  expect(await Promise.all(asked.slice(1))).toEqual(['b', 'c', 'd'])
  // The turns have come back.
  const again = [ask(lane, 'e'), ask(lane, 'f')]
  await expect.poll(names).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  for (const { end } of under) end()
  await Promise.all(again)
})

test('who waits too long, or comes when too many wait, is shed; a turn that was given up is not lost', async () => {
  const { under, db, names } = gated()
  const lane = laneOf(db, { atOnce: 1, maxWaiting: 1, waitMs: 100 })
  const running = ask(lane, 'a')
  await expect.poll(names).toEqual(['a'])
  const late = ask(lane, '/* read:late */ b').catch((error: unknown) => error)
  const turnedAway = await ask(lane, 'c').catch((error: unknown) => error)
  expect(turnedAway).toMatchObject({ kind: 'unavailable', shed: true, retryAfterMs: 1_000 })
  expect(await late).toMatchObject({ kind: 'unavailable', shed: true, statement: 'read:late' })
  under[0]?.end()
  await running
  const next = ask(lane, 'd')
  await expect.poll(names).toEqual(['a', 'd'])
  under[1]?.end()
  await next
})
