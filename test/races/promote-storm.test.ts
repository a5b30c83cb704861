// A storm on one approval: twenty uses at once over three replicas, round after round, into a target that is there, into an
// environment that has none, and as a twin. One of them promotes, all others are told so. PAWL_ROUNDS sets how many rounds.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Context } from '../../src/context.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { withdrawPromotion } from '../../src/resolvers/promotion-decision.ts'
import { twinResource } from '../../src/resolvers/twin.ts'
import { openPromotionWorld, outcome, type PromotionWorld, pair, toEnvironment, unique } from '../promotions/world.ts'
import { contextFor } from '../row.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 6)
const callers = 20
let world: PromotionWorld
beforeAll(async () => {
  world = await openPromotionWorld()
})
afterAll(() => world.close())

const kinds = ['into', 'new', 'twin'] as const

/** A subject with its approval, how it is used, and what is there of the target. */
async function begin(kind: (typeof kinds)[number]) {
  if (kind === 'twin') {
    const name = unique('db-')
    const resourceId = await world.resource('development', name)
    const approvalId = await world.approved('TWIN', resourceId)
    const input = { resourceId, toEnvironment, approvalId }
    return { approvalId, name, table: 'resource', use: (context: Context) => twinResource(context, input) } as const
  }
  const name = unique('shop-')
  const stackId = kind === 'into' ? (await pair(world)).stackId : await world.stack({ name })
  const approvalId = await world.approved('STACK', stackId)
  const [{ name: known } = { name }] = await world.stranger<
    { name: string }[]
  >`select name from stack where id = ${stackId}`
  const input = { stackId, toEnvironment, approvalId }
  return { approvalId, name: known, table: 'stack', use: (context: Context) => promoteStack(context, input) } as const
}

/** What is wrong after a round in which the approval was used; empty when all is well. */
const flaws = (approvalId: string, table: 'stack' | 'resource', name: string) =>
  world.stranger.unsafe<{ flaw: string }[]>(`
  with a as (select * from promotion_approval where id = '${approvalId}'),
    t as (select * from "${table}" where name = '${name}' and environment = '${toEnvironment}'),
    o as (select o.* from operation o join t on t.id = o.subject_id),
    e as (select * from event where subject_id = '${approvalId}')
  select 'the approval is ' || state as flaw from a where state <> 'EXECUTED'
  union all select 'targets: ' || count(*) from t having count(*) <> 1
  union all select 'its operation is not of the target' from a where not exists (select from o where o.id = a.operation_id)
  union all select 'operations: ' || count(*) || ' at generation ' || max(t.generation) from t, o having count(*) <> max(t.generation)
  union all select 'uses: ' || count(*) from e where to_state = 'EXECUTED' having count(*) <> 1
  union all select 'the counter of ' || u.kind || ' is ' || u.used from plan_usage u where u.kind = '${table}s' and u.used <>
    (select count(*) from "${table}" s where s.team_id = u.team_id and s.state not in ('DELETING', 'DELETED'))`)

test(`R35 R52 uses against uses: ${rounds} rounds of ${callers} callers on three replicas`, {
  timeout: 300_000,
}, async () => {
  const contexts = [1, 2, 3].map(() => contextFor(world.openPool(7).db, world.team.actor))
  const counts: Record<string, number> = { rounds, promoted: 0 }
  for (let round = 0; round < rounds; round++) {
    const { approvalId, table, name, use } = await begin(kinds[round % kinds.length] ?? 'into')
    const results = await Promise.all(
      Array.from({ length: callers }, (_, n) => use(contexts[n % contexts.length] ?? world.context)),
    )
    const told = results.map(outcome)
    expect(told.filter((each) => each === 'accepted')).toHaveLength(1)
    // Also whoever looked while the winner was at it, and has seen its target already.
    for (const each of told) {
      expect(['accepted', 'ApprovalAlreadyExecuted']).toContain(each)
      counts[each] = (counts[each] ?? 0) + 1
    }
    expect(await flaws(approvalId, table, name)).toEqual([])
    counts.promoted = (counts.promoted ?? 0) + 1
  }
  expect(counts.accepted).toBe(rounds)
  console.log(`promotion storm: ${JSON.stringify({ callers, ...counts })}`)
})

/** A withdrawal is one statement and a promotion several: it comes a few statements later, so that it does not always win. */
async function after(statements: number, { db }: Context) {
  for (let n = 0; n < statements; n++) await db.execute('select 1')
}

test('R28 uses against withdrawals: either all uses are refused, or one promotes and nothing is withdrawn', async () => {
  const contexts = [1, 2, 3].map(() => contextFor(world.openPool(7).db, world.team.actor))
  const ends: Record<string, number> = {}
  for (let round = 0; round < rounds; round++) {
    const { approvalId, use } = await begin(kinds[round % kinds.length] ?? 'into')
    const calls = Array.from({ length: callers }, (_, n) => {
      const context = contexts[n % contexts.length] ?? world.context
      return n % 4 === 3
        ? after(5 + ((n + round) % 6), context).then(() => withdrawPromotion(context, { id: approvalId }))
        : use(context)
    })
    const told = (await Promise.all(calls)).map(outcome)
    const won = told.flatMap((each, n) => (each === 'accepted' ? [n % 4 === 3 ? 'WITHDRAWN' : 'EXECUTED'] : []))
    expect(won).toEqual([await world.approvalState(approvalId)])
    ends[String(won)] = (ends[String(won)] ?? 0) + 1
  }
  console.log(`promotions against withdrawals: ${JSON.stringify({ callers, rounds, ...ends })}`)
}, 300_000)
