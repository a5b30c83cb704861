// R90, R102, R104: replicas that share a database and come and go: connections and locks are not held while a driver is
// asked, a replica that leaves hands over, and one that is older than the work leaves it alone.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { statementName } from '../../src/db/session.ts'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { openStage, type Stage, startsOf, until } from '../loops/fixture.ts'

let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

test('R90 sixteen calls to a driver that stand still hold no connection and no lock; the one connection serves all', async () => {
  const { driver, pool, dispatcher } = stage.replica({
    slots: 1,
    timing: { renewEveryMs: 50, leaseMs: 2_000, marginMs: 500 },
  })
  const gates = Array.from({ length: 16 }, () => driver.pauseBefore('ensure'))
  const ids = await Promise.all(Array.from({ length: 16 }, () => stage.deploy()))
  await Promise.all(gates.map((gate) => gate.reached))
  expect(dispatcher.running()).toBe(16)
  await until(() => expect(pool.stats()).toMatchObject({ busy: 0, waiting: 0 }))
  // A stranger gets every row at once, and whoever owns them may change them.
  await stage.sql.begin(async (sql) => {
    await sql`select 1 from deployment for update nowait`
    await sql`select 1 from team for update nowait`
  })
  await redeployDeployment(stage.context, { id: ids[0] ?? '' })
  await until(async () => {
    const leases = (await stage.operations()).filter(({ state }) => state === 'RUNNING').map(({ dueInMs }) => dueInMs)
    expect(Math.min(...leases)).toBeGreaterThan(1_500)
  })
  for (const gate of gates) gate.release()
  for (const id of ids) await stage.reaches(id, 'HEALTHY')
  const first = (await stage.operations()).filter(({ generation }) => generation === 1)
  for (const row of first) expect(row).toMatchObject({ attempt: 1, failures: 0 })
})

test('R102 a rolling deploy: the old replica ends what it has begun, the new one takes the rest, nothing is aborted', async () => {
  const old = stage.replica()
  const id = await stage.deploy()
  const gate = old.driver.pauseAfter('ensure')
  await gate.reached
  const draining = old.dispatcher.drain(20_000)
  const fresh = stage.replica()
  const next = await stage.deploy()
  await stage.reaches(next, 'HEALTHY')
  expect((await stage.operations(id))[0]).toMatchObject({ state: 'RUNNING', claimedBy: old.workerId })
  gate.release()
  await draining
  // The first answer was "working": the rest is the new one's, at once, without a second start.
  await stage.reaches(id, 'HEALTHY')
  expect((await stage.operations(id))[0]).toMatchObject({ claimedBy: fresh.workerId, failures: 0 })
  expect([startsOf(stage.driver, id), startsOf(stage.driver, next)]).toEqual([1, 1])
  const aborted = stage.driver.log().filter(({ result }) => result === 'unreachable' || result === 'unknown')
  expect(aborted).toEqual([])
})

test('R104 work of a kind that this version does not know is left for one that does, in every state, without spinning', async () => {
  const states = ['PENDING', 'RUNNING', 'UNKNOWN'] as const
  const ids = await Promise.all(states.map(() => stage.deploy()))
  await stage.beneath(
    (sql) => sql`update operation set kind = 'deployment.teleport', due_at = now() - interval '1 hour'`,
  )
  for (const [n, id] of ids.entries()) {
    await stage.beneath(
      (sql) => sql`update operation set state = ${states[n] ?? ''}, claim_token = 'x' where subject_id = ${id}`,
    )
  }
  // Outdated, too: a newer wish of a kind that is known waits behind one that is not.
  await stage.beneath((sql) => sql`update deployment set generation = 2 where id = ${ids[0] ?? ''}`)
  const before = await stage.operations()
  const ran: string[] = []
  stage.replica({
    wrap: (channel) => ({
      run(statement) {
        ran.push(statementName(statement.sql) ?? '')
        return channel.run(statement)
      },
    }),
  })
  await until(() => expect(ran.length).toBeGreaterThan(5))
  expect(new Set(ran)).toEqual(new Set(['read:isAnythingDue']))
  const known = await stage.deploy()
  await stage.reaches(known, 'HEALTHY')
  const facts = (rows: typeof before) =>
    rows.filter(({ kind }) => kind === 'deployment.teleport').map(({ dueInMs: _, ...row }) => row)
  expect(facts(await stage.operations())).toEqual(facts(before))
})
