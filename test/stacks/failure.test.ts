// What drivers and deaths may do to a stack: no service runs twice, none is lost, what is unknown of one is looked at before
// anything is done again, failures are bounded for a roll-out and never for a teardown.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { deleteStack } from '../../src/resolvers/stack.ts'
import { until } from '../loops/fixture.ts'
import { on, openStackStage, type StackReplicaOptions, type StackStage } from './fixture.ts'
import { serviceOf } from './row.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

const once = { web: 1, api: 1 }
const callsOn = (id: string, name: string) =>
  stage.driver
    .log()
    .filter(({ ref }) => ref?.subjectId === id && ref.incarnation.endsWith(`-${name}`))
    .map(({ call, result }) => `${call} ${result}`)

describe('an unknown outcome of one service', () => {
  test('that did happen is adopted, and the others are not touched again', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: true }, 2, on('api'))
    const id = await stage.create(['web', 'api'])
    await stage.hurriedTo(id, 'HEALTHY')
    expect(stage.starts(id)).toEqual(once)
    expect(callsOn(id, 'web')).toEqual(['reserve done', 'ensure working', 'ensure done'])
    expect(callsOn(id, 'api')).toEqual(
      expect.arrayContaining(['reserve done', 'ensure unknown', 'observe done', 'ensure unknown', 'observe done']),
    )
  })

  test('is what the claim ends with, whatever else was only not possible: it is observed before it is done again', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unreachable' }, 1, on('web'))
    driver.faultNext('ensure', { kind: 'unknown', done: true }, 1, on('api'))
    // The services are looked through in their order: the first one must not hide what is unknown of the second.
    const id = await stage.create(['web', 'api'])
    await until(async () => {
      expect((await stage.operations(id))[0]).toMatchObject({ failures: 1 })
    })
    await stage.hurriedTo(id, 'HEALTHY')
    expect(callsOn(id, 'api').slice(0, 3)).toEqual(['reserve done', 'ensure unknown', 'observe done'])
    const [first] = await stage.sql<{ to: string }[]>`
      select to_state as "to" from event where operation_id in (select id from operation where subject_id = ${id})
        and kind in ('markOperationUnknown', 'postponeOperation') order by id limit 1`
    expect(first?.to).toBe('UNKNOWN')
    expect(stage.starts(id)).toEqual(once)
  })

  test('is not done again while it cannot be observed', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: false }, 1, on('api'))
    driver.faultNext('observe', { kind: 'unreachable' }, 2, on('api'))
    const id = await stage.create(['web', 'api'])
    await stage.hurriedTo(id, 'HEALTHY')
    expect(callsOn(id, 'api').slice(1, 5)).toEqual([
      'ensure unknown',
      'observe unreachable',
      'observe unreachable',
      'observe done',
    ])
    expect(stage.starts(id)).toEqual(once)
  })

  test('of a reservation, too, starts nothing before the address is known', async () => {
    const { driver } = stage.replica()
    driver.faultNext('reserve', { kind: 'unknown', done: true }, 1, on('api'))
    const id = await stage.create(['web', 'api'])
    await stage.hurriedTo(id, 'HEALTHY')
    expect(stage.starts(id)).toEqual(once)
  })
})

test.each([
  ['hangs', { kind: 'hang', done: true }],
  ['throws', { kind: 'throw' }],
  ['cannot be reached', { kind: 'unreachable' }],
] as const)('a driver that %s at one service costs a try, not a service', async (_what, fault) => {
  const { driver } = stage.replica({ timing: { callTimeoutMs: 1_000 } })
  driver.faultNext('ensure', fault, 1, on('api'))
  const id = await stage.create(['web', 'api'])
  await stage.hurriedTo(id, 'HEALTHY')
  expect(stage.starts(id)).toEqual(once)
  expect((await stage.operations(id))[0]).toMatchObject({ state: 'SUCCEEDED', attempt: 2, failures: 1 })
})

describe('failures of a roll-out are bounded:', () => {
  test('FAILED says which service and why, with what failed before; nothing of it runs, the others do', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unreachable' }, 100, on('api'))
    const id = await stage.create([serviceOf('web', 'hello'), serviceOf('bad', 'crashing'), serviceOf('api', 'hello')])
    const { stateReason } = await stage.hurriedTo(id, 'FAILED')
    const last = 'gave up after 8 failures; the last one: unreachable: api: The fake runtime is unreachable'
    expect(stateReason).toBe(`bad: The app exited with code 1 before its health check passed; ${last}`)
    expect(await stage.told(id)).toMatchObject({ web: 'HEALTHY', api: `FAILED: ${last}` })
    expect(Object.keys(stage.running(id))).toEqual(['web'])
    expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 8 }])
  })

  test('what may have been started all the same is stopped', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'unknown', done: true }, 100, on('api'))
    driver.faultNext('observe', { kind: 'unreachable' }, 100, on('api'))
    const id = await stage.create(['web', 'api'])
    await stage.hurriedTo(id, 'FAILED')
    expect(stage.starts(id)).toEqual(once)
    expect(Object.keys(stage.running(id))).toEqual(['web'])
  })

  test('what kills every worker that takes it is given up', async () => {
    const id = await stage.create(['web', 'api'])
    await stage.beneath(
      (
        sql,
      ) => sql`update operation set state = 'RUNNING', claim_token = 'dead', claimed_by = 'dead', attempt = 8, failures = 7,
        due_at = now() - interval '1 second' where subject_id = ${id}`,
    )
    stage.replica()
    const { stateReason } = await stage.comesTo(id, 'FAILED')
    expect(stateReason).toBe('gave up after 8 failures; the last one: its worker died')
    expect(stage.starts(id)).toEqual({})
  })

  test('a service that is refused and cannot be stopped either is open until it is', async () => {
    const { driver } = stage.replica()
    driver.faultNext('stop', { kind: 'unreachable' }, 2, on('api'))
    driver.faultNext('ensure', { kind: 'refuse', reason: 'the disk is full' }, 3, on('api'))
    const id = await stage.create(['web', 'api'])
    const { stateReason } = await stage.hurriedTo(id, 'FAILED')
    expect(stateReason).toBe('api: the disk is full')
    expect((await stage.operations(id))[0]).toMatchObject({ attempt: 3, failures: 2 })
  })
})

test('a teardown never runs out of tries, and is over when the driver has said of every service that it is gone', async () => {
  const { driver } = stage.replica()
  const id = await stage.create(['web', 'api', 'db'])
  await stage.comesTo(id, 'HEALTHY')
  driver.faultNext('remove', { kind: 'unreachable' }, 4, on('api'))
  driver.faultNext('remove', { kind: 'refuse', reason: 'the name is not ours' }, 3, on('api'))
  driver.faultNext('remove', { kind: 'unknown', done: false }, 3, on('db'))
  driver.faultNext('remove', { kind: 'throw' }, 2, on('db'))
  await deleteStack(stage.context, { id })
  const names = () => Object.keys(stage.running(id)).sort()
  await until(() => expect(names()).toEqual(['api', 'db']))
  expect(await stage.stack(id)).toMatchObject({ state: 'DELETING' })
  await stage.hurriedTo(id, 'DELETED')
  expect((await stage.operations(id)).at(-1)).toMatchObject({ state: 'SUCCEEDED', failures: 7 })
  expect(names()).toEqual([])
})

describe('a worker that dies', () => {
  /** A replica that can die: from then on none of its statements arrives. Its leases are short, so that it soon lets go. */
  function mortal(dieAt: (name: string) => boolean = () => false, timing: StackReplicaOptions['timing'] = {}) {
    let dead = false
    const replica = stage.replica({
      timing: { leaseMs: 1_500, marginMs: 900, ...timing },
      wrap: (channel) => ({
        async run(statement) {
          if (dead) throw new DatabaseFault('unavailable', 'dead')
          const rows = await channel.run(statement)
          if (dieAt(statementName(statement.sql) ?? '')) {
            dead = true
            throw new DatabaseFault('unknown-outcome', 'dead')
          }
          return rows
        },
      }),
    })
    const die = () => {
      dead = true
    }
    return { ...replica, die }
  }
  const leaseEnds = (id: string) =>
    stage.beneath((sql) => sql`update operation set due_at = now() where subject_id = ${id} and state = 'RUNNING'`)

  test.each([
    ['before any service is started', 'reserve', 'web', 'before'],
    ['after the address of one was reserved', 'reserve', 'web', 'after'],
    ['before the last one is started', 'ensure', 'api', 'before'],
    ['after the last one was started', 'ensure', 'api', 'after'],
  ] as const)('%s: every service runs, and was started once', async (_when, call, name, side) => {
    const first = mortal()
    const gate = first.driver[side === 'before' ? 'pauseBefore' : 'pauseAfter'](call, on(name))
    const id = await stage.create(['web', 'api'])
    await gate.reached
    if (name === 'api') await until(async () => expect((await stage.told(id)).web).toBe('HEALTHY'))
    first.die()
    await leaseEnds(id)
    stage.replica()
    await stage.comesTo(id, 'HEALTHY')
    gate.release()
    // What it comes back with is outdated, at the driver and at the row.
    await until(() => expect(first.dispatcher.running()).toBe(0))
    expect(stage.starts(id)).toEqual(once)
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUCCEEDED'])
  })

  test.each([
    ['when it has stored the addresses', 'rollOutStack'],
    ['when it has stored what became of the first service', 'progressStack'],
    ['when it has stored the end', 'markStackHealthy'],
  ])('%s: nothing is done twice and nothing is forgotten', async (_when, name) => {
    mortal((statement) => statement === name, { leaseMs: 600, marginMs: 300 })
    const id = await stage.create(['web', 'api'])
    await until(async () => {
      const kinds = await stage.sql`select 1 from event where subject_id = ${id} and kind = ${name}`
      expect(kinds.length).toBeGreaterThan(0)
    })
    await leaseEnds(id)
    stage.replica()
    await stage.comesTo(id, 'HEALTHY')
    expect(stage.starts(id)).toEqual(once)
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUCCEEDED'])
  })

  test('in the middle of a teardown leaves it to the next one', async () => {
    const first = mortal()
    const id = await stage.create(['web', 'api'])
    await stage.comesTo(id, 'HEALTHY')
    const gate = first.driver.pauseBefore('remove', on('api'))
    await deleteStack(stage.context, { id })
    await gate.reached
    first.die()
    await leaseEnds(id)
    stage.replica()
    await stage.comesTo(id, 'DELETED')
    expect(stage.running(id)).toEqual({})
    gate.release()
  })
})

test('a claim that cannot go on ends when all that it has begun has ended: no service is worked on by two', async () => {
  let thrown = 0
  let passes = 0
  const { driver } = stage.replica({
    wrap: (channel) => ({
      async run(statement) {
        const name = statementName(statement.sql)
        if (name === 'read:isAnythingDue' && thrown > 0) passes++
        if (name === 'progressStack' && thrown++ === 0) throw new DatabaseFault('unavailable', 'for a moment')
        return channel.run(statement)
      },
    }),
  })
  const gate = driver.pauseBefore('ensure', on('api'))
  const id = await stage.create(['web', 'api'])
  await gate.reached
  await until(() => expect(passes).toBeGreaterThan(5))
  expect(await stage.operations(id)).toMatchObject([{ state: 'RUNNING', attempt: 1 }])
  gate.release()
  await stage.hurriedTo(id, 'HEALTHY')
  expect(stage.starts(id)).toEqual(once)
})

test('a replica that drains in the middle gives the roll-out back; what it had settled is not done again', async () => {
  const first = stage.replica()
  const gate = first.driver.pauseBefore('ensure', on('api'))
  const id = await stage.create(['web', 'api'])
  await gate.reached
  await until(async () => expect((await stage.told(id)).web).toBe('HEALTHY'))
  const drained = first.dispatcher.drain(0)
  gate.release()
  await drained
  stage.replica()
  await stage.comesTo(id, 'HEALTHY')
  expect(stage.starts(id)).toEqual(once)
  expect(callsOn(id, 'web')).toEqual(['reserve done', 'ensure working', 'ensure done'])
})
