// How the searches of the loop reconcile-instances are planned where there are many rows: each begins at an index with a condition
// on what is due, so that a pass that finds nothing reads next to nothing.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import type { Statement } from '../../src/db/slot.ts'
import { settleExternal } from '../../src/loops/external-instances.ts'
import { takeAskable } from '../../src/resolvers/instance-check.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import { openWorld, type World } from '../races/world.ts'
import { withTriggersOff } from '../row.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
  const { teamId } = world.team
  await withTriggersOff(world.stranger, async (sql) => {
    // Of those that ended few did so of late, which the planner does not see: many others changed of late.
    await sql`insert into deployment (id, state, team_id, environment, name, image, ttl_policy, incarnation, state_changed_at)
      select 'd' || n, case when n % 2 = 0 then 'DELETED' else 'HEALTHY' end, ${teamId}, 'test', 'd' || n, 'x', 'PERMANENT', 'i' || n,
        now() - case when n % 2 = 1 or n % 500 = 0 then 1 else 4 end * interval '1 day' from generate_series(1, 10000) n`
    await sql`insert into instance (id, state, team_id, environment, name, runtime, subject_type, subject_id, incarnation, instance_id,
        asked_at, heartbeat_at, heartbeat_seconds)
      select 'i' || n, case when n % 20 > 1 then 'ONLINE' else 'OFFLINE' end, ${teamId}, 'test', 'u', case when n % 2 = 0 then 'PROCESS' else 'EXTERNAL' end,
        'Deployment', 'd' || (n | 1), case when n % 2 = 0 then 'i' || n end, 'r' || n, now(),
        case when n % 2 = 1 then now() end, case when n % 2 = 1 then 30 end from generate_series(1, 10000) n`
  })
  await world.stranger`analyze`
})
afterAll(() => world.close())

/** The plan of the one statement of that name that `run` sends, as it is for any parameters. */
async function planOf(name: string, run: (db: Database) => Promise<unknown>): Promise<string> {
  const seen: Statement[] = []
  const pool = openPool({
    url: world.url,
    purpose: 'worker',
    slots: 1,
    statementTimeoutMs: 5_000,
    wrap: (channel) => ({
      run: (statement) => {
        if (statement.sql.includes(`/* ${name} */`)) seen.push(statement)
        return channel.run(statement)
      },
    }),
  })
  await run(pool.db).finally(() => pool.close())
  expect(seen).toHaveLength(1)
  const { sql: text, params } = seen[0] as Statement
  const rows = await world.stranger.begin(async (sql) => {
    await sql`set local plan_cache_mode = force_generic_plan`
    return sql.unsafe<{ 'QUERY PLAN': string }[]>(`explain (costs off) ${text}`, params as never[], { prepare: true })
  })
  return rows.map((row) => row['QUERY PLAN']).join('\n')
}
const settled = (db: Database) => settleExternal(db, () => {}, new AbortController().signal)

test.each([
  ['takeAskable', /using instance_ask .*\n\s*Index Cond: \(asked_at IS NULL\)/],
  ['takeAskable', /using instance_ask .*\n\s*Index Cond: \(asked_at < /],
  [
    'offlineSilentInstance',
    /using instance_silent .*\n\s*Index Cond: \(\(\(COALESCE\(heartbeat_at, state_changed_at\)/,
  ],
  ['removeLostInstance', /using instance_lost .*\n\s*Index Cond: \(state_changed_at < /],
  ['removeLeftInstance', /deployment_ended.*\n\s*Index Cond: \(state_changed_at > /],
  ['removeLeftInstance', /using instance_subject_list .*\n\s*Index Cond: \(subject_id = d\.id\)/],
] as const)('%s begins at what is due: %s', async (name, step) => {
  const run = name === 'takeAskable' ? (db: Database) => takeAskable(db, 30_000, 200) : settled
  const plan = await planOf(name, run)
  expect(plan).toMatch(step)
  expect(plan).not.toMatch(/Seq Scan on (instance|deployment)/)
})
