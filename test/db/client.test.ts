// The pool when nothing is wrong with the network: one round trip for a named statement, the settings of each
// connection, the rules by SQLSTATE as the server itself raises them, and faults that give no value away.

import { inspect } from 'node:util'
import { sql } from 'drizzle-orm'
import { boolean, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Channel, DatabaseFault } from '../../src/db/client.ts'
import { ConnectionLost } from '../../src/db/fault.ts'
import { lostSettings } from '../../src/db/settings.ts'
import { until } from '../until.ts'
import { addItem, faultOf, openProbe, type Probe, prepareAddItem, sleepOn, storedIds, warm } from './probe.ts'

let probe: Probe

beforeAll(async () => {
  probe = await openProbe()
  await warm(probe.pool)
})

afterAll(() => probe.close())

describe('named statements', () => {
  test('are prepared once per connection, and then take one round trip', async () => {
    const pool = probe.open({ slots: 1 })
    await warm(pool, 1)
    const add = prepareAddItem(pool)
    probe.proxy.reset()
    await add(1000)
    expect(probe.proxy.counts()).toMatchObject({ parse: 1, bind: 1, execute: 1, sync: 1, roundTrips: 2 })
    probe.proxy.reset()
    for (let id = 1001; id <= 1020; id++) await add(id)
    expect(probe.proxy.counts()).toEqual({
      connections: 0,
      parse: 0,
      bind: 20,
      execute: 20,
      query: 0,
      sync: 20,
      roundTrips: 20,
      statements: [],
    })
    const prepared = await pool.db.execute(sql`SELECT statement FROM pg_prepared_statements`)
    expect([...prepared]).toEqual([
      { statement: '/* item.addPrepared */ insert into "item" ("id", "note") values ($1, $2)' },
    ])
  })

  test('are one, whatever mixture of nulls, booleans and numbers they are given', async () => {
    const pool = probe.open({ slots: 1 })
    const mixed = pool.db
      .select({ value: sql`${sql.placeholder('a')}::boolean, ${sql.placeholder('b')}::int` })
      .from(sql`(SELECT 1) AS one`)
      .prepare('read:mixed')
    for (const a of [true, null, false]) for (const b of [null, 1, '2']) await mixed.execute({ a, b })
    const prepared = await pool.db.execute(sql`SELECT name FROM pg_prepared_statements`)
    expect(prepared).toHaveLength(1)
  })

  test('survive a change of the table and the loss of what the server had prepared', async () => {
    const pool = probe.open({ slots: 1 })
    const all = pool.db.select({ rows: sql`item.*` }).from(sql`item`).prepare('read:all')
    await all.execute()
    await probe.stranger`ALTER TABLE item ADD COLUMN more int`
    await all.execute()
    await pool.db.execute(sql`DEALLOCATE ALL`)
    await all.execute()
  })

  test('can be switched off for a pooler in transaction mode', async () => {
    const pool = probe.open({ slots: 1, preparedStatements: false })
    await prepareAddItem(pool)(1100)
    expect(await pool.db.execute(sql`SELECT name FROM pg_prepared_statements`)).toHaveLength(0)
    expect(await lostSettings(pool.db)).toEqual([
      'idle_in_transaction_session_timeout',
      'lock_timeout',
      'statement_timeout',
    ])
  })
})

test('each connection has its settings', async () => {
  const names = ['application_name', 'client_connection_check_interval', 'lock_timeout', 'statement_timeout']
  const rows = await probe.pool.db.execute(
    sql`SELECT name, setting FROM pg_settings WHERE name = ANY(${sql.param(names)}) ORDER BY name`,
  )
  expect(rows.map((row) => row.setting)).toEqual(['pawl-api', '1000', '3000', '1500'])
  expect(await lostSettings(probe.pool.db)).toEqual([])
})

test('values come back as they went', async () => {
  const kinds = pgTable('kinds', {
    id: integer().primaryKey(),
    words: text().array(),
    flags: boolean().array(),
    at: timestamp({ withTimezone: true }),
    json: jsonb(),
  })
  await probe.stranger`CREATE TABLE kinds (id int PRIMARY KEY, words text[], flags boolean[], at timestamptz, json jsonb)`
  const row = {
    id: 1,
    words: ['', 'NULL', 'a "quoted" \\ {brace}, comma', 'ü\n'],
    flags: [true, false],
    at: new Date(1_700_000_000_123),
    json: { list: [1, null, { deep: 'x' }], text: '"' },
  }
  await probe.pool.db.insert(kinds).values(row)
  expect(await probe.pool.db.select().from(kinds)).toEqual([row])
  const [raw] = await probe.pool.db.execute(
    sql`SELECT ARRAY['NULL', NULL, 'x'] AS a, ARRAY[[1,2],[3,4]] AS b, 9007199254740993 AS c, ${Buffer.from([0, 255])}::bytea AS d`,
  )
  expect(raw).toEqual({
    a: ['NULL', null, 'x'],
    b: [
      [1, 2],
      [3, 4],
    ],
    c: '9007199254740993',
    d: Buffer.from([0, 255]),
  })
})

describe('faults', () => {
  const SECRET = 'hunter2-secret'

  test.each([
    ['23505', 'constraint', 'item_pkey', sql`/* a.b */ INSERT INTO item (id, note) VALUES (${1}, ${SECRET}), (1, '')`],
    [
      '23514',
      'constraint',
      'item_note_check',
      sql`/* a.b */ INSERT INTO item (id, note) SELECT ${7}, 'refused' WHERE ${SECRET} <> ''`,
    ],
    ['22P02', 'bug', undefined, sql`/* a.b */ SELECT ${SECRET}::int`],
    ['P0001', 'bug', undefined, sql`/* a.b */ SELECT raise(${SECRET})`],
  ])('%s holds names, never values', async (sqlState, kind, constraint, query) => {
    await probe.stranger`
      CREATE OR REPLACE FUNCTION raise(what text) RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION '%', what USING DETAIL = what, HINT = what; END $$`
    const { fault } = await faultOf(probe.pool.db.execute(query).then())
    expect(fault).toMatchObject({ sqlState, kind, statement: 'a.b', ...(constraint ? { constraint } : {}) })
    const everything = [inspect(fault, { depth: 10, showHidden: true }), JSON.stringify(fault), fault.stack, `${fault}`]
    expect(everything.join()).not.toContain(SECRET)
    expect(fault.cause).toBeUndefined()
  })

  test('of parameters and rows that cannot be mapped hold no value either', async () => {
    const broken = sql`${1}`.mapWith(() => {
      throw new Error(SECRET)
    })
    const { fault } = await faultOf(probe.pool.db.select({ broken }).from(sql`(SELECT 1) AS one`).then())
    expect(inspect(fault, { showHidden: true })).not.toContain(SECRET)
    const { fault: missing } = await faultOf(probe.pool.db.execute(sql`SELECT ${sql.param(undefined)}`).then())
    expect(missing).toMatchObject({ kind: 'bug' })
  })

  test('a transaction is refused, however it is begun', async () => {
    await expect(probe.pool.db.transaction(async () => {})).rejects.toMatchObject({ kind: 'bug' })
    for (const begin of ['BEGIN', 'START TRANSACTION', `SET lock_timeout = 0`]) {
      await expect(probe.pool.db.execute(sql.raw(begin))).rejects.toMatchObject({ kind: 'bug' })
    }
    // Each such connection is cut off; its server process sees that a moment later.
    await until(async () => {
      const open = await probe.stranger`SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'pawl-api' AND state LIKE 'idle in%'`
      expect(open).toHaveLength(0)
    })
  })

  test('statement_timeout without a lock is unavailable, and the connection stays', async () => {
    const { retired } = probe.pool.stats()
    const { fault } = await faultOf(sleepOn(probe.pool, 3))
    expect(fault).toMatchObject({ kind: 'unavailable', sqlState: '57014' })
    expect(probe.pool.stats().retired).toBe(retired)
  })

  test('a read-only server is unavailable', async () => {
    const pool = probe.open({ slots: 1, wrap: failing({ code: '25006', severity: 'ERROR' }, Infinity) })
    expect((await faultOf(addItem(pool, 1))).fault).toMatchObject({ kind: 'unavailable', sqlState: '25006' })
  })

  test('a server that is full is unavailable at once when nobody can be served', async () => {
    await probe.stranger`CREATE ROLE crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0`
    const url = new URL(probe.url)
    url.username = 'crowded'
    url.password = 'x'
    const { fault, afterMs } = await faultOf(sleepOn(probe.open({ url: url.href }), 0))
    await probe.stranger`DROP ROLE crowded`
    expect(fault).toMatchObject({ kind: 'unavailable', sqlState: '53300' })
    expect(afterMs).toBeLessThan(500)
  })
})

describe('a statement is repeated', () => {
  test.each([
    ['40P01', 3, true],
    ['40P01', 4, false],
    ['40001', 3, true],
    ['26000', 1, true],
    ['42P05', 2, false],
    ['55P03', 1, false],
  ])('after %s, %i times in a row: answered %s', async (code, times, answered) => {
    const pool = probe.open({ slots: 1, wrap: failing({ code, severity: 'ERROR' }, times) })
    const answer = await sleepOn(pool, 0, 'write.sleep').then(
      () => true,
      () => false,
    )
    expect(answer).toBe(answered)
  })

  test('not after a loss behind the commit, even if the loss is only pretended', async () => {
    const wrap = (channel: Channel): Channel => ({
      async run(statement) {
        await channel.run(statement)
        throw new ConnectionLost('CONNECTION_LOST')
      },
    })
    const { fault } = await faultOf(addItem(probe.open({ wrap }), 2000))
    expect(fault).toMatchObject({ kind: 'unknown-outcome' } satisfies Partial<DatabaseFault>)
    expect(await storedIds(probe.stranger)).toContain(2000)
  })
})

test('connections are renewed with age, and closing lets running statements finish', async () => {
  const pool = probe.open({ slots: 1, lifetimeMs: 1 })
  const pid = async () => (await pool.db.execute(sql`SELECT pg_backend_pid() AS pid`))[0]?.pid
  expect(await pid()).not.toBe(await pid())
  const running = sleepOn(pool, 0.2)
  await until(() => expect(pool.stats().busy).toBe(1))
  await pool.close()
  expect(await running).toHaveLength(1)
  expect((await faultOf(sleepOn(pool, 0))).fault).toMatchObject({ kind: 'unavailable' })
})

/** Fails that many attempts, as the server would, before it lets one through. */
function failing(error: { code: string; severity: string }, times: number): (channel: Channel) => Channel {
  let left = times
  return (channel) => ({
    run: (statement) =>
      left-- > 0 ? Promise.reject(Object.assign(new Error('injected'), error)) : channel.run(statement),
  })
}
