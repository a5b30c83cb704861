// A run is gone, says the driver; meanwhile something else has happened to what it was asked about. The flip is one statement that
// repeats all that was captured: nothing is taken OFFLINE and nothing restarted, but the very run that was asked about, once.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Asked, passOf } from '../instances/fixture.ts'
import { putInstance } from '../instances/row.ts'
import { hold, holdRow, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import { withTriggersOff } from '../row.ts'
import { openWorld, operationsOf, type World } from './world.ts'

let real: World
let bare: World
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const gone = { state: 'gone', reason: 'it died' } as const
const name = 'restartDeployment'
/** What a guard that was taken out leaves. */
const without = (from: string, to = 'true'): Mutation => ({ name, from, to })
const anyRun = without('"found_also"."instance_id" = ', `'' is distinct from `)
const evenNone = without(`"found_also"."instance_id" <> ''`)
const anyState = without(`"found_also".state in ('STARTING', 'ONLINE', 'DEGRADED')`)
const anyRuntime = without(`"found_also"."runtime" <> 'EXTERNAL'`)
const anySubjectState = without(`"found".state in ('HEALTHY')`)
const anyGeneration = without('"found"."generation" = ', '0 <> ')

interface Unit {
  readonly id: string
  readonly instance: string
}
async function unit(world: World, state: 'ONLINE' | 'DEGRADED' = 'ONLINE'): Promise<Unit> {
  const id = await world.deployment({ state: 'HEALTHY' })
  const { teamId } = world.team
  const instance = await putInstance(world.stranger, {
    teamId,
    state,
    runtime: 'PROCESS',
    subjectId: id,
    instanceId: 'old',
  })
  return { id, instance }
}
const stateOf = async (world: World, id: string): Promise<string | undefined> =>
  (await world.stranger<{ state: string }[]>`select state from instance where id = ${id}`)[0]?.state

/** What happens between the question and the flip, past the triggers. */
const meanwhile = {
  'it has another run': (sql, { instance }) => sql`update instance set instance_id = 'new' where id = ${instance}`,
  'its run was cleared': (sql, { instance }) => sql`update instance set instance_id = '' where id = ${instance}`,
  'its run is not known any more': (sql, { instance }) =>
    sql`update instance set instance_id = null where id = ${instance}`,
  'it was removed': (sql, { instance }) =>
    sql`update instance set state = 'REMOVED', version = version + 1 where id = ${instance}`,
  'it is OFFLINE already': (sql, { instance }) =>
    sql`update instance set state = 'OFFLINE', version = version + 1 where id = ${instance}`,
  'it runs elsewhere now': (sql, { instance }) =>
    sql`update instance set runtime = 'EXTERNAL', incarnation = null where id = ${instance}`,
  'its row is gone': (sql, { instance }) => sql`delete from instance where id = ${instance}`,
  'its deployment is being stopped': (sql, { id }) => sql`update deployment set state = 'STOPPING' where id = ${id}`,
  'its deployment was rolled out anew': (sql, { id }) => sql`update deployment set generation = 2 where id = ${id}`,
} satisfies Record<string, (sql: Parameters<Parameters<typeof withTriggersOff>[1]>[0], unit: Unit) => unknown>
type Happens = keyof typeof meanwhile

/** A pass that asks about one run; returns what has become of its instance, and what was queued. */
async function play(world: World, happens: Happens) {
  const one = await unit(world)
  const asked: string[] = []
  const driver: Asked = {
    observeInstance: async ({ subjectId }, instanceId) => {
      if (subjectId !== one.id) return { state: 'unknown', reason: 'not of this play' }
      asked.push(instanceId)
      await withTriggersOff(world.stranger, async (sql) => void (await meanwhile[happens](sql, one)))
      return gone
    },
  }
  await passOf(world.pool.db, driver)
  return { asked, state: await stateOf(world, one.instance), operations: await operationsOf(world, one.id) }
}

const moved = { state: 'OFFLINE', operations: ['deployment.restart PENDING'] }
describe('R79 R80 the flip repeats the captured run, its state, its runtime and its generation', () => {
  test.each<[Happens, string | undefined, Mutation[]]>([
    ['it has another run', 'ONLINE', [anyRun]],
    ['its run was cleared', 'ONLINE', [anyRun, evenNone]],
    ['its run is not known any more', 'ONLINE', [anyRun, evenNone]],
    ['it was removed', 'REMOVED', [anyState]],
    ['it runs elsewhere now', 'ONLINE', [anyRuntime]],
    ['its deployment is being stopped', 'ONLINE', [anySubjectState]],
  ])('R79 R80 %s: nothing moves', async (happens, state, mutations) => {
    expect(await play(real, happens)).toEqual({ asked: ['old'], state, operations: [] })
    const mutant = await play(bare.withMutants(...mutations), happens)
    expect(mutant).toMatchObject(moved)
  })

  test('R34 R80 it is OFFLINE already: nothing more is queued', async () => {
    expect(await play(real, 'it is OFFLINE already')).toEqual({ asked: ['old'], state: 'OFFLINE', operations: [] })
    expect(await play(bare.withMutants(anyState), 'it is OFFLINE already')).toMatchObject(moved)
  })

  test('R80 its row is gone: nothing moves', async () => {
    expect(await play(real, 'its row is gone')).toEqual({ asked: ['old'], state: undefined, operations: [] })
  })

  test('R80 its deployment was rolled out anew: what was asked about is OFFLINE, and nothing is restarted', async () => {
    const left = { asked: ['old'], state: 'OFFLINE', operations: [] }
    expect(await play(real, 'its deployment was rolled out anew')).toEqual(left)
    expect(await play(bare.withMutants(anyGeneration), 'its deployment was rolled out anew')).toMatchObject(moved)
  })
})

describe('two replicas', () => {
  /** Both were told that it is gone, and come to the flip at the same time. */
  async function both(world: World) {
    const one = await unit(world)
    const driver: Asked = {
      observeInstance: async ({ subjectId }) =>
        subjectId === one.id ? gone : { state: 'unknown', reason: 'another one' },
    }
    const held = await holdRow(world.stranger, 'deployment', one.id)
    const first = underWay(passOf(world.openPool().db, driver))
    await untilBlocked(world.stranger, name)
    await world.stranger`update instance set asked_at = null where id = ${one.instance}`
    const second = underWay(passOf(world.openPool().db, driver))
    await untilBlocked(world.stranger, name, 2)
    await held.release()
    await Promise.all([first, second])
    return operationsOf(world, one.id)
  }

  test('R20 R31 R34 two replicas that have both seen it gone restart it once', async () => {
    expect(await both(real)).toEqual(['deployment.restart PENDING'])
    expect(await both(bare.withMutants(anyState, anyRun, evenNone))).toHaveLength(2)
  })

  test('R20 R39 what one replica has taken to be asked about another one leaves alone', async () => {
    const play = async (world: World) => {
      await world.stranger`update instance set asked_at = now()`
      const [one, other] = await Promise.all([unit(world), unit(world)])
      const asked: string[] = []
      const cycle = new AbortController()
      const driver: Asked = {
        observeInstance: async ({ subjectId }) => {
          asked.push(subjectId)
          // Without the stamp it would never end.
          if (asked.length > 20) cycle.abort()
          return { state: 'running', healthy: true, detail: null }
        },
      }
      const pass = () => passOf(world.openPool().db, driver, cycle.signal)
      await Promise.all([pass(), pass()])
      await pass()
      return { asked: asked.length, of: new Set(asked), both: new Set([one.id, other.id]) }
    }
    const { asked, of, both } = await play(real)
    expect([asked, of]).toEqual([2, both])
    const again = await play(
      bare.withMutants({ name: 'takeAskable', from: 'set asked_at = now()', to: 'set asked_at = null' }),
    )
    expect(again.asked).toBeGreaterThan(2)
  })
})

test('R82 a DEGRADED instance whose run is gone is restarted, too', async () => {
  const play = async (world: World) => {
    const one = await unit(world, 'DEGRADED')
    await passOf(world.pool.db, {
      observeInstance: async ({ subjectId }) => (subjectId === one.id ? gone : { state: 'unknown', reason: '' }),
    })
    return { state: await stateOf(world, one.instance), operations: await operationsOf(world, one.id) }
  }
  expect(await play(real)).toEqual(moved)
  const left = { state: 'DEGRADED', operations: [] }
  const states = `in ('STARTING', 'ONLINE', 'DEGRADED')`
  expect(
    await play(
      bare.withMutants({ name, from: `"found_also".state ${states}`, to: `"found_also".state in ('ONLINE')` }),
    ),
  ).toEqual(left)
  expect(
    await play(bare.withMutants({ name: 'takeAskable', from: `state ${states}`, to: `state in ('ONLINE')` })),
  ).toEqual(left)
})

test('what runs elsewhere is never asked about and never restarted', async () => {
  const { teamId } = real.team
  const id = await real.deployment({ state: 'HEALTHY' })
  const instance = await putInstance(real.stranger, { teamId, state: 'ONLINE', subjectId: id, heardSecondsAgo: 10_000 })
  const asked: string[] = []
  const driver: Asked = {
    observeInstance: async ({ subjectId }) => {
      asked.push(subjectId)
      return gone
    },
  }
  await passOf(real.pool.db, driver)
  expect([asked.includes(id), await stateOf(real, instance), await operationsOf(real, id)]).toEqual([
    false,
    'OFFLINE',
    [],
  ])
  await passOf(real.pool.db, driver)
  expect(await operationsOf(real, id)).toEqual([])
})

test('R29 R31 the net under restarts queues nothing for what has got its work since it looked', async () => {
  const net = 'requeueDeploymentRestart'
  const key = 4_711
  /** Two passes look at the same time; the second one decides when the first one has queued. */
  const play = async (world: World, ...mutations: Mutation[]) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const { teamId } = world.team
    const facts = { teamId, state: 'OFFLINE', runtime: 'PROCESS', subjectId: id, instanceId: null } as const
    const instance = await putInstance(world.stranger, facts)
    await world.stranger`update instance set restart_due_at = now() - interval '1 hour' where id = ${instance}`
    const driver: Asked = { observeInstance: async () => ({ state: 'unknown', reason: 'nobody asks' }) }
    const stall = await hold(world.stranger, `select pg_advisory_xact_lock(${key})`)
    const late = underWay(passOf(world.openPool(2, [...stalling(net, 'deployment', key), ...mutations]).db, driver))
    await untilBlocked(world.stranger, net)
    await passOf(world.pool.db, driver)
    await stall.release()
    await late
    return operationsOf(world, id)
  }
  expect(await play(real)).toEqual(['deployment.restart PENDING'])
  const guard = { name: net, from: '"found"."version" = (select', to: '0 <> (select' }
  expect(await play(bare, guard)).toHaveLength(2)
})
