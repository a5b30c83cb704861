// Calls that are decided together, and what happens meanwhile: rows that move between snapshot and lock, keys that are used
// elsewhere, answers that are lost; and at last many of all kinds, which must have an explanation one after the other.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import * as rules from '../../src/resolvers/deployment-rule.ts'
import type { Rule } from '../../src/resolvers/transition.ts'
import { prepareGroup } from '../../src/resolvers/transition-group.ts'
import { hold, holdKey, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { createTeam, putDeployment } from '../row.ts'
import {
  among,
  callsOf,
  deployments,
  name,
  openWorlds,
  replicaOf,
  stalled,
  together,
  type Worlds,
} from './grouped-world.ts'
import { chainOf, operationsOf, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World
let worlds: Worlds

beforeAll(async () => {
  worlds = await openWorlds()
  ;({ real, bare } = worlds)
})
afterAll(() => worlds.close())

const unlocked = { name, among, from: ' for no key update of "deployment" skip locked', to: '' }

describe('what changes between the snapshot of a group and its lock', () => {
  /** A group of two, held after its snapshot, while something is done to one of them. */
  const play = async (world: World, meanwhile: (id: string) => Promise<object>, ...mutations: Mutation[]) => {
    const key = 101
    const replica = replicaOf(world, [...stalled(key), ...mutations])
    const [changed, other] = (await deployments(world, 2)) as [string, string]
    const asks = [changed, other].map((id) => () => redeployDeployment(replica.context, { id }))
    const stall = await hold(world.stranger, `select pg_advisory_xact_lock(${key})`)
    const asked = underWay(together(world, replica, ...asks))
    await untilBlocked(world.stranger, name, 2)
    expect(outcomeOf(await meanwhile(changed))).toMatch(/STOPPING|BUILDING/)
    await stall.release()
    const outcomes = await asked
    const { state, generation, version } = await seen(world, changed)
    return { outcomes, state, generation, version, chain: await chainOf(world, changed), sent: replica.sent }
  }

  test('R01 a group does not revive what was stopped meanwhile: it decides on the row as it is', async () => {
    const stop = (world: World) => (id: string) => stopDeployment(world.context, { id })
    expect(await play(real, stop(real))).toMatchObject({
      outcomes: ['NotRedeployable', 'BUILDING'],
      state: 'STOPPING',
      sent: ['one', 1, 2],
    })
    expect(await play(bare, stop(bare), unlocked)).toMatchObject({
      outcomes: ['BUILDING', 'BUILDING'],
      state: 'BUILDING',
    })
  })

  test('R03 a group counts on from what was redeployed meanwhile', async () => {
    const again = (world: World) => (id: string) => redeployDeployment(world.context, { id })
    const chain = ['redeployDeployment HEALTHY→BUILDING', 'redeployDeployment BUILDING→BUILDING']
    expect(await play(real, again(real))).toMatchObject({ generation: 3, version: 3, chain })
    expect(await play(bare, again(bare), unlocked)).toMatchObject({ generation: 2, version: 2 })
  })
})

describe('keys', () => {
  test('R22 calls of one moment under one key are one call', async () => {
    const replica = replicaOf(real)
    const [one, other] = (await deployments(real, 2)) as [string, string]
    const key = crypto.randomUUID()
    const ask = (id: string) => () => redeployDeployment(replica.context, { id, idempotencyKey: key })
    const outcomes = await together(real, replica, ask(one), ask(one), ask(one), ask(other))
    expect(outcomes.sort()).toEqual(['BUILDING', 'IdempotencyKeyReused', 'replayed', 'replayed'])
    expect((await Promise.all([one, other].map((id) => operationsOf(real, id)))).flat()).toHaveLength(1)
  })

  test('R23 a key that is being used in another replica takes nobody else of the group down', async () => {
    const replica = replicaOf(real)
    const [keyed, other] = (await deployments(real, 2)) as [string, string]
    const key = crypto.randomUUID()
    const used = await holdKey(real.stranger, real.team.actor.id, name, key)
    const asked = underWay(
      together(
        real,
        replica,
        () => redeployDeployment(replica.context, { id: keyed, idempotencyKey: key }),
        () => redeployDeployment(replica.context, { id: other, idempotencyKey: crypto.randomUUID() }),
      ),
    )
    await expect.poll(() => chainOf(real, other), { timeout: 30_000 }).toHaveLength(1)
    await untilBlocked(real.stranger, name)
    await used.release()
    expect(await asked).toEqual(['IdempotencyKeyReused', 'BUILDING'])
    expect(await chainOf(real, keyed)).toEqual([])
    expect(replica.sent).toEqual(['one', 1, 2, 'one', 'one'])
  })

  test('R23 a key that has won meanwhile is replayed, and the group is decided call by call', async () => {
    const key = crypto.randomUUID()
    const replica = replicaOf(real, stalled(102))
    const [keyed, other] = (await deployments(real, 2)) as [string, string]
    const stall = await hold(real.stranger, 'select pg_advisory_xact_lock(102)')
    const input = { id: keyed, idempotencyKey: key }
    const asked = underWay(
      together(
        real,
        replica,
        () => redeployDeployment(replica.context, input),
        () => redeployDeployment(replica.context, { id: other }),
      ),
    )
    await untilBlocked(real.stranger, name, 2)
    expect(outcomeOf(await redeployDeployment(real.context, input))).toBe('BUILDING')
    await stall.release()
    expect(await asked).toEqual(['replayed', 'BUILDING'])
    expect(await operationsOf(real, keyed)).toHaveLength(1)
    expect(replica.sent).toEqual(['one', 1, 2, 'one', 'one'])
  })
})

test('when the answer to a group is lost, each of its calls finds out for itself what became of it', async () => {
  const play = async (world: World, ...mutations: Mutation[]) => {
    const ids = await deployments(world, 8)
    const ended = await world.deployment({ state: 'DELETED' })
    const replica = replicaOf(world, mutations, (channel) => ({
      async run(statement) {
        const rows = await channel.run(statement)
        if (callsOf(statement)?.some((call) => call.given_id === ids[0]))
          throw Object.assign(new Error(), { code: 'ECONNRESET' })
        return rows
      },
    }))
    const told: (string | undefined)[] = []
    const calls = ids.map((id, n) => async () => {
      const result = await redeployDeployment(replica.context, { id })
      if ('operation' in result) told[n] = result.operation?.id
      return result
    })
    const outcomes = await together(world, replica, ...calls, () => redeployDeployment(replica.context, { id: ended }))
    const stored = await world.stranger<{ id: string }[]>`
      select o.id from unnest(${ids}::text[]) with ordinality u(id, n) join operation o on o.subject_id = u.id order by u.n`
    return {
      outcomes,
      right: told.filter((id, n) => id === stored[n]?.id).length,
      stored: stored.length,
      sent: replica.sent,
    }
  }
  const lost = 'TemporarilyUnavailable'
  expect(await play(real)).toEqual({
    outcomes: [...Array.from({ length: 8 }, () => 'BUILDING'), lost],
    right: 8,
    stored: 8,
    sent: ['one', 1, 9],
  })
  // Under one id for all of them no two are found again.
  const shared = {
    name,
    among,
    from: '"given_transitionId"::text',
    to: '(select min("given_transitionId") from calls)',
  }
  expect((await play(real, shared)).right).toBeLessThan(2)
})

test('what touches more than its subject is not grouped, nor what a loop moves', () => {
  const { db } = real.context
  for (const rule of [rules.deleteDeployment, rules.cancelRollOut, rules.redeployByName, rules.tearDownDeployment]) {
    expect(() => prepareGroup(db, rule as unknown as Rule)).toThrow(`${rule.name} cannot be grouped`)
  }
  expect(() => prepareGroup(db, rules.redeployDeployment as unknown as Rule)).not.toThrow()
})

test('two hundred callers on fifty deployments: what they are told is what one after the other would have been told', async () => {
  const replicas = [replicaOf(real), replicaOf(real)] as const
  const ids = await deployments(real, 50)
  const other = await createTeam(real.stranger)
  const theirs = await putDeployment(real.stranger, { teamId: other.teamId, state: 'HEALTHY' })
  const call = (n: number) => {
    const { context } = replicas[n % 2] ?? replicas[0]
    const own = { ...context, requestId: `storm-${n}` }
    const id = ids[(n * 7) % 50] ?? ''
    switch (n % 5) {
      case 0:
        return redeployDeployment(own, { id, expectedVersion: '1' })
      case 1:
        return redeployDeployment(own, { id: n % 2 ? theirs : `dep_${String(n).padStart(26, '0')}` })
      case 2:
        return redeployDeployment(own, { id, idempotencyKey: `storm-${id}` })
      default:
        return redeployDeployment(own, { id })
    }
  }
  const results = await Promise.all(Array.from({ length: 200 }, (_, n) => call(n)))
  const outcomes = results.map(outcomeOf)
  const of = (kind: number) => outcomes.filter((_, n) => n % 5 === kind)
  expect(of(0).filter((outcome) => outcome !== 'BUILDING' && outcome !== 'VersionConflict')).toEqual([])
  expect(new Set(of(1))).toEqual(new Set(['NotFound']))
  expect(of(2).filter((outcome) => outcome !== 'BUILDING' && outcome !== 'replayed')).toEqual([])
  expect(new Set([...of(3), ...of(4)])).toEqual(new Set(['BUILDING']))
  const won = results.flatMap((result, n) =>
    outcomes[n] === 'BUILDING' && 'operation' in result ? [{ n, result }] : [],
  )
  const told = won.map(({ n, result }) => [`storm-${n}`, (result.operation as { id: string }).id])
  const logged = await real.stranger`
    select request_id as request, operation_id as operation, subject_id as subject, version, from_state as "from",
      row_number() over (partition by subject_id order by id)::int as nth
    from event where kind = ${name} and subject_id = any(${ids}) order by id`
  // One event and one operation for each who was told that it has won, and for nobody else.
  expect(logged.map(({ request, operation }) => [request, operation]).sort()).toEqual(told.sort())
  for (const { version, nth, from, request } of logged) {
    expect([version, from]).toEqual([nth + 1, nth === 1 ? 'HEALTHY' : 'BUILDING'])
    // Whoever expected the first version was the first.
    if (Number(request.slice(6)) % 5 === 0) expect(nth).toBe(1)
  }
  const rows = await real.stranger`select id, version, generation from deployment where id = any(${ids})`
  for (const { id, version, generation } of rows) {
    const moves = logged.filter(({ subject }) => subject === id).length
    expect([version, generation]).toEqual([1 + moves, 1 + moves])
  }
  expect(await real.stranger`select version from deployment where id = ${theirs}`).toEqual([{ version: 1 }])
})
