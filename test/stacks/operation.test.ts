// The operation of a stack's roll-out in the hands of a caller: taken back before it began, and repeated after it failed.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { cancelOperation, retryOperation } from '../../src/resolvers/operation.ts'
import { redeployStack } from '../../src/resolvers/stack.ts'
import { on, openStackStage, type StackStage } from './fixture.ts'
import { serviceOf } from './row.ts'

let stage: StackStage
beforeAll(async () => {
  stage = await openStackStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

describe('the operation of a roll-out', () => {
  const operationOf = async (id: string) => String((await stage.operations(id)).at(-1)?.id)

  test('that is cancelled before it began fails the stack, and what ran before goes on running', async () => {
    const first = stage.replica()
    const id = await stage.create(['web'])
    await stage.comesTo(id, 'HEALTHY')
    await first.dispatcher.drain(0)
    await redeployStack(stage.context, { id, services: [serviceOf('web'), serviceOf('api')] })
    expect(await cancelOperation(stage.context, { id: await operationOf(id) })).toMatchObject({
      operation: { state: 'CANCELLED' },
    })
    expect(await stage.stack(id)).toMatchObject({
      state: 'FAILED',
      stateReason: 'the operation was cancelled; what ran before it goes on running',
    })
    expect(Object.keys(stage.running(id))).toEqual(['web'])
    // A stack that was cancelled is none that is stuck: it can be redeployed, and deleted.
    stage.replica()
    await redeployStack(stage.context, { id })
    await stage.comesTo(id, 'HEALTHY')
    expect(Object.keys(stage.running(id)).sort()).toEqual(['api', 'web'])
  })

  test('that has begun cannot be cancelled', async () => {
    const { driver } = stage.replica()
    const gate = driver.pauseBefore('reserve')
    const id = await stage.create(['web'])
    await gate.reached
    const answer = await cancelOperation(stage.context, { id: await operationOf(id) })
    expect(answer).toMatchObject({ refusal: 'IllegalState', remedies: [{ query: 'operation' }] })
    gate.release()
    await stage.comesTo(id, 'HEALTHY')
  })

  test('that failed is repeated as a new one of a new generation', async () => {
    const { driver } = stage.replica()
    driver.faultNext('ensure', { kind: 'refuse', reason: 'the disk is full' }, 1, on('api'))
    const id = await stage.create(['web', 'api'])
    expect((await stage.comesTo(id, 'FAILED')).stateReason).toBe('api: the disk is full')
    const failed = await operationOf(id)
    const answer = await retryOperation(stage.context, { id: failed })
    expect(answer).toMatchObject({ operation: { state: 'PENDING', retryOf: failed, generation: 2 } })
    await stage.comesTo(id, 'HEALTHY')
    expect(await stage.told(id)).toEqual({ web: 'HEALTHY', api: 'HEALTHY' })
    // Only once: it is not FAILED any more.
    expect(await retryOperation(stage.context, { id: failed })).toMatchObject({ refusal: 'IllegalState' })
  })
})
