// A restart against whatever else is wanted of the deployment: a redeploy, a stop, a deletion, in both orders. The later wish wins,
// at most one run lives at any time, and the run of an outdated wish never comes back.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { deleteDeployment, redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import { askAgain, healthyDeployment, instanceOf, instancesOf, passOf, restartsDue } from '../instances/fixture.ts'
import { hold, holdRow, mutating, underWay, untilBlocked } from '../interleave.ts'
import { openStage, type Replica, type ReplicaOptions, type Stage, startsOf, until } from '../loops/fixture.ts'

let stage: Stage
let db: ReturnType<Stage['open']>['db']
const replicas: Replica[] = []
beforeAll(async () => {
  stage = await openStage()
  db = stage.open().db
})
afterEach(async () => {
  for (const { driver } of replicas) driver.clear()
  await Promise.all(replicas.splice(0).map(({ dispatcher }) => dispatcher.drain(0)))
  await stage.beneath((sql) => sql`update instance set asked_at = now() + interval '1 hour', restart_due_at = null`)
})
afterAll(() => stage.close())

const replica = (options?: ReplicaOptions): Replica => {
  const made = stage.replica(options)
  replicas.push(made)
  return made
}

const wishes = {
  redeploy: {
    ask: (id: string) => redeployDeployment(stage.context, { id }),
    rule: 'redeployDeployment',
    end: 'HEALTHY',
    units: ['REMOVED', 'ONLINE'],
    runs: 1,
  },
  stop: {
    ask: (id: string) => stopDeployment(stage.context, { id }),
    rule: 'stopDeployment',
    end: 'STOPPED',
    units: ['REMOVED'],
    runs: 0,
  },
  delete: {
    ask: (id: string) => deleteDeployment(stage.context, { id }),
    rule: 'deleteDeployment',
    end: 'DELETED',
    units: ['REMOVED'],
    runs: 0,
  },
} as const
type Wish = keyof typeof wishes
const all = Object.keys(wishes) as Wish[]

const states = async (id: string) => (await instancesOf(stage.sql, id)).map(({ state }) => state)
const runsOf = (id: string) => stage.driver.liveRuns().filter(({ subjectId }) => subjectId === id)
/** The most runs that ever lived at once, as the world remembers. */
function mostRuns(id: string): number {
  let [living, most] = [0, 0]
  for (const { ref, effects } of stage.driver.log()) {
    if (ref?.subjectId !== id) continue
    for (const { effect } of effects) {
      if (effect === 'started') living++
      if (effect === 'ended') living--
      most = Math.max(most, living)
    }
  }
  return most
}

describe('R30 R32', () => {
  test.each(all)(
    'R30 R32 %s while the restart is at the driver: the start that comes late is kept out',
    async (wish) => {
      const { driver } = replica()
      const { id, ref } = await healthyDeployment(stage)
      stage.driver.crash(ref)
      const gate = driver.pauseBefore('ensure', (call) => call.ref?.subjectId === id, { deaf: true })
      await passOf(db, stage.driver)
      await gate.reached
      expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'STARTING', restarts: 1 })
      await wishes[wish].ask(id)
      // The subject is the restart's until it has let go.
      expect((await stage.operations(id)).map(({ kind, state }) => `${kind} ${state}`).slice(1)).toEqual([
        'deployment.restart RUNNING',
        expect.stringMatching(/ PENDING$/),
      ])
      gate.release()
      const { end, units, runs } = wishes[wish]
      await stage.reaches(id, end)
      await until(async () => expect(await states(id)).toEqual(units))
      expect([runsOf(id).length, mostRuns(id)]).toEqual([runs, 1])
      await stage.work(id, 'SUCCEEDED')
      expect((await stage.operations(id))[1]).toMatchObject({ kind: 'deployment.restart', state: 'SUPERSEDED' })
    },
  )

  test.each(all)('R30 R32 %s before the restart has begun: it is superseded and starts nothing', async (wish) => {
    const first = replica()
    const { id, ref } = await healthyDeployment(stage)
    await first.dispatcher.drain(0)
    stage.driver.crash(ref)
    await passOf(db, stage.driver)
    const { ask, end, units, runs } = wishes[wish]
    await ask(id)
    replica()
    await stage.reaches(id, end)
    await until(async () => expect(await states(id)).toEqual(units))
    expect([runsOf(id).length, startsOf(stage.driver, id)]).toEqual([runs, 1 + runs])
    expect((await stage.operations(id))[1]).toMatchObject({
      kind: 'deployment.restart',
      state: 'SUPERSEDED',
      attempt: 0,
    })
  })

  test.each(all)('R29 R30 R32 a flip behind a %s restarts nothing', async (wish) => {
    const first = replica()
    const { id, ref } = await healthyDeployment(stage)
    await first.dispatcher.drain(0)
    stage.driver.crash(ref)
    const { ask, rule } = wishes[wish]
    const held = await holdRow(stage.sql, 'deployment', id)
    const asked = underWay(ask(id))
    await untilBlocked(stage.sql, rule)
    const pass = underWay(passOf(db, stage.driver))
    await untilBlocked(stage.sql, 'restartDeployment')
    await held.release()
    expect(await asked).not.toHaveProperty('refusal')
    await pass
    expect((await stage.operations(id)).map(({ kind }) => kind)).not.toContain('deployment.restart')
    expect((await stage.operations(id)).at(-1)).toMatchObject({ state: 'PENDING', generation: 2 })
  })

  test('R29 without the guards on state and generation the flip would restart what is being stopped', async () => {
    const first = replica()
    const { id, ref } = await healthyDeployment(stage)
    await first.dispatcher.drain(0)
    stage.driver.crash(ref)
    await stopDeployment(stage.context, { id })
    const name = 'restartDeployment'
    const careless = stage.open({
      wrap: mutating(
        { name, from: `"found".state in ('HEALTHY')`, to: 'true' },
        { name, from: '"found"."generation" = ', to: '0 <> ' },
      ),
    })
    await passOf(careless.db, stage.driver)
    expect((await stage.operations(id)).map(({ kind }) => kind)).toContain('deployment.restart')
  })

  test('R31 R32 one operation of a deployment at a time: without the claim’s guard a stop would run beside the restart', async () => {
    const careless = {
      name: 'claimOperation:Deployment',
      from: 'not exists (select 1 from "operation" o where ',
      to: 'not exists (select 1 from "operation" o where false and ',
    }
    const index = 'operation_one_per_subject'
    const [made] = await stage.sql<{ sql: string }[]>`select pg_get_indexdef(${index}::regclass) as sql`
    await stage.sql.unsafe(`drop index ${index}`)
    try {
      const { driver } = replica({ wrap: mutating(careless) })
      const { id, ref } = await healthyDeployment(stage)
      stage.driver.crash(ref)
      const gate = driver.pauseBefore('ensure', (call) => call.ref?.subjectId === id, { deaf: true })
      await passOf(db, stage.driver)
      await gate.reached
      await stopDeployment(stage.context, { id })
      await stage.reaches(id, 'STOPPED')
      // Even then nothing comes back: the driver knows the newer generation.
      gate.release()
      await until(async () => expect((await stage.operations(id))[1]?.state).toBe('SUPERSEDED'))
      expect(runsOf(id)).toEqual([])
    } finally {
      for (const { driver } of replicas) driver.clear()
      await Promise.all(replicas.splice(0).map(({ dispatcher }) => dispatcher.drain(0)))
      await stage.sql.unsafe(String(made?.sql))
    }
  })
})

test('R59 R78 the worker dies between the flip and the effect, and after the effect: one restart, and one run', async () => {
  const first = replica()
  const { id, ref } = await healthyDeployment(stage)
  const before = await instanceOf(stage.sql, id)
  await first.dispatcher.drain(0)
  stage.driver.crash(ref)
  await passOf(db, stage.driver)
  // It is dead: nobody has the work yet. The next one dies after the app was started, before it could say so.
  const second = replica()
  const gate = second.driver.pauseAfter('ensure', (call) => call.ref?.subjectId === id)
  await gate.reached
  const [dead] = await stage.sql<
    { token: string }[]
  >`select claim_token as token from operation where subject_id = ${id} and state = 'RUNNING'`
  const renewals = await hold(stage.sql, `select 1 from operation where subject_id = '${id}' for update`)
  await renewals.run(
    `update operation set due_at = now() - interval '1 second' where subject_id = '${id}' and claim_token = '${dead?.token}'`,
  )
  replica()
  await renewals.release()
  await until(async () => expect(await instanceOf(stage.sql, id)).toMatchObject({ state: 'ONLINE', restarts: 1 }))
  gate.release()
  const after = await instanceOf(stage.sql, id)
  expect(after.instanceId).not.toBe(before.instanceId)
  expect([startsOf(stage.driver, id), mostRuns(id)]).toEqual([2, 1])
  await restartsDue(stage)
  await askAgain(stage)
  await passOf(db, stage.driver)
  expect(startsOf(stage.driver, id)).toBe(2)
})
