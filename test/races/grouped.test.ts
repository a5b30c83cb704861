// Calls that are decided together: each of them is decided, told and told of as if it had been alone, and none of them is held
// up by what another one waits for.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { statementName } from '../../src/db/session.ts'
import {
  type DeploymentPayload,
  makeDeploymentPermanent,
  redeployDeployment,
  setDeploymentTtl,
  startDeployment,
  stopDeployment,
} from '../../src/resolvers/deployment.ts'
import { holdQueue, holdRow, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { contextFor, createTeam, putDeployment } from '../row.ts'
import { among, deployments, name, openWorlds, replicaOf, together, type Worlds } from './grouped-world.ts'
import { chainOf, operationsOf, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World
let worlds: Worlds

beforeAll(async () => {
  worlds = await openWorlds()
  ;({ real, bare } = worlds)
})
afterAll(() => worlds.close())

describe('each call of a group is decided for itself', () => {
  const perCall = `select e.subject_id as subject, e.actor_id as actor, e.request_id as request, e.version, o.id as operation,
      o.request_id as "operationRequest", o.actor ->> 'id' as "operationActor", d.image, d.version as "rowVersion"
    from event e join operation o on o.id = e.operation_id join deployment d on d.id = e.subject_id
    where e.kind = 'redeployDeployment' and e.subject_id = any($1)`

  test('and is told, and told of, as if it had been alone', async () => {
    const play = async (world: World, ...mutations: Mutation[]) => {
      const replica = replicaOf(world, mutations)
      const ids = await deployments(world, 30)
      const told = new Map<string, object>()
      await together(
        world,
        replica,
        ...ids.map((id, n) => async () => {
          const actor = { ...world.team.actor, id: `tok_${n}` }
          const own = { ...replica.context, actor, requestId: `request-${n}` }
          const result = await redeployDeployment(own, { id, image: `hello:${n}` })
          told.set(id, result)
          return result
        }),
      )
      const logged = await world.stranger.unsafe(perCall, [ids])
      const rows = new Map(logged.map((row) => [row.subject, { ...row }]))
      return { sent: replica.sent, ids, told, rows, events: logged.length }
    }
    const { sent, ids, told, rows, events } = await play(real)
    expect(sent).toEqual(['one', 1, 30])
    expect(events).toBe(30)
    for (const [n, id] of ids.entries()) {
      const { operation } = rows.get(id) ?? { operation: null }
      expect(told.get(id)).toMatchObject({
        replayed: false,
        operation: { id: operation },
        deployment: { id, image: `hello:${n}` },
      })
      expect(rows.get(id)).toMatchObject({
        actor: `tok_${n}`,
        request: `request-${n}`,
        operationActor: `tok_${n}`,
        operationRequest: `request-${n}`,
        image: `hello:${n}`,
        version: 2,
        rowVersion: 2,
      })
    }
    // Where calls are not told apart, what one has said is done to the subject of another.
    const mixed = {
      name,
      among,
      from: 'coalesce("given_image"::text',
      to: 'coalesce((select min("given_image") from calls)',
    }
    const wrong = await play(bare, mixed)
    expect(new Set([...wrong.rows.values()].map(({ image }) => image)).size).toBe(1)
  })

  const limited = { state: 'HEALTHY', expiresInSeconds: 3_600 } as const
  test.each([
    ['startDeployment', { state: 'STOPPED' } as const, startDeployment, () => ({}), { state: 'BUILDING' }],
    ['stopDeployment', { state: 'HEALTHY' } as const, stopDeployment, () => ({}), { state: 'STOPPING' }],
    ['setDeploymentTtl', limited, setDeploymentTtl, (n: number) => ({ ttlHours: n + 1 }), { ttlPolicy: 'TTL' }],
    ['makeDeploymentPermanent', limited, makeDeploymentPermanent, () => ({}), { ttlPolicy: 'PERMANENT' }],
  ])('also where they are calls of %s', async (_, facts, mutation, values, expected) => {
    const { context } = replicaOf(real)
    const ids = await Promise.all(Array.from({ length: 20 }, () => real.deployment(facts)))
    const told = await Promise.all(ids.map((id, n) => mutation(context, { id, ...values(n) } as never)))
    const hours: number[] = []
    for (const [n, id] of ids.entries()) {
      expect(told[n]).toMatchObject({ replayed: false, deployment: { id, version: 2, ...expected } })
      const { expiresAt } = (told[n] as DeploymentPayload).deployment
      if (expiresAt) hours.push(Math.round((expiresAt.getTime() - Date.now()) / 3_600_000))
    }
    if (mutation === setDeploymentTtl) expect(hours).toEqual(ids.map((_, n) => n + 1))
  })

  test('some are refused, some are missing, one cannot even be stored: the others are not touched by that', async () => {
    const replica = replicaOf(real)
    const other = await createTeam(real.stranger)
    const theirs = await putDeployment(real.stranger, { teamId: other.teamId, state: 'HEALTHY' })
    const [fine, stale] = (await deployments(real, 2)) as [string, string]
    const ended = await real.deployment({ state: 'DELETED' })
    const nobody = newId('Deployment')
    const ask =
      (id: string, more = {}) =>
      () =>
        redeployDeployment(replica.context, { id, ...more })
    const calls = [ask(fine), ask(stale, { expectedVersion: '7' }), ask(ended), ask(theirs), ask(nobody)]
    const expected = ['BUILDING', 'VersionConflict', 'NotRedeployable', 'NotFound', 'NotFound']
    expect(await together(real, replica, ...calls)).toEqual(expected)
    // What was not there is asked for once more by itself.
    expect(replica.sent).toEqual(['one', 1, 5, 'one', 'one'])
    expect(await chainOf(real, theirs)).toEqual([])

    const [good, bad] = (await deployments(real, 2)) as [string, string]
    const unstorable = () => redeployDeployment({ ...replica.context, requestId: 'a\0b' }, { id: bad })
    expect(await together(real, replica, ask(good), unstorable)).toEqual(['BUILDING', 'bug'])
    expect(replica.sent.slice(5)).toEqual(['one', 1, 2, 'one', 'one'])
    expect(await chainOf(real, bad)).toEqual([])
  })

  test('one subject is moved by one call of a group: whoever asks for it again comes later', async () => {
    const replica = replicaOf(real)
    const [hot, cold] = (await deployments(real, 2)) as [string, string]
    const images = ['hello:1', 'hello:2', 'hello:3', 'hello:4']
    const storm = images.map((image) => () => redeployDeployment(replica.context, { id: hot, image }))
    const calls = [...storm, () => redeployDeployment(replica.context, { id: cold })]
    expect(await together(real, replica, ...calls)).toEqual(calls.map(() => 'BUILDING'))
    expect(await seen(real, hot)).toMatchObject({ version: 5, generation: 5 })
    expect(await operationsOf(real, hot)).toHaveLength(4)
    expect(await chainOf(real, hot)).toEqual([
      'redeployDeployment HEALTHY→BUILDING',
      ...images.slice(1).map(() => 'redeployDeployment BUILDING→BUILDING'),
    ])
  })
})

describe('nobody is held up by what somebody else holds', () => {
  test('a row that is held falls out to a statement of its own', async () => {
    const play = async (world: World, ...mutations: Mutation[]) => {
      const replica = replicaOf(world, mutations)
      const [held, free, alsoFree] = (await deployments(world, 3)) as [string, string, string]
      const row = await holdRow(world.stranger, 'deployment', held)
      const done: string[] = []
      const ask = (id: string) => () => redeployDeployment(replica.context, { id }).finally(() => done.push(id))
      const outcomes = together(world, replica, ask(held), ask(free), ask(alsoFree))
      await untilBlocked(world.stranger, name)
      await expect.poll(() => done, { timeout: 30_000 }).toHaveLength(2)
      await row.release()
      expect(await outcomes).toEqual(['BUILDING', 'BUILDING', 'BUILDING'])
      expect(done.at(-1)).toBe(held)
      return replica.sent
    }
    expect(await play(real)).toEqual(['one', 1, 3, 'one'])
    // Who waits for it in the group loses the group to it, and everybody is sent twice.
    const waiting = { name, among, from: ' skip locked', to: '' }
    expect(await play(real, waiting)).toEqual(['one', 1, 3, 'one', 'one', 'one'])
  })

  test('another lock that the group meets is not waited for long: the calls of other teams go on by themselves', async () => {
    const play = async (...mutations: Mutation[]) => {
      const replica = replicaOf(real, mutations)
      const other = await createTeam(real.stranger)
      const theirs = await putDeployment(real.stranger, { teamId: other.teamId, state: 'HEALTHY' })
      const [mine] = (await deployments(real, 1)) as [string]
      const queue = await holdQueue(real.stranger, other.teamId)
      const calls = [
        () => redeployDeployment(contextFor(replica.context.db, other.actor), { id: theirs }),
        () => redeployDeployment(replica.context, { id: mine }),
      ]
      const asked = underWay(together(real, replica, ...calls))
      await untilBlocked(real.stranger, name)
      if (mutations.length === 0) await expect.poll(() => chainOf(real, mine), { timeout: 30_000 }).toHaveLength(1)
      await queue.release()
      expect(await asked).toEqual(['BUILDING', 'BUILDING'])
      return replica.sent
    }
    expect(await play()).toEqual(['one', 1, 2, 'one', 'one'])
    const patience = { name, among, from: `'lock_timeout', '100'`, to: `'lock_timeout', '3000'` }
    expect(await play(patience)).toEqual(['one', 1, 2])
  })

  test('statements that are not answered are not waited for: what comes meanwhile goes on', async () => {
    const parked = Promise.withResolvers<void>()
    let left = 2
    const replica = replicaOf(real, [], (channel) => ({
      async run(statement) {
        if (statementName(statement.sql) === name && left-- > 0) await parked.promise
        return channel.run(statement)
      },
    }))
    const ids = await deployments(real, 6)
    const ask = (id: string) => redeployDeployment(replica.context, { id }).then(outcomeOf)
    const stuck = ids.slice(0, 2).map(ask)
    expect(await Promise.all(ids.slice(2).map(ask))).toEqual(['BUILDING', 'BUILDING', 'BUILDING', 'BUILDING'])
    parked.resolve()
    expect(await Promise.all(stuck)).toEqual(['BUILDING', 'BUILDING'])
  })

  test('too many are turned away at once, and have changed nothing', async () => {
    const replica = replicaOf(real)
    const ids = await deployments(real, 300)
    const outcomes = await Promise.all(ids.map((id) => redeployDeployment(replica.context, { id }).then(outcomeOf)))
    const counts = Object.entries(Object.groupBy(outcomes, (outcome) => outcome)).map(([kind, all]) => [
      kind,
      all?.length,
    ])
    expect(Object.fromEntries(counts)).toEqual({ BUILDING: 242, TemporarilyUnavailable: 58 })
    const [{ moved } = { moved: 0 }] = await real.stranger`
      select count(*)::int as moved from deployment where id = any(${ids}) and version > 1`
    expect(moved).toBe(242)
  })
})
