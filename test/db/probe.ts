// What the driver probes share: a database with one small table, a stranger's connection that bypasses pool and
// proxy, a pool behind a wire proxy, and the questions that each probe ends with.

import { sql } from 'drizzle-orm'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import postgres from 'postgres'
import { expect, vi } from 'vitest'
import { DatabaseFault, openPool, type Pool, type PoolOptions } from '../../src/db/client.ts'
import { createTestDatabase } from '../database.ts'
import { until } from '../until.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'

export const SLOTS = 3
export const STATEMENT_TIMEOUT_MS = 1500
/** Until when the client must have freed the caller: the server's limit, the client's grace, and slack. */
export const DEADLINE_MS = STATEMENT_TIMEOUT_MS + 1000 + 300
export const WHOLE_AGAIN_MS = 5000

export interface Probe {
  readonly url: string
  readonly pool: Pool
  readonly proxy: WireProxy
  /** A direct session of a superuser. */
  readonly stranger: postgres.Sql
  /** Another pool on the same proxy or, with `url`, elsewhere; closed with the probe. */
  open(options?: Partial<PoolOptions>): Pool
  close(): Promise<void>
}

/** Opens everything; `close` leaves nothing behind. */
export async function openProbe(): Promise<Probe> {
  const database = await createTestDatabase()
  const proxy = await startWireProxy(database.url)
  const stranger = postgres(database.url, { max: 4, onnotice: () => {} })
  const pools: Pool[] = []
  await stranger`CREATE TABLE item (id int PRIMARY KEY, note text CHECK (note <> 'refused'))`
  const open = (options: Partial<PoolOptions> = {}) => {
    const defaults = { purpose: 'api' as const, slots: SLOTS, statementTimeoutMs: STATEMENT_TIMEOUT_MS }
    const pool = openPool({ url: proxy.url, ...defaults, ...options })
    pools.push(pool)
    return pool
  }
  return {
    url: database.url,
    pool: open(),
    proxy,
    stranger,
    open,
    async close() {
      await Promise.all(pools.map((pool) => pool.close({ timeoutMs: 0 })))
      await proxy.close()
      await stranger.end({ timeout: 1 })
      await database.drop()
    },
  }
}

/** Writes one row, as a statement named `item.add`. */
export function addItem(pool: Pool, id: number, note = 'secret-note'): Promise<unknown> {
  return pool.db.execute(sql`/* item.add */ INSERT INTO item (id, note) VALUES (${id}, ${note})`).then((rows) => rows)
}

const item = pgTable('item', { id: integer().primaryKey(), note: text() })

/** The same, named and prepared on the server: parsed once per connection, then one round trip each. */
export function prepareAddItem(pool: Pool): (id: number) => Promise<unknown> {
  const values = { id: sql.placeholder('id'), note: sql.placeholder('note') }
  const statement = pool.db.insert(item).values(values).prepare('item.addPrepared')
  return (id) => statement.execute({ id, note: 'secret-note' })
}

/** Occupies a connection for a while. */
export function sleepOn(pool: Pool, seconds: number, name = 'read:sleep'): Promise<unknown> {
  return pool.db.execute(sql`${sql.raw(`/* ${name} */`)} SELECT pg_sleep(${seconds})`).then((rows) => rows)
}

/** The fault with which a call ends, and after how many ms; the test fails if there is none. */
export async function faultOf(call: Promise<unknown>): Promise<{ fault: DatabaseFault; afterMs: number }> {
  const startedAt = performance.now()
  const fault = await call.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(fault).toBeInstanceOf(DatabaseFault)
  return { fault: fault as DatabaseFault, afterMs: performance.now() - startedAt }
}

/** Every connection of the pool open and idle, by as many statements at the same time. */
export async function warm(pool: Pool, slots = SLOTS): Promise<void> {
  const all = async () => {
    await Promise.all(Array.from({ length: slots }, () => sleepOn(pool, 0.01)))
    expect(pool.stats()).toMatchObject({ idle: slots, busy: 0, waiting: 0 })
  }
  await vi.waitFor(all, { timeout: WHOLE_AGAIN_MS, interval: 50 })
}

/** All connections answer at the same time again, within the promised time. Returns after how many ms they did. */
export async function wholeAgain(pool: Pool, slots = SLOTS): Promise<number> {
  const startedAt = performance.now()
  await warm(pool, slots)
  const tookMs = performance.now() - startedAt
  expect(tookMs).toBeLessThan(WHOLE_AGAIN_MS)
  return tookMs
}

/** Resolves with the backend's process id once a statement of this name runs, waiting for that event if given. */
export async function untilRunning(stranger: postgres.Sql, name: string, waitEvent?: string): Promise<number> {
  return await until(async () => {
    const [row] = await stranger<{ pid: number }[]>`
      SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND state = 'active' AND query LIKE ${`/* ${name} */%`}
        AND (${waitEvent ?? null}::text IS NULL OR wait_event = ${waitEvent ?? null})`
    if (row === undefined) throw new Error(`${name} does not run yet`)
    return row.pid
  })
}

/** Ends the pool's backends, or one of them; returns when they are gone. */
export async function terminate(stranger: postgres.Sql, pid?: number): Promise<void> {
  await stranger`
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pawl-api' AND (${pid ?? null}::int IS NULL OR pid = ${pid ?? null})`
}

/** Ids stored, as a stranger sees them. */
export async function storedIds(stranger: postgres.Sql): Promise<number[]> {
  const rows = await stranger<{ id: number }[]>`SELECT id FROM item ORDER BY id`
  return rows.map((row) => row.id)
}
