// The loops that end things, on several replicas at once: what is over is ended once, what has lost its teardown gets one.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { hold, type Mutation, mutating, untilBlocked } from '../interleave.ts'
import { ownerOf } from '../owner.ts'
import { openStage, type Stage } from './fixture.ts'

const signal = new AbortController().signal
let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

/** Rows that no caller can bring about: ended or overdue, without any operation. */
const putRows = (round: string, count: number, state: string, expiresAt: string | null = null) =>
  stage.beneath(async (sql) => {
    await sql`
      insert into deployment (id, state, team_id, environment, name, image, ttl_policy, expires_at, incarnation)
      select 'dep_' || ${round}::text || '_' || n, ${state}, ${stage.teamId}, 'development', ${round}::text || n, 'hello',
        case when ${expiresAt}::text is null then 'PERMANENT' else 'TTL' end, ${expiresAt}::text::timestamptz, 'x'
      from generate_series(1, ${count}) n`
    if (expiresAt) await sql`update plan_usage set used = used + ${count} where team_id = ${stage.teamId}`
  })

/** How many operations the subjects of a round have, as `operations per subject: subjects`. */
async function perSubject(round: string): Promise<Record<string, number>> {
  const rows = await stage.sql<{ n: number; subjects: number }[]>`
    select n, count(*)::int as subjects from (
      select (select count(*)::int from operation o where o.subject_id = d.id and o.kind = 'deployment.tear_down') as n
      from deployment d where d.id like ${`dep_${round}\\_%`}) s group by n`
  return Object.fromEntries(rows.map(({ n, subjects }) => [n, subjects]))
}

const passOf = (pool = stage.open({ slots: 1 })) => teardownLoop(pool.db, () => {}).pass(signal)

test('R70 an ended deployment without live work gets its teardown again, one of it, however many replicas look', async () => {
  await putRows('a', 100, 'DELETING')
  await putRows('b', 100, 'EXPIRED')
  await Promise.all([passOf(), passOf(), passOf()])
  await passOf()
  await passOf()
  expect([await perSubject('a'), await perSubject('b')]).toEqual([{ 1: 100 }, { 1: 100 }])
})

/** Replica B has looked, and is held before it locks anything; A queues; B goes on with what it saw. */
async function lookBeforeQueue(round: string, ...mutations: Mutation[]): Promise<Record<string, number>> {
  await putRows(round, 3, 'DELETING')
  const stranger = await hold(stage.sql, 'select pg_advisory_xact_lock(77)')
  const look = 'not exists (select 1 from "operation" o'
  const slow = {
    name: 'tearDownDeployment',
    from: look,
    to: `(select count(*) from pg_advisory_xact_lock(77)) = 1 and ${look}`,
  }
  const late = passOf(stage.open({ slots: 1, wrap: mutating(slow, ...mutations) }))
  await untilBlocked(stage.sql, 'tearDownDeployment')
  await passOf()
  await stranger.release()
  await late
  return perSubject(round)
}

test('a replica that looked before another queued a teardown queues none; without its guard it would', async () => {
  expect(await lookBeforeQueue('guarded')).toEqual({ 1: 3 })
  const guard = '(select s.version from "deployment" s where s.id = "found"."id")'
  const without = { name: 'tearDownDeployment', from: guard, to: '"found"."version"' }
  expect(await lookBeforeQueue('unguarded', without)).toEqual({ 2: 3 })
})

test('what has no business there is left alone: live work, and every other state', async () => {
  await putRows('c', 1, 'DELETING')
  for (const state of ['HEALTHY', 'FAILED', 'STOPPED', 'DELETED']) await putRows(`c${state}`, 1, state)
  await passOf()
  for (const state of ['PENDING', 'RUNNING', 'UNKNOWN']) {
    await stage.beneath((sql) => sql`update operation set state = ${state} where subject_id = 'dep_c_1'`)
    await passOf()
    expect(await perSubject('c')).toEqual({ 1: 1 })
  }
  await stage.beneath((sql) => sql`update operation set state = 'FAILED' where subject_id = 'dep_c_1'`)
  await passOf()
  expect(await perSubject('c')).toEqual({ 2: 1 })
  for (const state of ['HEALTHY', 'FAILED', 'STOPPED', 'DELETED'])
    expect(await perSubject(`c${state}`)).toEqual({ 0: 1 })
})

test('what is overdue is ended once, with one teardown and one place given back, however many replicas look', async () => {
  const used = async () => (await stage.sql`select used from plan_usage where team_id = ${stage.teamId}`)[0]?.used
  const before = await used()
  await putRows('d', 450, 'HEALTHY', new Date(Date.now() - 1_000).toISOString())
  await putRows('e', 5, 'HEALTHY', new Date(Date.now() + 60_000).toISOString())
  const loops = Array.from({ length: 3 }, () => expireLoop(stage.open({ slots: 2 }).db, () => {}))
  const counts = await Promise.all(loops.map((loop) => loop.pass(signal)))
  expect(counts.reduce((total, { moved = 0 }) => total + moved, 0)).toBe(450)
  expect(await perSubject('d')).toEqual({ 1: 450 })
  expect(await perSubject('e')).toEqual({ 0: 5 })
  expect(await used()).toBe(before + 5)
  const events = await stage.sql`select count(*)::int as n from event where kind = 'expireDeployment'`
  expect(events[0]?.n).toBe(450)
})

test('R107 deployments that cannot be expired do not keep tokens from it', async () => {
  await putRows('f', 1, 'HEALTHY', new Date(Date.now() - 1_000).toISOString())
  await stage.beneath(
    (
      sql,
    ) => sql`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      values ('tok_f', 'ACTIVE', ${stage.teamId}, ${ownerOf(stage.teamId)}, 'f', 'f', 'f', '{}', '{}', now() - interval '1 second')`,
  )
  const broken = { name: 'expireDeployment', from: 'clock_timestamp()', to: '(1 / 0)::text::timestamptz' }
  const { db } = stage.open({ wrap: mutating(broken) })
  await expect(expireLoop(db, () => {}).pass(signal)).rejects.toThrow()
  expect(await stage.sql`select state from api_token where id = 'tok_f'`).toEqual([{ state: 'EXPIRED' }])
  await expireLoop(stage.open().db, () => {}).pass(signal)
  expect(await perSubject('f')).toEqual({ 1: 1 })
})
