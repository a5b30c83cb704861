// The sequencer: several of them beside writers that commit out of order and a stranger's long transaction. A reader that
// follows positions while all this goes on sees every event once, without a gap, and each subject's in their order.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { sequenceLoop } from '../../src/loops/sequence.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { superuser } from '../fixture.ts'
import { hold, mutating, underWay, untilBlocked } from '../interleave.ts'
import { openStage, type Stage, until } from './fixture.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

const write = (sql: postgres.ISql, subject: string, count = 1) => sql`
  insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind, actor_id,
    request_id, transition_id)
  select now(), ${stage.teamId}, 'Deployment', ${subject}, 'test', 'HEALTHY', 1, 1, 'system', 'test', 'test', 'test'
  from generate_series(1, ${count})`

interface Read {
  readonly id: number
  readonly position: number
  readonly subject: string
}

/** Follows positions as a subscriber does: only what comes after the last one that it has seen. */
function follow() {
  const seen: Read[] = []
  const look = async () => {
    const rows = await stage.sql<Read[]>`
      select id::int, position::int, subject_id as subject from event where position > ${seen.at(-1)?.position ?? 0} order by position`
    seen.push(...rows)
    return rows.length
  }
  return { seen, look }
}

test('what commits late gets a later position; long transactions here and in another database hold nothing up', async () => {
  const { seen, look } = follow()
  const { db } = stage.open()
  const elsewhere = superuser(inject('databaseUrl'))
  const long = await stage.sql.reserve()
  const far = await elsewhere.reserve()
  const late = await stage.sql.reserve()
  await long`begin isolation level repeatable read`
  await long`select txid_current(), count(*) from event`
  await far`begin isolation level repeatable read`
  await far`select txid_current()`
  await late`begin`
  await write(late, 'late')
  await write(stage.sql, 'early')
  expect(await sequenceEvents(db, 100)).toBe(1)
  await look()
  await late`commit`
  expect(await sequenceEvents(db, 100)).toBe(1)
  expect(await sequenceEvents(db, 100)).toBe(0)
  await look()
  for (const session of [long, far]) await session`rollback`
  for (const session of [long, far, late]) session.release()
  await elsewhere.end()
  expect(seen.map(({ subject }) => subject)).toEqual(['early', 'late'])
  expect(seen.map(({ position }) => position)).toEqual([1, 2])
  expect(seen[0]?.id).toBeGreaterThan(seen[1]?.id ?? 0)
})

test('three sequencers, twelve writers, thousands of events: no gap, no inversion within a subject, none missed, none twice', async () => {
  const { seen, look } = follow()
  const stop = new AbortController()
  const loops = [0, 1, 2].map(() => sequenceLoop(stage.open({ slots: 1 }).db))
  const sequencers = loops.map(async (loop) => {
    let moved = 0
    while (!stop.signal.aborted) moved += (await loop.pass(stop.signal)).moved ?? 0
    return moved
  })
  const reader = (async () => {
    while (!stop.signal.aborted) await look()
  })()
  const before = await stage.sql`select count(*)::int as n from event`
  // Three writers share a subject: who has its lock takes an id, and commits after writers of other subjects that began later.
  const writers = Array.from({ length: 12 }, async (_, writer) => {
    const subject = `subject-${writer % 4}`
    for (let turn = 0; turn < 40; turn++) {
      await stage.sql.begin(async (sql) => {
        await sql`select pg_advisory_xact_lock(${1_000 + (writer % 4)})`
        for (let event = 0; event <= turn % 3; event++) await write(sql, subject, 1 + (turn % 4))
      })
    }
  })
  await Promise.all(writers)
  const [total] = await stage.sql`select count(*)::int as n from event`
  await until(async () => expect(seen.length).toBe(total?.n))
  stop.abort()
  await reader
  const moved = (await Promise.all(sequencers)).reduce((sum, n) => sum + n, 0)
  expect(moved).toBe(total?.n - before[0]?.n)
  expect(seen.map(({ position }) => position)).toEqual(seen.map((_, index) => index + 1))
  expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length)
  for (const subject of ['subject-0', 'subject-1', 'subject-2', 'subject-3']) {
    const ids = seen.filter((row) => row.subject === subject).map(({ id }) => id)
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
  }
})

test('a sequencer whose look is older than the work of another gives nothing away, and the next one goes on', async () => {
  const { seen, look } = follow()
  await sequenceEvents(stage.context.db, 1_000)
  await look()
  const hidden = await stage.sql.reserve()
  await write(stage.sql, 'first')
  await hidden`begin`
  await write(hidden, 'hidden')
  await write(stage.sql, 'third')
  const stranger = await hold(stage.sql, 'select pg_advisory_xact_lock(78)')
  const turn = 'pg_try_advisory_xact_lock('
  const slow = {
    name: 'sequenceEvents',
    from: turn,
    to: `(select count(*) from pg_advisory_xact_lock(78)) = 1 and ${turn}`,
  }
  const late = sequenceEvents(stage.open({ wrap: mutating(slow) }).db, 1_000)
  await untilBlocked(stage.sql, 'sequenceEvents')
  await hidden`commit`
  hidden.release()
  // The late one has seen the first and the third, and would give the third the position that the hidden one has by now.
  expect(await sequenceEvents(stage.context.db, 2)).toBe(2)
  await stranger.release()
  expect(await late).toBe(0)
  expect(await sequenceEvents(stage.context.db, 1_000)).toBe(1)
  const before = seen.length
  await look()
  expect(seen.slice(before).map(({ subject }) => subject)).toEqual(['first', 'hidden', 'third'])
  expect(seen.map(({ position }) => position)).toEqual(seen.map((_, index) => index + 1))
})

test('a sequencer that is killed in the middle of its statement has given nothing, and holds nobody up', async () => {
  const { seen, look } = follow()
  await sequenceEvents(stage.context.db, 1_000)
  await look()
  const before = seen.length
  for (const subject of ['a', 'b', 'c']) await write(stage.sql, subject)
  // It has given a position to the first of them, holds its turn, and waits for the last one.
  const last = await hold(stage.sql, "select 1 from event where subject_id = 'c' for update")
  const killed = underWay(sequenceEvents(stage.open().db, 1_000))
  const [pid] = await untilBlocked(stage.sql, 'sequenceEvents')
  expect(await sequenceEvents(stage.context.db, 1_000)).toBe(0)
  await stage.sql`select pg_terminate_backend(${Number(pid)})`
  await expect(killed).rejects.toMatchObject({ kind: 'unknown-outcome' })
  await last.release()
  expect(await look()).toBe(0)
  expect(await sequenceEvents(stage.context.db, 1_000)).toBe(3)
  await look()
  expect(seen.slice(before).map(({ subject }) => subject)).toEqual(['a', 'b', 'c'])
  expect(seen.map(({ position }) => position)).toEqual(seen.map((_, index) => index + 1))
})
