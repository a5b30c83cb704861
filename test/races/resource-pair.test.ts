// Things of which there may be one, or so many: names, plans, rotations, and the state at the limit. The second caller is seen
// to queue behind the first, whose change it cannot see yet; each guard is rewritten once.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createResource, deleteResource, rotateResourceCredentials } from '../../src/resolvers/resource.ts'
import { expireResource, suspendResource } from '../../src/resolvers/resource-rule.ts'
import { judgeSize } from '../../src/resolvers/resource-size.ts'
import { transition } from '../../src/resolvers/transition.ts'
import { holdCounters, holdQueue, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { giveRoom } from '../resources/row.ts'
import { contextFor, createTeam } from '../row.ts'
import { openResourceWorld, passOf, type ResourceWorld, resourceOutcome, seenResource } from './resource-world.ts'
import { operationsOf } from './world.ts'

let real: ResourceWorld
let bare: ResourceWorld

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openResourceWorld(), openResourceWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const named = () => ({ type: 'POSTGRES' as const, name: `n-${crypto.randomUUID().slice(0, 8)}` })
const liveOf = async (world: ResourceWorld, name: string) => {
  const [row] = await world.stranger<{ live: number }[]>`
    select count(*)::int as live from resource where name = ${name} and state not in ('DELETING', 'DELETED')`
  return row?.live
}

/** Two creates of one name, the second behind the first. */
async function twoOfAName(world: ResourceWorld) {
  const input = named()
  const counters = await holdCounters(world.stranger, world.team.teamId)
  const first = underWay(createResource(world.context, input))
  await untilBlocked(world.stranger, 'createResource')
  const second = underWay(createResource(world.context, input))
  await untilBlocked(world.stranger, 'createResource', 2)
  await counters.release()
  return {
    outcomes: [resourceOutcome(await first), resourceOutcome(await second)],
    live: await liveOf(world, input.name),
  }
}

test('R24 two creates of one name make one resource: the constraint decides', async () => {
  expect(await twoOfAName(real)).toEqual({ outcomes: ['PROVISIONING', 'NameTaken'], live: 1 })
  const indexless = await openResourceWorld({ guards: false })
  await indexless.stranger`drop index resource_name`
  expect(await twoOfAName(indexless)).toEqual({ outcomes: ['PROVISIONING', 'PROVISIONING'], live: 2 })
  await indexless.close()
})

test('R25 a look before the insert is no guard: two that look at once both find the name free', async () => {
  const looking: Mutation = {
    name: 'createResource',
    from: ' from go returning',
    to: ` from go where not exists (select 1 from resource r where r.team_id = $5::text and r.name = $7::text
      and r.state not in ('DELETING', 'DELETED')) returning`,
  }
  const indexless = await openResourceWorld({ guards: false })
  await indexless.stranger`drop index resource_name`
  expect(await twoOfAName(indexless.withMutants(looking))).toMatchObject({ live: 2 })
  await indexless.close()
  expect(await twoOfAName(real.withMutants(looking))).toMatchObject({ live: 1 })
})

test.each(['commits', 'is undone'] as const)('R25 a name that is being given up is free once that %s', async (how) => {
  const input = named()
  const id = await real.resource({ state: 'ACTIVE', name: input.name })
  // As a delete that has moved its row, and waits.
  const session = await real.stranger.reserve()
  await session`begin`
  await session`update resource set state = 'DELETING', generation = 2, version = 2, deleted_at = now() where id = ${id}`
  const create = underWay(createResource(real.context, input))
  await untilBlocked(real.stranger, 'createResource')
  await (how === 'commits' ? session`commit` : session`rollback`)
  session.release()
  expect(resourceOutcome(await create)).toBe(how === 'commits' ? 'PROVISIONING' : 'NameTaken')
  expect(await liveOf(real, input.name)).toBe(1)
})

test('R85 R86 creates that race for the last place: one has it, and the counter is right', async () => {
  const play = async (world: ResourceWorld) => {
    const team = await createTeam(world.stranger)
    await giveRoom(world.stranger, team.teamId, 1)
    const context = contextFor(world.pool.db, team.actor)
    const counters = await holdCounters(world.stranger, team.teamId)
    const calls = []
    for (const count of [1, 2, 3]) {
      calls.push(underWay(createResource(context, named())))
      await untilBlocked(world.stranger, 'createResource', count)
    }
    await counters.release()
    const outcomes = (await Promise.all(calls)).map(resourceOutcome).sort()
    const [usage] = await world.stranger`
      select used, (select count(*)::int from resource where team_id = ${team.teamId}) as made from plan_usage
      where team_id = ${team.teamId} and kind = 'resources'`
    return { outcomes, ...usage }
  }
  expect(await play(real)).toEqual({ outcomes: ['PROVISIONING', 'QuotaExceeded', 'QuotaExceeded'], used: 1, made: 1 })
  // Counted instead of kept: none of the three sees the other two.
  const counting = {
    name: 'createResource',
    from: 'u.used + c.n > u.cap',
    to: '(select count(*) from resource r where r.team_id = u.team_id) + c.n > u.cap',
  }
  expect(await play(bare.withMutants(counting))).toMatchObject({ used: 3, made: 3 })
})

test('R48 two rotations: the second one is refused while the first is under way', async () => {
  const play = async (world: ResourceWorld) => {
    const id = await world.resource({ state: 'ACTIVE' })
    const queue = await holdQueue(world.stranger, world.team.teamId)
    const first = rotateResourceCredentials(world.context, { id })
    await untilBlocked(world.stranger, 'rotateResourceCredentials')
    const second = underWay(rotateResourceCredentials(world.context, { id }))
    await untilBlocked(world.stranger, 'rotateResourceCredentials', 2)
    await queue.release()
    const outcomes = [resourceOutcome(await first), resourceOutcome(await second)]
    return {
      outcomes,
      operations: await operationsOf(world, id),
      generation: (await seenResource(world, id)).generation,
    }
  }
  const one = ['resource.rotate PENDING']
  expect(await play(real)).toEqual({ outcomes: ['ACTIVE', 'IllegalState'], operations: one, generation: 2 })
  const careless = { name: 'rotateResourceCredentials', from: '"found"."next_password" is null', to: 'true' }
  expect(await play(bare.withMutants(careless))).toEqual({
    outcomes: ['ACTIVE', 'ACTIVE'],
    operations: [...one, ...one],
    generation: 3,
  })
})

test('R87 a size that moves about the limit does not make it flap: released only clearly below', async () => {
  const limitBytes = 1_000
  const play = async (world: ResourceWorld, sizes: readonly number[]) => {
    const id = await world.resource({ state: 'ACTIVE', limitBytes })
    const states: string[] = []
    for (const size of sizes) {
      const { generation } = await seenResource(world, id)
      const found = { id, teamId: world.team.teamId, type: 'POSTGRES' as const, incarnation: '', generation }
      await judgeSize(world.pool.db, found, size, { actor: { kind: 'loop', id: 'measure' }, requestId: 'test' })
      // Whatever it asked for is carried out at once.
      await world.stranger`update operation set state = 'RUNNING', version = version + 1 where subject_id = ${id} and state = 'PENDING'`
      await world.stranger`update operation set state = 'SUCCEEDED', version = version + 1 where subject_id = ${id} and state = 'RUNNING'`
      states.push((await seenResource(world, id)).state)
    }
    return states.map((state) => state.slice(0, 3)).join(' ')
  }
  const about = [1_000, 1_001, 999, 1_001, 801, 800, 1_001, 799, 801, 999, 1_000]
  expect(await play(real, about)).toBe('ACT SUS SUS SUS SUS SUS SUS ACT ACT ACT ACT')
  const eager = { name: 'releaseResource', from: '"limit_bytes" * 0.8', to: '"limit_bytes" * 1' }
  expect(await play(bare.withMutants(eager), about)).toBe('ACT SUS ACT SUS ACT ACT SUS ACT ACT ACT ACT')
})

test('R13 what a loop learnt about a resource before its end does not bring it back', async () => {
  const cause = { actor: { kind: 'loop', id: 'measure' }, requestId: 'test' }
  const play = async (world: ResourceWorld) => {
    const id = await world.resource({ state: 'ACTIVE', limitBytes: 1_000 })
    const { generation } = await seenResource(world, id)
    const { teamId } = world.team
    await world.stranger`update resource set size_bytes = 2000 where id = ${id}`
    await deleteResource(world.context, { id })
    // Its end is under way with nothing live beside it: the state alone stands in the way.
    await world.stranger`update operation set state = 'RUNNING', version = version + 1 where subject_id = ${id}`
    await world.stranger`update operation set state = 'SUCCEEDED', version = version + 1 where subject_id = ${id}`
    const late = { id, teamId, type: 'POSTGRES' as const, incarnation: '', generation }
    const judged = await judgeSize(world.pool.db, late, 3_000, cause)
    const { kind } = await transition(world.pool.db, suspendResource, { ...cause, values: { id, teamId } })
    return [judged, kind, (await seenResource(world, id)).state]
  }
  expect(await play(real)).toEqual([null, 'refused', 'DELETING'])
  const blind = { name: 'suspendResource', from: `"found".state in ('ACTIVE')`, to: 'true' }
  expect(await play(bare.withMutants(blind))).toEqual([null, 'moved', 'SUSPENDED'])
})

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

test('R54 counters equal counts after any sequence of creates, deletes and expiries on two replicas', async () => {
  const cap = 6
  const play = async (world: ResourceWorld) => {
    const team = await createTeam(world.stranger)
    await giveRoom(world.stranger, team.teamId, cap)
    const contexts = [0, 1].map(() => contextFor(world.openPool().db, team.actor))
    const random = seeded(54)
    const outcomes: Record<string, number> = {}
    const ids: string[] = []
    let most = 0
    const step = async (n: number) => {
      const context = contexts[n % 2] ?? world.context
      const dice = random()
      if (dice < 0.1) return void (await passOf(world, expireResource))
      const id = ids[Math.floor(random() * ids.length)]
      // A few names only, so that some are taken; a few ids, so that some are gone already.
      const result =
        dice < 0.6 || !id
          ? await createResource(context, { type: 'POSTGRES', name: `c${Math.floor(random() * 9)}`, ttlHours: 1 })
          : await deleteResource(context, { id })
      if ('resource' in result && result.resource.state === 'PROVISIONING') ids.push(result.resource.id)
      const outcome = resourceOutcome(result)
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    for (let round = 0; round < 15; round++) {
      await Promise.all(Array.from({ length: 8 }, (_, n) => step(n)))
      // One in five has had its time.
      await world.stranger`update resource set expires_at = now() where team_id = ${team.teamId} and random() < 0.2`
      const [usage = { used: -1, live: -1 }] = await world.stranger<{ used: number; live: number }[]>`
        select used, (select count(*)::int from resource where team_id = ${team.teamId} and state not in ('DELETING', 'DELETED')) as live
        from plan_usage where team_id = ${team.teamId} and kind = 'resources'`
      if (usage.used !== usage.live) return { flaw: usage }
      most = Math.max(most, usage.used)
    }
    return { most, outcomes: Object.keys(outcomes) }
  }
  const seen = ['DELETING', 'NameTaken', 'PROVISIONING', 'QuotaExceeded', 'ResourceAlreadyDeleted']
  // Busy besides: a name that was held a moment ago.
  expect(await play(real)).toEqual({ most: cap, outcomes: expect.arrayContaining(seen) })
  for (const name of ['deleteResource', 'expireResource']) {
    const keeping = { name, from: 'else u.used + c.n', to: 'else u.used' }
    expect(await play(bare.withMutants(keeping))).toHaveProperty('flaw')
  }
})
