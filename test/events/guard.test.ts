// The log is append only for everybody: a superuser's statement that would change, renumber or remove an event is refused by
// the database itself, but for the two that the sequencer and the trimming are made of.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStage, type Stage } from '../loops/fixture.ts'
import { places, tell } from './fixture.ts'

let stage: Stage
let sql: postgres.Sql
const ids: number[] = []
beforeAll(async () => {
  stage = await openStage()
  sql = stage.sql
  for (let n = 0; n < 4; n++) ids.push(await tell(sql, { teamId: stage.teamId }))
  // The last one waits for its position.
  await sql`update event set position = id - ${Number(ids[0]) - 1} where id < ${Number(ids[3])}`
})
afterAll(() => stage.close())

const whole = () => sql`select * from event order by id`

test.each([
  ['another kind', "update event set kind = 'other' where position = 1"],
  ['another position', 'update event set position = 9 where position = 1'],
  ['no position any more', 'update event set position = null where position = 1'],
  [
    'another state together with a position',
    "update event set position = 4, to_state = 'FAILED' where position is null",
  ],
  ['other data together with a position', `update event set position = 4, data = '{"a": 1}' where position is null`],
  ['another time, and still no position', 'update event set occurred_at = now() where position is null'],
  ['the very same row', 'update event set kind = kind where position = 1'],
  ['the first one removed', 'delete from event where position = 1'],
  ['one removed that has no position', 'delete from event where position is null'],
  ['all removed', 'delete from event'],
  ['all removed at once', 'truncate event'],
  ['the horizon back', 'update event_horizon set trimmed_through = -1'],
  ['no horizon', 'delete from event_horizon'],
  ['no horizon at once', 'truncate event_horizon'],
  [
    'more removed than the horizon goes over in the same statement',
    'with m as (update event_horizon set trimmed_through = 1) delete from event where position <= 2',
  ],
])('%s: refused, and nothing is changed', async (_, statement) => {
  const before = [await whole(), await places(sql)]
  await expect(sql.unsafe(statement)).rejects.toMatchObject({ code: '23514', constraint_name: 'event_append_only' })
  expect([await whole(), await places(sql)]).toEqual(before)
})

test('what lies behind the horizon is removed together with it, in whatever order the statement does it', async () => {
  await sql`with m as (update event_horizon set trimmed_through = 1) delete from event where position <= 1`
  expect(await places(sql)).toEqual({ positions: [2, 3], horizon: 1 })
  await sql`with gone as (delete from event where position <= 2 returning position)
    update event_horizon set trimmed_through = (select max(position) from gone)`
  expect(await places(sql)).toEqual({ positions: [3], horizon: 2 })
  await sql`update event set position = 4 where position is null`
  expect(await places(sql)).toEqual({ positions: [3, 4], horizon: 2 })
})
