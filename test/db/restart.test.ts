// The server itself goes: stopped and started again, and killed without notice. Callers are told so quickly while it
// is away, what was answered as stored is stored, and the pool is whole within 5 s of the server's return.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { openNudge } from '../../src/db/nudge.ts'
import { until } from '../until.ts'
import { addItem, DEADLINE_MS, faultOf, SLOTS, STATEMENT_TIMEOUT_MS, warm, wholeAgain } from './probe.ts'

let dataDir: string
let server: EmbeddedPostgres
let pool: Pool

const start = (port?: number) =>
  startEmbeddedPostgres({ dataDir, major: inject('postgresMajor'), settings: port ? { port: `${port}` } : {} })

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pawl-restart-'))
  server = await start()
  pool = openPool({ url: server.url, purpose: 'api', slots: SLOTS, statementTimeoutMs: STATEMENT_TIMEOUT_MS })
  await pool.db.execute(sql`CREATE TABLE item (id int PRIMARY KEY, note text)`)
})

afterAll(async () => {
  await pool?.close({ timeoutMs: 0 })
  await server?.stop()
  await rm(dataDir, { recursive: true, force: true })
})

test('stopped and started again', async () => {
  await warm(pool)
  const { port } = server
  await server.stop()
  const { fault, afterMs } = await faultOf(addItem(pool, 1))
  expect(fault).toMatchObject({ kind: 'unavailable' })
  expect(afterMs).toBeLessThan(1300)
  server = await start(port)
  await wholeAgain(pool)
  await addItem(pool, 1)
})

test('killed without notice under load: what was answered as stored is stored', async () => {
  await warm(pool)
  const outcomes: { id: number; kind: string }[] = []
  const retiredBefore = pool.stats().retired
  let ids = 100
  let running = true
  const write = async () => {
    while (running && ids < 200_000) {
      const id = ids++
      const startedAt = performance.now()
      const kind = await addItem(pool, id).then(
        () => 'stored',
        (error) => error.kind as string,
      )
      outcomes.push({ id, kind })
      expect(performance.now() - startedAt).toBeLessThan(1000 + DEADLINE_MS)
    }
  }
  const writers = Promise.all(Array.from({ length: 6 }, write))
  try {
    await until(() => expect(outcomes.length).toBeGreaterThan(50))
    process.kill(server.pid, 'SIGKILL')
    await until(() => expect(pool.stats().retired).toBeGreaterThanOrEqual(retiredBefore + SLOTS))
    const before = outcomes.length
    // The embedded server comes back by itself.
    await until(() => expect(outcomes.slice(before).map(({ kind }) => kind)).toContain('stored'))
  } finally {
    running = false
    await writers
  }
  await wholeAgain(pool)
  const rows = await pool.db.execute<{ id: number }>(sql`SELECT id FROM item`)
  const stored = new Set(rows.map((row) => row.id))
  const kinds = new Set(outcomes.map(({ kind }) => kind))
  expect(['stored', 'unavailable', 'unknown-outcome']).toEqual(expect.arrayContaining([...kinds]))
  expect(outcomes.filter(({ id, kind }) => kind === 'stored' && !stored.has(id))).toEqual([])
  expect(outcomes.filter(({ id, kind }) => kind === 'unavailable' && stored.has(id))).toEqual([])
})

test('a nudge line finds its way back, and wakes its listeners when it does', async () => {
  const nudge = openNudge({ url: server.url, channel: 'work' })
  const heard = vi.fn()
  await nudge.listen(heard)
  const { port } = server
  await server.stop()
  nudge.send()
  server = await start(port)
  await until(() => expect(heard).toHaveBeenCalled())
  await nudge.close()
})
