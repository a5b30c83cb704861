// Sixteen redeploys against an expiry, over two replicas, round after round on one deployment each: not forced but many, to
// find what nobody has thought of. After each round the invariants are asked of the database. PAWL_ROUNDS sets how many.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { expireDeployment } from '../../src/resolvers/deployment-rule.ts'
import { transitionEach } from '../../src/resolvers/transition.ts'
import { contextFor } from '../row.ts'
import { callOf, openWorld, outcomeOf, type World } from './world.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 20)
const callers = 16
let world: World

beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

/** What is wrong with a deployment after so many won redeploys and one expiry; empty when all is well. */
const flaws = (id: string, winners: number) => world.stranger<{ flaw: string }[]>`
  with d as (select * from deployment where id = ${id}),
    e as (select *, lag(to_state) over (order by id) as before, lag(version) over (order by id) as version_before,
      row_number() over (order by id desc) as from_end from event where subject_id = ${id}),
    o as (select * from operation where subject_id = ${id})
  select 'the chain is broken at ' || id as flaw from e where before is not null and (from_state <> before or version <> version_before + 1)
  union all select 'a redeploy left ' || from_state from e where kind = 'redeployDeployment'
    and from_state not in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')
  union all select 'the last event is not of the row' from d, e where from_end = 1 and (e.to_state <> d.state or e.version <> d.version)
  union all select 'generation is ' || generation from d where generation <> 1 + ${winners} + 1
  union all select 'there are roll-outs: ' || count(*) from o where kind = 'deployment.roll_out' having count(*) <> ${winners}
  union all select 'there are teardowns: ' || count(*) from o where kind = 'deployment.tear_down' having count(*) <> 1
  union all select 'an operation of no generation' from o where generation not in (select generation from e)
  union all select 'an operation twice for ' || generation from o group by generation having count(*) > 1
  union all select 'an event without its operation: ' || kind from e where operation_id is null or operation_id not in (select id from o)
  union all select 'state is ' || state from d where state <> 'EXPIRED'`

test(`redeploys against an expiry: ${rounds} rounds of ${callers} callers on two replicas`, {
  timeout: 120_000,
}, async () => {
  const replicas = [world.openPool(8).db, world.openPool(8).db] as const
  const contexts = replicas.map((db) => contextFor(db, world.team.actor))
  const counts = { won: 0, refused: 0, passes: 0, roundsWithBoth: 0 }
  for (let round = 0; round < rounds; round++) {
    const id = await world.deployment({ state: 'HEALTHY', expiresInSeconds: -1 })
    // Pass after pass, as a loop does it: held rows are passed by, until one pass finds the row free.
    const expireAtLast = async () => {
      for (;;) {
        counts.passes++
        const moved = await transitionEach(replicas[round % 2] ?? replicas[0], expireDeployment, callOf(world, {}), 10)
        if (moved.some(({ row }) => row.id === id)) return
      }
    }
    const calls = Array.from({ length: callers }, (_, n) =>
      redeployDeployment(contexts[n % 2] ?? world.context, { id }),
    )
    const [results] = await Promise.all([Promise.all(calls), expireAtLast()])
    const outcomes = results.map(outcomeOf)
    const won = outcomes.filter((outcome) => outcome === 'BUILDING').length
    expect(outcomes.filter((outcome) => outcome !== 'BUILDING' && outcome !== 'NotRedeployable')).toEqual([])
    expect(await flaws(id, won)).toEqual([])
    // Every winner was told of an operation of its own.
    const told = results.flatMap((result) => ('operation' in result ? [result.operation?.id] : []))
    expect(new Set(told).size).toBe(won)
    counts.won += won
    counts.refused += callers - won
    if (won > 0 && won < callers) counts.roundsWithBoth++
  }
  expect(counts.won + counts.refused).toBe(rounds * callers)
  console.log(`redeploy storm: ${JSON.stringify({ rounds, callers, ...counts })}`)
})
