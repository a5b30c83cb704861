// R59, R76, R78, R103: workers that die, at any point and in any number, cost some seconds and nothing else.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { timing } from '../../src/loops/claim.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { openStage, type ReplicaOptions, type Stage, startsOf, until } from '../loops/fixture.ts'
import { contextFor, testSealing } from '../row.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

/** A replica that can die: from then on none of its statements arrives, and none of its driver calls begins. */
function mortal(options: ReplicaOptions = {}) {
  let dead = false
  const gone = () => Promise.reject(new DatabaseFault('unavailable', 'dead'))
  const replica = stage.replica({
    ...options,
    wrap: (channel) => ({ run: (statement) => (dead ? gone() : channel.run(statement)) }),
  })
  return {
    ...replica,
    die: () => {
      dead = true
    },
  }
}

const leaseEnds = (id: string) =>
  stage.beneath((sql) => sql`update operation set due_at = now() where subject_id = ${id} and state = 'RUNNING'`)

test.each([
  ['while it looks the image up', 'BUILDING', 'resolveImage', 'before'],
  ['before the app is started', 'DEPLOYING', 'ensure', 'before'],
  ['after the app was started', 'DEPLOYING', 'ensure', 'after'],
] as const)('R59 a worker that dies %s leaves nothing for ever in %s', async (_when, state, call, side) => {
  // Its lease is short, so that what is left of it lets go soon.
  const first = mortal({ timing: { leaseMs: 2_000, marginMs: 1_000 } })
  const gate = first.driver[side === 'before' ? 'pauseBefore' : 'pauseAfter'](call)
  const id = await stage.deploy()
  await gate.reached
  first.die()
  expect((await stage.deployment(id)).state).toBe(state)
  await leaseEnds(id)
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
  expect(await stage.operations(id)).toMatchObject([{ state: 'SUCCEEDED', attempt: 2, failures: 1 }])
  expect(startsOf(stage.driver, id)).toBe(1)
  gate.release()
  await until(() => expect(first.dispatcher.running()).toBe(0))
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('R59 a claim that did not end would leave it there: claims of work under a lease that is over are what helps', async () => {
  const first = mortal({ timing: { leaseMs: 2_000, marginMs: 1_000 } })
  const gate = first.driver.pauseBefore('resolveImage')
  const id = await stage.deploy()
  await gate.reached
  first.die()
  await leaseEnds(id)
  const passes: string[] = []
  const noReclaim: Mutation = {
    name: 'claimOperation:Deployment',
    from: `"operation"."state" in ('PENDING', 'RUNNING', 'UNKNOWN')`,
    to: `"operation"."state" in ('PENDING', 'UNKNOWN')`,
  }
  stage.replica({
    wrap: (channel) => ({
      run(statement) {
        passes.push(statementName(statement.sql) ?? '')
        return mutating(noReclaim)(channel).run(statement)
      },
    }),
  })
  await until(() => expect(passes.filter((name) => name === 'read:isAnythingDue').length).toBeGreaterThan(5))
  expect(await stage.operations(id)).toMatchObject([{ state: 'RUNNING', attempt: 1 }])
  expect((await stage.deployment(id)).state).toBe('BUILDING')
})

test('R76 a roll-out whose time ran out again and again can still be asked about: FAILED, with the reason', async () => {
  const { driver } = stage.replica({ timing: { callTimeoutMs: 20 } })
  driver.faultNext('ensure', { kind: 'hang', done: false }, 100)
  const id = await stage.deploy()
  await until(async () => {
    await stage.dueNow()
    expect((await stage.deployment(id)).state).toBe('FAILED')
  })
  const { stateReason } = await stage.deployment(id)
  expect(stateReason).toMatch(
    /^gave up after 8 failures; the last one: the call was given up before the driver answered/,
  )
  expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', outcome: stateReason }])
})

test('R78 what was accepted is done though whoever accepted it is gone before anybody worked on it', async () => {
  const pool = stage.open({ purpose: 'api' })
  const context = { ...stage.context, db: contextFor(pool.db, stage.context.actor).db }
  const id = await stage.deploy({}, context)
  await pool.close({ timeoutMs: 0 })
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
})

test('R78 a claim whose answer is lost with its worker is had again, and the work is done once', async () => {
  let claims = 0
  const first = stage.replica({
    timing: { leaseMs: 1_000 },
    wrap: (channel) => ({
      async run(statement) {
        const claim = statementName(statement.sql) === 'claimOperation:Deployment'
        if (claims > 0) throw new DatabaseFault('unavailable', 'dead')
        const rows = await channel.run(statement)
        if (claim && rows.length > 0) claims++
        if (claim && rows.length > 0) throw new DatabaseFault('unknown-outcome', 'dead')
        return rows
      },
    }),
  })
  const id = await stage.deploy()
  await stage.work(id, 'RUNNING')
  expect(first.dispatcher.running()).toBe(0)
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
  expect(await stage.operations(id)).toMatchObject([{ attempt: 2, failures: 1, claimedBy: 'worker-2' }])
  expect(startsOf(stage.driver, id)).toBe(1)
})

test('R103 dead work is begun again when its lease is over, in seconds and by the clock of the database', async () => {
  expect(timing.leaseMs + timing.pollMs * 1.1).toBeLessThan(15_000)
  expect(timing.renewEveryMs * 3).toBeLessThanOrEqual(timing.leaseMs - timing.marginMs)
  const first = mortal({ timing: { leaseMs: 1_000, marginMs: 200, renewEveryMs: 100 } })
  const gate = first.driver.pauseBefore('ensure', undefined, { deaf: true })
  const id = await stage.deploy()
  await gate.reached
  // Its heartbeat keeps it as long as it lives: the lease ends later than the claim would have without it.
  const [claimed] = await stage.sql`select occurred_at as at from event where kind = 'claimOperation'`
  await until(async () => {
    const [row] =
      await stage.sql`select due_at - ${claimed?.at} > interval '1.3 seconds' as renewed from operation where subject_id = ${id}`
    expect(row?.renewed).toBe(true)
  })
  first.die()
  const second = stage.replica({ effects: (db, driver) => deploymentEffects(db, driver, testSealing) })
  await stage.reaches(id, 'HEALTHY')
  expect(await stage.operations(id)).toMatchObject([{ attempt: 2, claimedBy: second.workerId }])
  const [again] =
    await stage.sql`select max(occurred_at) - ${claimed?.at} < interval '5 seconds' as soon from event where kind = 'claimOperation'`
  expect(again?.soon).toBe(true)
  gate.release()
})
