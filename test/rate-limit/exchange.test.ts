// Replicas on one database share a budget by telling each other; without the database each keeps to its own.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/fault.ts'
import { startLoop } from '../../src/loops/loop.ts'
import { exchangeRateUsage, trimRateUsage } from '../../src/resolvers/rate-usage.ts'
import { post } from '../door/client.ts'
import { createTeam, createToken, superuser, type TestTeam } from '../fixture.ts'
import { keepingLog, until } from '../loops/fixture.ts'
import { openStage, type Replica } from './fixture.ts'

const query = '{ viewer { scopes } }'
const dear = '{ deployments(first: 100) { nodes { id name state } } }'
const rates = { actor: { burst: 1_200, perSecond: 1_000 }, team: { burst: 1_650, perSecond: 1_000 } }

let stage: Awaited<ReturnType<typeof openStage>>
let sql: ReturnType<typeof superuser>
let one: Replica
let two: Replica
let team: TestTeam
beforeAll(async () => {
  stage = await openStage(rates)
  sql = superuser(stage.url)
})
beforeEach(async () => {
  ;[one, two, team] = await Promise.all([stage.replica(), stage.replica(), createTeam(stage.url)])
})
afterEach(() => sql`delete from rate_usage`)
afterAll(async () => {
  await sql.end()
  await stage.close()
})

const status = async (replica: Replica, token = team.token, what = dear) => (await post(replica.as(token), what)).status
const remaining = async (replica: Replica) => {
  const { data } = await post(replica.as(team.token), '{ limits { rate { actor { remaining } team { remaining } } } }')
  return [data.limits.rate.actor.remaining, data.limits.rate.team.remaining]
}

test('two replicas share one budget after an exchange, of the token and of the team', async () => {
  expect([await status(one), await status(one)]).toEqual([200, 200])
  await one.exchange()
  // Nothing was asked of the other one yet, so it knows nothing yet; what it lets through now makes it listen.
  expect(await status(two, team.token, query)).toBe(200)
  await two.exchange()
  expect(await status(two)).toBe(429)
  const fresh = await createToken(stage.url, team.teamId)
  expect(await status(two, fresh.token)).toBe(200)
  await two.exchange()
  await status(one, team.token, query)
  await one.exchange()
  // The team has spent 3 x 401 and five times 80 of 1,650.
  expect((await post(one.as(fresh.token), dear)).errors[0]?.extensions).toMatchObject({ limit: 'team' })
  expect(await remaining(one)).toEqual([1_200 - 2 * 401 - 4 * 80, 1_650 - 3 * 401 - 5 * 80])
})

test('the wait that is named takes into account what others have let through; after it both serve again', async () => {
  for (const replica of [one, two]) {
    expect([await status(replica), await status(replica)]).toEqual([200, 200])
  }
  await one.exchange()
  await two.exchange()
  await status(one, team.token, query)
  await one.exchange()
  const refused = await post(two.as(team.token), dear)
  const retryAfterMs = Number(refused.errors[0]?.extensions.retryAfterMs)
  // 4 x 401 of 1,650 are spent, at one point a millisecond; the token lacks more than its team.
  expect(retryAfterMs).toBe(4 * 401 - 1_200 + 80)
  expect(refused.headers['retry-after']).toBe(String(Math.ceil(retryAfterMs / 1_000)))
  stage.pass(retryAfterMs)
  expect(await status(two, team.token, query)).toBe(200)
})

test('what a replica has spent before it died is not forgotten by the next one', async () => {
  expect([await status(one), await status(one)]).toEqual([200, 200])
  await one.exchange()
  const next = await stage.replica()
  await status(next, team.token, query)
  await next.exchange()
  expect(await status(next)).toBe(429)
})

test('nothing is asked of the database by requests or by idle replicas; one statement a pass by others', async () => {
  one.statements()
  await one.exchange()
  expect(one.statements()).toEqual([])
  for (let index = 0; index < 5; index++) await status(one, team.token, query)
  expect(one.statements().filter((name) => name.includes('Usage'))).toEqual([])
  await one.exchange()
  expect(one.statements()).toEqual(['exchangeRateUsage', 'trimRateUsage'])
  await status(one, team.token, query)
  await one.exchange()
  await one.exchange()
  expect(one.statements().filter((name) => name.includes('Usage'))).toEqual(['exchangeRateUsage'])
})

test('without the database callers are served within what the replica itself knows, and the rest is told later', async () => {
  one.before = (name) => {
    if (name === 'exchangeRateUsage') throw new DatabaseFault('unavailable', 'gone')
  }
  expect(await status(one)).toBe(200)
  await expect(one.exchange()).rejects.toThrow(DatabaseFault)
  expect(await status(one)).toBe(200)
  await expect(one.exchange()).rejects.toThrow(DatabaseFault)
  expect(await status(one)).toBe(429)
  one.before = () => {}
  await one.exchange()
  await status(two, team.token, query)
  await two.exchange()
  expect(await status(two)).toBe(429)
})

test('an answer that got lost on the way is no reason to count twice', async () => {
  expect(await status(one)).toBe(200)
  let lost = false
  one.after = (name) => {
    if (name !== 'exchangeRateUsage' || lost) return
    lost = true
    throw new DatabaseFault('unknown-outcome', 'the connection broke')
  }
  await expect(one.exchange()).rejects.toThrow(DatabaseFault)
  expect(await sql`select spent from rate_usage where bucket = ${`team:${team.teamId}`}`).toEqual([{ spent: 401 }])
  await one.exchange()
  await status(two, team.token, query)
  await two.exchange()
  expect(await remaining(two)).toEqual([1_200 - 401 - 2 * 80, 1_650 - 401 - 2 * 80])
})

test('the loop exchanges by itself, about once a second, and ends with the process', async () => {
  const loop = startLoop({ ...one.loop, everyMs: 20 }, { metrics: one.metrics, log: keepingLog([]) })
  await status(one)
  await until(async () => expect(await sql`select 1 from rate_usage where spent = 401`).toHaveLength(2))
  await loop.stop()
  expect(one.loop).toMatchObject({ name: 'exchange-usage', everyMs: 1_000 })
  expect(await one.metrics.text()).toMatch(/pawl_loop_items_total\{loop="exchange-usage",outcome="moved"\} 2/)
})

test('old rows are neither heard nor kept', async () => {
  const { db } = one.pool
  await sql`insert into rate_usage (bucket, replica, spent, told_at)
    values ('team:old', 'gone.1', 10, now() - interval '10 minutes'), ('team:late', 'gone.1', 20, now() - interval '1 minute'),
      ('team:new', 'gone.1', 30, now())`
  const { heard, at } = await exchangeRateUsage(db, { replica: 'me.1', spent: [] }, { since: null, horizonMs: 30_000 })
  expect(heard).toEqual([{ bucket: 'team:new', replica: 'gone.1', spent: 30 }])
  await sql`update rate_usage set told_at = now() - interval '3 seconds' where bucket = 'team:new'`
  const next = await exchangeRateUsage(db, { replica: 'me.1', spent: [] }, { since: at, horizonMs: 30_000 })
  expect(next.heard).toEqual([])
  expect(await trimRateUsage(db, 10)).toBe(1)
  expect((await sql`select bucket from rate_usage order by bucket`).map(({ bucket }) => bucket)).toEqual([
    'team:late',
    'team:new',
  ])
})
