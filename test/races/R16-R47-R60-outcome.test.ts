// R16, R47, R60: what may be written as the outcome of work, by whom, and out of which answers. Each race is played twice
// where its guard is a condition of a statement: as it is, and with that condition taken out on the wire.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Outcome } from '../../src/drivers/outcome.ts'
import type { RuntimeDriver } from '../../src/drivers/runtime/driver.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { openStage, type Stage, until } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'

const hourMs = 3_600_000
let stage: Stage
beforeEach(async () => {
  stage = await openStage()
})
afterEach(() => stage.close())

/**
 * The first worker believes in its claim while the lease is over for the database; a second one has it and is at work.
 * The first one's driver answers "done" then; what it writes is seen before the second one finds the app gone.
 */
async function lateSuccess(...mutations: Mutation[]) {
  const first = stage.replica({ timing: { renewEveryMs: hourMs }, wrap: mutating(...mutations) })
  const working = first.driver.pauseAfter('ensure')
  const id = await stage.deploy()
  await working.reached
  const healthy = first.driver.pauseAfter('ensure')
  working.release()
  await healthy.reached
  // It takes no part in what follows, except with its answer.
  const draining = first.dispatcher.drain(hourMs)
  await stage.beneath((sql) => sql`update operation set due_at = now() where subject_id = ${id}`)
  const second = stage.replica()
  const looking = second.driver.pauseBefore('observe')
  await looking.reached
  healthy.release()
  await draining
  const after = { deployment: await stage.deployment(id), operation: (await stage.operations(id))[0] }
  const { incarnation } = after.deployment
  stage.driver.crash({ subjectId: id, incarnation }, 'The app exited with code 1')
  looking.release()
  return { id, after }
}

test('R16 a worker that was given up for dead and then succeeds writes nothing: the claim decides', async () => {
  const { id, after } = await lateSuccess()
  expect(after.deployment.state).toBe('DEPLOYING')
  expect(after.operation).toMatchObject({ state: 'RUNNING', attempt: 2, claimedBy: 'worker-2' })
  expect(await stage.reaches(id, 'FAILED')).toMatchObject({ stateReason: 'The app exited with code 1', url: null })
  expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 2 }])
})

test('R16 without the claim in its statement it would write success over the work of another', async () => {
  const claim = {
    name: 'markDeploymentHealthy',
    from: '"found_also"."claim_token" = ',
    to: `'' <> `,
  }
  const { after } = await lateSuccess(claim)
  expect(after.deployment.state).toBe('HEALTHY')
  expect(after.operation).toMatchObject({ state: 'SUCCEEDED', attempt: 2 })
})

test.each([
  ['unknown', () => ({ kind: 'unknown', reason: 'no answer' })],
  ['a word that nobody knows', () => ({ kind: 'succeeded', value: { instanceId: 'i', url: 'http://u' } })],
  ['a value without a word', () => ({ value: { instanceId: 'i', url: 'http://u' } })],
  ['true', () => true],
  ['nothing', () => undefined],
  ['an exception', () => Promise.reject(new Error('x'))],
])('R47 an answer that is not known is not success: %s', async (_what, answer) => {
  const unclear = (call: 'ensure' | 'remove') =>
    stage.replica({
      effects: (db, driver) =>
        deploymentEffects(
          db,
          { ...driver, [call]: async () => (await answer()) as Outcome<never> } as RuntimeDriver,
          testSealing,
        ),
    })
  const first = unclear('ensure')
  const id = await stage.deploy()
  await stage.work(id, 'UNKNOWN')
  expect(await stage.deployment(id)).toMatchObject({ state: 'DEPLOYING', url: null, instanceId: null })
  await first.dispatcher.drain(0)
  await stage.beneath((sql) => sql`update deployment set state = 'DELETING', generation = 2 where id = ${id}`)
  await stage.beneath(
    (sql) => sql`update operation set state = 'PENDING', generation = 2, kind = 'deployment.tear_down',
    due_at = now() where subject_id = ${id}`,
  )
  unclear('remove')
  await stage.work(id, 'UNKNOWN')
  expect((await stage.deployment(id)).state).toBe('DELETING')
})

test('R60 a roll-out whose app crashes is FAILED with its reason, whatever the runtime shows afterwards', async () => {
  const { driver } = stage.replica()
  const id = await stage.deploy({ image: 'crashing' })
  const { incarnation, stateReason } = await stage.reaches(id, 'FAILED')
  expect(stateReason).toBe('The app exited with code 1 before its health check passed')
  const shown = await driver.observe({ subjectId: id, incarnation }, AbortSignal.timeout(1_000))
  expect(shown).toMatchObject({ kind: 'done', value: { state: 'exited' } })
  const [work] = await stage.operations(id)
  expect(work).toMatchObject({ state: 'FAILED', outcome: stateReason })
  // Both in one statement: nobody ever sees the one without the other.
  const events = await stage.sql`
    select kind, transition_id from event where kind in ('markDeploymentFailed', 'failOperation') order by id`
  expect(events.map(({ kind }) => kind)).toEqual(['markDeploymentFailed', 'failOperation'])
  expect(events[0]?.transition_id).toBe(events[1]?.transition_id)
  await until(() => expect(stage.driver.liveRuns()).toEqual([]))
})
