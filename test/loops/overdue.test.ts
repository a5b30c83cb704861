// Work that may fail is not for ever: a driver that says "working" again and again is given up when the work is an hour old, and
// what it has begun is ended. What cleans up goes on, and what had only waited for a worker is tried first.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { working } from '../../src/drivers/outcome.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import { stackEffects } from '../../src/loops/stack-effect.ts'
import { stopDeployment } from '../../src/resolvers/deployment.ts'
import { openResourceStage, type ResourceStage } from '../resources/fixture.ts'
import { testSealing } from '../row.ts'
import { giveStackRoom, putStack, putStackOperation } from '../stacks/row.ts'
import { openStage, startsOf, until } from './fixture.ts'

/** Instead of an hour, and of two minutes. */
const timing = { giveUpAfterMs: 60, tryForMs: 30 }
const aged = () => stage.beneath((sql) => sql`update operation set created_at = now() - interval '2 hours'`)

let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage({ asksUntilHealthy: Number.POSITIVE_INFINITY })
})
afterEach(() => stage.close())

test('R59 a roll-out that its driver is at for ever: FAILED with the reason, and what was started is ended', async () => {
  const id = await stage.deploy()
  stage.replica({ timing })
  const { stateReason } = await stage.reaches(id, 'FAILED')
  expect(stateReason).toMatch(/^gave up after [\d.]+ minutes; the last answer: Waiting for the health check/)
  expect(startsOf(stage.driver, id)).toBe(1)
  expect(stage.driver.liveRuns()).toEqual([])
  expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 1, failures: 0 }])
})

test('a stack likewise', async () => {
  await giveStackRoom(stage.sql, stage.teamId)
  const id = await putStack(stage.sql, { teamId: stage.teamId, state: 'BUILDING', services: ['web', 'api'] })
  await putStackOperation(stage.sql, { teamId: stage.teamId, subjectId: id, state: 'PENDING' })
  stage.replica({
    timing,
    instead: (_, db) => stackEffects(db, stage.driver.another(), testSealing),
  })
  await until(async () => {
    const [row] = await stage.sql`select state, state_reason from stack where id = ${id}`
    expect(row).toMatchObject({ state: 'FAILED', state_reason: expect.stringContaining('gave up after') })
  })
  expect(stage.driver.liveRuns()).toEqual([])
})

test('a provision likewise: what there is of it is removed first, and the reason stays the first one', async () => {
  const id = await stage.create()
  const { provisioner } = stage.replica({ timing })
  provisioner.faultNext('provision', { kind: 'working', askAgainAfterMs: 1 }, 1_000_000)
  provisioner.faultNext('deprovision', { kind: 'working', askAgainAfterMs: 1 }, 2)
  await until(async () => {
    await stage.dueNow()
    expect((await stage.resource(id)).state).toBe('FAILED')
  })
  expect((await stage.resource(id)).stateReason).toBe(
    'given up after too long; the last answer: The fake provider is at it',
  )
  expect(await stage.exists(id)).toBe(false)
})

test('a stop that its driver is at for ever goes on, and is done in the end', async () => {
  let asked = 0
  let ends = false
  const plain = await openStage({ asksUntilHealthy: 0 })
  try {
    const id = await plain.deploy()
    const first = plain.replica()
    await plain.reaches(id, 'HEALTHY')
    await first.dispatcher.drain(0)
    await stopDeployment(plain.context, { id })
    plain.replica({
      timing,
      effects: (db, driver) => {
        const stop: typeof driver.stop = async (...call) => {
          asked++
          return ends ? driver.stop(...call) : working(5, 'not yet')
        }
        return deploymentEffects(db, { ...driver, stop }, testSealing)
      },
    })
    await until(() => expect(asked).toBeGreaterThan(50))
    expect((await plain.deployment(id)).state).toBe('STOPPING')
    ends = true
    await plain.reaches(id, 'STOPPED')
    expect((await plain.operations(id)).at(-1)).toMatchObject({ state: 'SUCCEEDED', attempt: 1 })
  } finally {
    await plain.close()
  }
})

test('what has only waited for a worker, however long, is tried before it is given up', async () => {
  await stage.close()
  stage = await openResourceStage({ asksUntilHealthy: 5 })
  const id = await stage.deploy()
  await aged()
  stage.replica()
  await stage.reaches(id, 'HEALTHY')
})
