// A logical dump that is restored into another cluster, where transaction ids begin anew: all rows of all tables are copied out
// and, triggers off, into a database that was freshly migrated, with its sequence, as pg_dump writes it. The log goes on there.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { runCheck } from '../../src/resolvers/check.ts'
import { mergeDeploymentEnv } from '../../src/resolvers/deployment.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { eventChecks } from '../../src/resolvers/event-check.ts'
import { positionAfter } from '../../src/resolvers/event-feed.ts'
import { type EventView, events } from '../../src/resolvers/event-read.ts'
import { settledUntil } from '../../src/resolvers/event-settled.ts'
import { cursorOf, pageOf } from '../../src/resolvers/page.ts'
import { trimEvents } from '../../src/resolvers/trim.ts'
import { superuser } from '../fixture.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { contextFor } from '../row.ts'
import { places } from './fixture.ts'

const dataDir = mkdtempSync(join(tmpdir(), 'pawl-restore-'))
let stage: Stage
let cluster: EmbeddedPostgres
let restored: postgres.Sql
beforeAll(async () => {
  stage = await openStage()
  cluster = await startEmbeddedPostgres({ dataDir, major: inject('postgresMajor'), durable: false })
  await migrate(cluster.url)
  restored = superuser(cluster.url)
}, 60_000)
afterAll(async () => {
  await restored?.end()
  await cluster?.stop()
  await stage.close()
  rmSync(dataDir, { recursive: true, force: true })
})

async function copyAll(from: postgres.Sql, to: postgres.Sql): Promise<void> {
  const source = await from.reserve()
  await to`set session_replication_role = replica`
  const tables = await source<{ name: string }[]>`select tablename as name from pg_tables where schemaname = 'public'`
  await to.unsafe(`truncate ${tables.map(({ name }) => `"${name}"`).join(', ')}`)
  for (const { name } of tables) {
    const [out, into] = [
      await source.unsafe(`copy "${name}" to stdout`).readable(),
      await to.unsafe(`copy "${name}" from stdin`).writable(),
    ]
    await pipeline(out, into)
  }
  const [sequence] = await source<{ last: string }[]>`select last_value::text as last from event_id_seq`
  await to`select setval('event_id_seq', ${String(sequence?.last)}::bigint)`
  await to`reset session_replication_role`
  source.release()
}

test('the log goes on where it was: no gap, no repeat, old cursors are good, and what waited gets its position', async () => {
  const { teamId, context } = stage
  const id = await stage.deploy()
  const merge = (value: string, on = context) => mergeDeploymentEnv(on, { id, set: [{ key: 'A', value }] } as never)
  await merge('1')
  await sequenceEvents(context.db, 100)
  await stage.beneath((sql) => sql`update event set occurred_at = now() - interval '91 days' where position = 1`)
  await trimEvents(context.db, 90, 100)
  await merge('2')
  const before = await places(stage.sql)
  const { rows } = await pageOf(context.db, teamId, events, { first: 1 })
  const cursor = cursorOf(events, teamId, rows[0] as EventView)

  await copyAll(stage.sql, restored)
  expect(await places(restored)).toEqual(before)
  const pool = openPool({ url: cluster.url, purpose: 'api', slots: 2, statementTimeoutMs: 5_000 })
  const there = contextFor(pool.db, context.actor)
  try {
    await merge('3', there)
    expect(await sequenceEvents(pool.db, 100)).toBe(2)
    const after = await places(restored)
    expect(after.horizon).toBe(1)
    expect(after.positions).toEqual(Array.from({ length: before.positions.length + 2 }, (_, n) => n + 2))
    expect(await positionAfter(pool.db, teamId, cursor)).toBe(2)
    const page = await pageOf(pool.db, teamId, events, { after: cursor })
    expect(page.rows.map(({ kind, version }) => [kind, version])).toEqual([
      ...before.positions.slice(1).map(() => expect.anything()),
      ['mergeDeploymentEnv', 3],
      ['mergeDeploymentEnv', 4],
    ])
    const [last] = page.rows.slice(-1)
    expect((await settledUntil(pool.db)) > (last?.occurredAt ?? 0)).toBe(true)
    for (const check of eventChecks) expect(await runCheck(pool.db, check)).toMatchObject({ found: 0 })
  } finally {
    await pool.close()
  }
})
