// A past window of the log, read again, is the same: from `settledUntil` on. Writers stamp and wait before they commit, commit
// out of order, and wait for their positions, while windows are read.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { databaseOver } from '../../src/db/session.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { settledUntil } from '../../src/resolvers/event-settled.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import { superuser } from '../fixture.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { tell } from './fixture.ts'

let stage: Stage
let sql: postgres.Sql
beforeAll(async () => {
  stage = await openStage()
  sql = stage.sql
})
afterAll(() => stage.close())

/** What is listed of the time before. */
const window = async (to: Date) =>
  (
    await sql<{ id: number }[]>`
    select id::int from event where occurred_at < ${to} and position is not null order by position`
  ).map(({ id }) => id)

/** A writer that has stamped its event and has not committed; when, and how to go on. */
async function writing() {
  const session = await sql.reserve()
  await session`begin`
  const id = await tell(session, { teamId: stage.teamId })
  const [row] = await session<{ at: Date }[]>`select occurred_at as at from event where id = ${id}`
  return {
    id,
    at: row?.at ?? new Date(),
    async commit() {
      await session`commit`
      session.release()
    },
  }
}
/** By the database's clock. */
const now = async () => (await sql<{ now: Date }[]>`select clock_timestamp() as now`)[0]?.now ?? new Date()
const later = async (at: Date) => {
  while ((await now()) <= at);
}

test('a writer that has stamped and not committed, and an event that waits for its position, hold the window open', async () => {
  const play = async (db: Database) => {
    const writer = await writing()
    const settled = [(await settledUntil(db)) <= writer.at]
    const before = await window(await settledUntil(db))
    await writer.commit()
    settled.push((await settledUntil(db)) <= writer.at)
    const between = await window(await settledUntil(db))
    await sequenceEvents(db, 1_000)
    await later(writer.at)
    const after = await settledUntil(db)
    settled.push(after <= writer.at)
    // Whatever was read of a settled window is still what there is of it.
    expect((await window(after)).slice(0, before.length)).toEqual(before)
    expect(await window(after)).toContain(writer.id)
    return { settled, between: between.includes(writer.id) }
  }
  expect(await play(stage.context.db)).toEqual({ settled: [true, true, false], between: false })
  // Each half is needed: without looking at writers, and without looking at what waits.
  const blind: Mutation[] = [
    { name: 'read:event.writers', from: "l.mode = 'RowExclusiveLock'", to: 'false' },
    { name: 'read:event.waiting', from: 'position is null', to: 'false' },
  ]
  const [noWriters, nothingWaits] = blind.map((mutant) => stage.open({ wrap: mutating(mutant) }).db)
  expect((await play(noWriters as Database)).settled).toEqual([false, true, false])
  expect((await play(nothingWaits as Database)).settled).toEqual([true, false, false])
})

test('a long transaction that writes no event, here or in another database, holds nothing open', async () => {
  const elsewhere = superuser(new URL('/postgres', stage.url).href)
  const [here, there] = [await sql.reserve(), await elsewhere.reserve()]
  for (const session of [here, there]) await session`begin isolation level repeatable read`
  await here`select txid_current(), count(*) from event`
  await there`select txid_current()`
  const at = await now()
  await later(at)
  expect((await settledUntil(stage.context.db)) > at).toBe(true)
  for (const session of [here, there]) await session`rollback`
  for (const session of [here, there]) session.release()
  await elsewhere.end()
})

test('a writer of a role that is not seen through holds the window open for as long as any writer may live', async () => {
  await sql.unsafe(`create role stranger_${process.pid} login; grant connect, create on database ${new URL(stage.url).pathname.slice(1)} to stranger_${process.pid};
    grant select on event to stranger_${process.pid}`)
  const writer = await writing()
  const session = await sql.reserve()
  await session.unsafe(`set role stranger_${process.pid}`)
  const asStranger = databaseOver({
    run: async (statement) => [...(await session.unsafe(statement.sql, statement.params as never[]))],
  })
  const settled = await settledUntil(asStranger)
  const age = (await now()).getTime() - settled.getTime()
  expect(age).toBeGreaterThanOrEqual(20_000)
  expect(age).toBeLessThan(25_000)
  await session`reset role`
  session.release()
  await writer.commit()
  await sequenceEvents(stage.context.db, 1_000)
  await sql.unsafe(`drop owned by stranger_${process.pid}; drop role stranger_${process.pid}`)
})

test('storm: whatever was read of a settled window while others wrote is all that there ever is of it', async () => {
  let writing = true
  const { db } = stage.open({ slots: 2 })
  const read: { to: Date; ids: number[] }[] = []
  const readers = [0, 1].map(async () => {
    while (writing) {
      const to = await settledUntil(db)
      read.push({ to, ids: await window(to) })
    }
  })
  const sequencer = (async () => {
    while (writing) await sequenceEvents(db, 50)
  })()
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    const own = superuser(stage.url)
    for (let turn = 0; turn < 60; turn++) {
      await own.begin(async (session) => {
        for (let n = 0; n <= (turn + writer) % 3; n++)
          await tell(session, { teamId: stage.teamId, subject: `dep_${writer}` })
      })
    }
    await own.end()
  })
  await Promise.all(writers)
  writing = false
  await Promise.all([...readers, sequencer])
  while ((await sequenceEvents(db, 1_000)) > 0);
  expect(new Set(read.map(({ ids }) => ids.length)).size).toBeGreaterThan(5)
  for (const { to, ids } of read) expect(ids).toEqual(await window(to))
})
