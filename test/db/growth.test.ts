// What is read of a database with many rows: each of these reads a bounded number of pages of the database's, however many rows a
// team, a log or a table has. Counted are pages and not milliseconds, on 20,000 deployments with all that they bring; what would
// read a tenth of a table there reads millions of rows where there are millions.
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seed, seededTeams } from '../../bench/growth-seed.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import type { Statement } from '../../src/db/slot.ts'
import { deployments } from '../../src/resolvers/deployment-read.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { eventsAfter, lastPosition } from '../../src/resolvers/event-feed.ts'
import { type EventView, eventFilter, events } from '../../src/resolvers/event-read.ts'
import { takeAskable } from '../../src/resolvers/instance-check.ts'
import { offlineLeftUnit, removeLeftUnit } from '../../src/resolvers/instance-left-rule.ts'
import { operations } from '../../src/resolvers/operation-read.ts'
import { cursorOf, type Given, type List, type Page, pageOf, pagesOf } from '../../src/resolvers/page.ts'
import { takeMeasurable } from '../../src/resolvers/resource-size.ts'
import { type Database, type Rule, transitionEach } from '../../src/resolvers/transition.ts'
import { trimEvents, trimInstances, trimOperations, trimWebhookDeliveries } from '../../src/resolvers/trim.ts'
import { createTestDatabase, patient, type TestDatabase } from '../database.ts'
import { withTriggersOff } from '../row.ts'

const rows = 20_000
const teamId = seededTeams.big
const dayMs = 86_400_000
/** Of 8 KB. Of the log there are a thousand, of all tables three thousand. */
const pagesAtMost = 300
let database: TestDatabase
let pool: Pool
let sql: postgres.Sql
const sent: Statement[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  await seed(database.url, rows, () => {})
  sql = postgres(database.url, { max: 1, onnotice: () => {} })
  const wrap: NonNullable<Parameters<typeof openPool>[0]['wrap']> = (channel) => ({
    run: (statement) => {
      sent.push(statement)
      return channel.run(statement)
    },
  })
  pool = openPool({ url: database.url, purpose: 'worker', slots: 1, ...patient, wrap })
})
afterAll(async () => {
  await pool.close()
  await sql.end()
  await database.drop()
})

interface Plan {
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
}

/** How many pages the statements of `work` read when they are run once more, each by the plan that it comes to in the end. */
async function pagesOfWork(work: (db: Database) => Promise<unknown>): Promise<number> {
  sent.length = 0
  await work(pool.db)
  let pages = 0
  for (const { sql: text, params, prepare } of [...sent]) {
    await sql
      .begin(async (tx) => {
        // What is kept prepared has a plan for any value after a while.
        if (prepare) await tx`set local plan_cache_mode = force_generic_plan`
        const explain = `explain (analyze, buffers, format json) ${text}`
        const [row] = await tx.unsafe<{ 'QUERY PLAN': [{ Plan: Plan }] }[]>(explain, params as never[], {
          prepare: true,
        })
        const plan = row?.['QUERY PLAN'][0].Plan as Plan
        pages += plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
        throw rolledBack
      })
      .catch((error: unknown) => {
        if (error !== rolledBack) throw error
      })
  }
  return pages
}
const rolledBack = new Error('rolled back')

const ago = (days: number) => new Date(Date.now() - days * dayMs)
const page = <R>(list: List<R>, filter: Given, size: { first: number } | { last: number }) =>
  ((db) => pageOf(db, teamId, list, size, filter)) as (db: Database) => Promise<unknown>

const lists: readonly [string, List<never>, Given][] = [
  ['deployments', deployments as List<never>, {}],
  ['deployments of an environment', deployments as List<never>, { environment: 'staging' }],
  ['deployments of an environment that has none', deployments as List<never>, { environment: 'nowhere' }],
  ['deployments in a state that few are in', deployments as List<never>, { states: 'EXPIRED,DELETING' }],
  ['deployments in states that many are in', deployments as List<never>, { states: 'HEALTHY,FAILED' }],
  ['operations that are live', operations as List<never>, { states: 'PENDING,RUNNING,UNKNOWN' }],
  ['events', events as List<never>, {}],
  ['events of a kind', events as List<never>, { kind: 'mergeDeploymentEnv' }],
  // Many have it, and none of this team.
  ['events of a kind of other teams', events as List<never>, { kind: 'deploy' }],
  ['events of a kind that there is none of', events as List<never>, { kind: 'deleteTeam' }],
  ['events of a type that there is none of', events as List<never>, { subjectType: 'Webhook' }],
  ['events of somebody who did nothing', events as List<never>, { actor: 'tok_nobody' }],
  ['events of an object', events as List<never>, { subject: `dep_${'42'.padStart(26, '0')}` }],
  ['events of the last hours', events as List<never>, eventFilter({ from: ago(0.2) })],
  ['events of a window', events as List<never>, eventFilter({ from: ago(40), to: ago(39.9) })],
  ['events of long ago', events as List<never>, eventFilter({ to: ago(79.9) })],
]

test.each(lists)('a page of %s, from either end', async (_, list, filter) => {
  expect(await pagesOfWork(page(list, filter, { first: 50 }))).toBeLessThan(pagesAtMost)
  expect(await pagesOfWork(page(list, filter, { last: 50 }))).toBeLessThan(pagesAtMost)
  // With more rows a plan for any state or environment would not be the one that was seen here.
  expect(sent.map(({ prepare }) => prepare)).toEqual([Object.keys(filter).length === 0])
})

test('what hangs on each of fifty deployments', async () => {
  const ids = Array.from({ length: 50 }, (_, n) => `dep_${String(2 * n + 2).padStart(26, '0')}`)
  const read = (list: List<never>) => pagesOfWork((db) => pagesOf(db, teamId, list, ids, { first: 5 }))
  expect(await read(operations as List<never>)).toBeLessThan(2 * pagesAtMost)
  expect(await read(events as List<never>)).toBeLessThan(2 * pagesAtMost)
})

const cause = { actor: { kind: 'loop', id: 'test' }, requestId: 'test' } as const
const slice = { after: '', through: `ins_${'40'.padStart(26, '0')}` }
const left = (rule: unknown) => (db: Database) => transitionEach(db, rule as Rule, { ...cause, values: slice }, 100)

test.each<[string, (db: Database) => Promise<unknown>]>([
  ['operations that ended long ago', (db) => trimOperations(db, 30, 100)],
  ['events of long ago', (db) => trimEvents(db, 90, 100)],
  ['instances that are gone', (db) => trimInstances(db, 7, 100)],
  ['deliveries that ended long ago', (db) => trimWebhookDeliveries(db, 90, 100)],
  ['events without a position', (db) => sequenceEvents(db, 100)],
  ['the last position', (db) => lastPosition(db)],
  ['what follows a position', async (db) => eventsAfter(db, rows, 100)],
  ['resources to be measured', (db) => takeMeasurable(db, 3_600_000, 8)],
  ['instances of what has ended, of some', left(removeLeftUnit)],
  ['instances of what has failed, of some', left(offlineLeftUnit)],
])('a loop searches for %s', async (_, work) => {
  expect(await pagesOfWork(work)).toBeLessThan(pagesAtMost)
})

test('a loop takes a few instances', async () => {
  // Each that is taken is written, with its indexes.
  expect(await pagesOfWork((db) => takeAskable(db, 0, 10))).toBeLessThan(pagesAtMost)
})

test('what has its position is not looked at again, vacuumed or not', async () => {
  await sql`alter table event set (autovacuum_enabled = off)`
  await withTriggersOff(sql, async (tx) => {
    await tx`insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind, actor_id,
        request_id, transition_id)
      select now(), ${seededTeams.small}, 'Deployment', 'dep_' || n % 5, 'redeployDeployment', 'BUILDING', 1, 1, 'token', 'tok', 'r', 't'
      from generate_series(1, 20000) n`
  })
  while ((await sequenceEvents(pool.db, 1_000)) > 0);
  expect(await pagesOfWork((db) => sequenceEvents(db, 1_000))).toBeLessThan(pagesAtMost)
})

test('a window of time shows what happened in it, whatever order the positions were given in', async () => {
  const quiet = seededTeams.small
  await withTriggersOff(sql, async (tx) => {
    // Positions in another order than times, as transactions of up to 50 minutes would have it, and here and there none at all.
    await tx`insert into event (position, occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version,
        actor_kind, actor_id, request_id, transition_id)
      select (select max(position) from event) + n, now() + (n * 10 + n * 7919 % 50) * interval '1 minute', ${quiet}, 'Deployment',
        'dep_' || n % 5, 'deploy', 'BUILDING', 1, 1, 'token', 'tok', 'r', 't' from generate_series(1, 400) n where n % 31 <> 0`
  })
  const shown = async (from: Date | null, to: Date | null) => {
    const kinds = { ...eventFilter({ from, to }), kind: 'deploy' }
    const found: number[] = []
    for (let after: string | null = null; ; ) {
      const next: Page<EventView> = await pageOf(pool.db, quiet, events, { first: 100, after }, kinds)
      found.push(...next.rows.map(({ position }) => Number(position)))
      if (!next.hasNextPage) return found
      after = cursorOf(events, quiet, next.rows.at(-1) as EventView)
    }
  }
  const hours = (n: number) => new Date(Date.now() + n * 3_600_000)
  const windows = Array.from(
    { length: 40 },
    (_, n) => [hours(n * 1.7 - 2), hours(n * 1.7 - 2 + (n % 4) * 1.1)] as const,
  )
  for (const [from, to] of [
    ...windows,
    [null, hours(9)],
    [hours(9), null],
    [null, ago(79.99)],
    [hours(90), null],
  ] as const) {
    const expected = await sql<
      { position: string }[]
    >`select position from event where team_id = ${quiet} and kind = 'deploy'
      and (${from}::timestamptz is null or occurred_at >= ${from}) and (${to}::timestamptz is null or occurred_at < ${to}) order by position`
    expect(await shown(from, to)).toEqual(expected.map(({ position }) => Number(position)))
  }
})
