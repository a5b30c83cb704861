// What replicas of a release that knew of no instances leave behind while both run: teams without counters for what is counted
// since, and instances of what such a replica has stopped, ended or given up.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bootstrap } from '../../src/resolvers/first-team.ts'
import { registerInstance, removeInstance } from '../../src/resolvers/instance.ts'
import { hold, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import { openWorld, type World } from '../races/world.ts'
import { contextFor, createTeam } from '../row.ts'
import { putStack } from '../stacks/row.ts'
import { type Asked, passOf } from './fixture.ts'
import { countedInstances, putInstance, storedInstance } from './row.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

/** A team such as the release before made it. */
async function uncounted() {
  const { stranger, pool } = world
  const { teamId, actor } = await createTeam(stranger)
  await stranger`delete from plan_usage where team_id = ${teamId} and kind in ('instances', 'webhooks')`
  const context = contextFor(pool.db, actor)
  return { teamId, context, register: (name: string) => registerInstance(context, { name }) }
}
const caps = (teamId: string) => world.stranger`select kind, cap, used from plan_usage
  where team_id = ${teamId} and kind in ('instances', 'webhooks') order by kind`

test('a team without the counter takes nothing of it, until a start gives it the counter with what is there', async () => {
  const { teamId, context, register } = await uncounted()
  expect(await register('edge')).toMatchObject({ refusal: 'QuotaExceeded' })
  const id = await putInstance(world.stranger, { teamId, state: 'ONLINE' })
  await putInstance(world.stranger, { teamId, state: 'REMOVED' })
  // Replicas that start at once make it once.
  await Promise.all([bootstrap(world.pool.db, null), bootstrap(world.pool.db, null)])
  const given = [
    { kind: 'instances', cap: 1_000, used: 1 },
    { kind: 'webhooks', cap: 20, used: 0 },
  ]
  expect([...(await caps(teamId))]).toEqual(given)
  expect(await register('edge')).toMatchObject({ instance: { state: 'STARTING' } })
  expect(await removeInstance(context, { id })).toMatchObject({ instance: { state: 'REMOVED' } })
  expect(await countedInstances(world.stranger, teamId)).toEqual({ used: 1, live: 1 })
})

test('what takes up no room is given back without a counter, too', async () => {
  const { teamId, context } = await uncounted()
  const id = await putInstance(world.stranger, { teamId, state: 'ONLINE' })
  expect(await removeInstance(context, { id })).toMatchObject({ instance: { state: 'REMOVED' } })
})

test('a team whose deletion begins meanwhile gets no room behind that', async () => {
  const { teamId } = await uncounted()
  const deleting = await hold(world.stranger, `update team set version = version + 1 where id = '${teamId}'`)
  const start = underWay(bootstrap(world.pool.db, null))
  await untilBlocked(world.stranger, 'completePlans')
  await deleting.run(
    `set local session_replication_role = replica; update team set state = 'DELETING' where id = '${teamId}'`,
  )
  await deleting.release()
  await start
  expect([...(await caps(teamId))]).toEqual([])
})

const silent: Asked = { observeInstance: async () => ({ state: 'unknown', reason: 'nobody asks' }) }
const pass = (db = world.pool.db) => passOf(db, silent)
const unit = (subjectId: string, generation: number, more: object = {}) =>
  putInstance(world.stranger, {
    teamId: world.team.teamId,
    state: 'ONLINE',
    runtime: 'PROCESS',
    subjectId,
    generation,
    ...more,
  })
const stateOf = async (id: string) => (await storedInstance(world.stranger, id)).state

test.each([
  ['STOPPED', 3, 'REMOVED'],
  ['DELETED', 3, 'REMOVED'],
  ['FAILED', 2, 'OFFLINE'],
  // What ran before a roll-out that was cancelled.
  ['FAILED', 3, 'ONLINE'],
  ['HEALTHY', 2, 'ONLINE'],
  ['DELETING', 2, 'ONLINE'],
] as const)('the instance of a deployment that is %s at generation %i is %s', async (state, generation, expected) => {
  const subject = await world.deployment({ state, generation })
  const [id, external] = [
    await unit(subject, 2),
    await unit(subject, 2, { runtime: 'EXTERNAL', heartbeatSeconds: 3_600 }),
  ]
  await pass()
  expect(await stateOf(id)).toBe(expected)
  // What runs elsewhere is ended by rules of its own.
  if (state !== 'DELETED' && state !== 'DELETING') expect(await stateOf(external)).toBe('ONLINE')
})

test('of a stack those of services that have failed go OFFLINE, and the others run on; when it has ended, all are removed', async () => {
  const { teamId } = world.team
  const placed = {
    web: { generation: 2, state: 'HEALTHY' },
    api: { generation: 2, state: 'FAILED', reason: 'gone' },
    old: { generation: 1, state: 'FAILED', reason: 'gone' },
  } as const
  const of = (id: string) => Promise.all(['web', 'api', 'old'].map((service) => unit(id, 2, { service })))
  const failed = await of(await putStack(world.stranger, { teamId, state: 'FAILED', generation: 2, placed }))
  const ended = await of(await putStack(world.stranger, { teamId, state: 'DELETED', generation: 2, placed }))
  await pass()
  expect(await Promise.all(failed.map(stateOf))).toEqual(['ONLINE', 'OFFLINE', 'ONLINE'])
  expect(await Promise.all(ended.map(stateOf))).toEqual(['REMOVED', 'REMOVED', 'REMOVED'])
})

test('what has been started again since the look is left alone: the reason is repeated under the lock', async () => {
  const play = async (...mutations: Mutation[]) => {
    const subject = await world.deployment({ state: 'STOPPED', generation: 2 })
    const id = await unit(subject, 2)
    const name = 'removeInstance:left'
    const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(5102)')
    const late = underWay(pass(world.openPool(2, [...stalling(name, 'instance', 5_102), ...mutations]).db))
    await untilBlocked(world.stranger, name)
    await world.stranger`update deployment set state = 'BUILDING', generation = 3, version = version + 1 where id = ${subject}`
    await stall.release()
    await late
    return stateOf(id)
  }
  expect(await play()).toBe('ONLINE')
  expect(await play({ name: 'removeInstance:left', from: ' for share skip locked', to: '' })).toBe('REMOVED')
})
