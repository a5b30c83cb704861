// From a wish to something that one can connect to, or to a FAILED row with nothing behind it: by real dispatchers, with a
// provisioner that refuses, hangs, lies and breaks when it is told to.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { cancelOperation, type OperationPayload, retryOperation } from '../../src/resolvers/operation.ts'
import { createResource, deleteResource } from '../../src/resolvers/resource.ts'
import { until } from '../loops/fixture.ts'
import { answersOf, openResourceStage, type ResourceStage } from './fixture.ts'

let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage({ cap: 2 })
})
afterEach(() => stage.close())

const operationOf = async (id: string) => (await stage.operations(id)).at(-1)?.id ?? ''
const refusalOf = (result: object) => (isRefusal(result) ? result.refusal : 'accepted')

test('a resource that is made is ACTIVE, and what is stored of it opens to the URL that works', async () => {
  stage.replica()
  const id = await stage.create({ name: 'store', environment: 'staging' })
  expect(await stage.resource(id)).toMatchObject({ state: 'PROVISIONING', connection: null, generation: 1 })
  const row = await stage.comesTo(id, 'ACTIVE')
  const url = String(await stage.url(id))
  expect(new URL(url).password).toBe(await stage.password(id))
  expect(await stage.password(id)).toMatch(/^[0-9a-f]{48}$/)
  for (const stored of [row.connection, row.password]) {
    expect(stored).toMatch(/^v1\.test\./)
    expect(stored).not.toContain(await stage.password(id))
  }
  expect(stage.provisioner.world.connect(url).writable).toBe(true)
  expect(await stage.operations(id)).toMatchObject([
    { kind: 'resource.provision', state: 'SUCCEEDED', outcome: 'made' },
  ])
  expect(stage.effectsOn(id)).toEqual(['made'])
})

describe('a provision that does not go smoothly is gone on with', () => {
  test.each([
    ['unreachable', { kind: 'unreachable' }],
    ['unknown, done', { kind: 'unknown', done: true }],
    ['unknown, not done', { kind: 'unknown', done: false }],
    ['working', { kind: 'working', askAgainAfterMs: 1 }],
    ['an exception', { kind: 'throw' }],
    ['gone again', { kind: 'alreadyGone' }],
  ] as const)('%s', async (_, fault) => {
    const { provisioner } = stage.replica()
    provisioner.faultNext('provision', fault, 3)
    const id = await stage.create()
    await until(async () => {
      await stage.dueNow()
      expect((await stage.resource(id)).state).toBe('ACTIVE')
    })
    expect(stage.effectsOn(id)).toEqual(['made'])
    expect(stage.provisioner.world.connect(String(await stage.url(id))).alive).toBe(true)
  })
})

describe('a provision that fails', () => {
  test('what it left is removed first; then it is FAILED, says why, and can be asked about', async () => {
    const { provisioner } = stage.replica()
    provisioner.faultNext('provision', { kind: 'unknown', done: true })
    provisioner.faultNext('provision', { kind: 'refuse', reason: 'the disk is full' }, 3)
    for (const fault of ['unreachable', 'throw'] as const) provisioner.faultNext('deprovision', { kind: fault })
    const id = await stage.create({ name: 'full' })
    const gates = Array.from({ length: 3 }, () => provisioner.pauseBefore('deprovision'))
    for (const gate of gates) {
      let there = false
      void gate.reached.then(() => {
        there = true
      })
      await until(async () => {
        await stage.dueNow()
        expect(there).toBe(true)
      })
      expect(await stage.resource(id)).toMatchObject({ state: 'PROVISIONING', stateReason: null })
      expect(await stage.exists(id)).toBe(true)
      gate.release()
    }
    expect(await stage.comesTo(id, 'FAILED')).toMatchObject({ stateReason: 'the disk is full', connection: null })
    expect(await stage.exists(id)).toBe(false)
    expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', outcome: 'the disk is full' }])
    // It holds its name and its place until it is deleted.
    expect(refusalOf(await createResource(stage.context, { type: 'POSTGRES', name: 'full' }))).toBe('NameTaken')
    expect(refusalOf(await deleteResource(stage.context, { id }))).toBe('accepted')
    await stage.comesTo(id, 'DELETED')
    await stage.comesTo(await stage.create({ name: 'full' }), 'ACTIVE')
  })

  test('failures that are used up end it the same way; however often the removal fails, the reason is told once', async () => {
    const { provisioner } = stage.replica()
    provisioner.faultNext('provision', { kind: 'unknown', done: true })
    provisioner.faultNext('provision', { kind: 'unreachable' }, 100)
    provisioner.faultNext('deprovision', { kind: 'unreachable' }, 3)
    const id = await stage.create()
    await until(async () => {
      await stage.dueNow()
      expect((await stage.resource(id)).state).toBe('FAILED')
    })
    expect((await stage.resource(id)).stateReason).toBe(
      'given up after 8 failures; the last one: unreachable: The fake provider is unreachable',
    )
    expect(answersOf(stage, id, 'provision')).toHaveLength(8)
    expect(await stage.exists(id)).toBe(false)
    expect(stage.effectsOn(id)).toEqual(['made', 'removed'])
  })
})

test('a plan has room for so many and a name for one; what is refused leaves nothing', async () => {
  stage.replica()
  const id = await stage.create({ name: 'one' })
  await stage.create({ name: 'two' })
  expect(await createResource(stage.context, { type: 'POSTGRES', name: 'three' })).toMatchObject({
    refusal: 'QuotaExceeded',
    facts: { limit: 'resources', cap: 2, used: 2 },
  })
  await stage.comesTo(id, 'ACTIVE')
  await deleteResource(stage.context, { id })
  // Room and name are given back at once, not when the last byte is gone.
  await stage.create({ name: 'one' })
  expect(await createResource(stage.context, { type: 'REDIS', name: 'one' })).toMatchObject({
    refusal: 'NameTaken',
    facts: { resource: { name: 'one', type: 'POSTGRES' } },
  })
  await stage.comesTo(id, 'DELETED')
  const [{ rows } = { rows: -1 }] = await stage.sql<{ rows: number }[]>`select count(*)::int as rows from resource`
  expect(rows).toBe(3)
})

describe('taking back and repeating', () => {
  test('a provision that has not begun can be cancelled: FAILED, and nothing is ever made', async () => {
    const id = await stage.create()
    const answer = await cancelOperation(stage.context, { id: await operationOf(id) })
    expect((answer as OperationPayload).operation).toMatchObject({ state: 'CANCELLED' })
    expect(await stage.resource(id)).toMatchObject({ state: 'FAILED', stateReason: 'the operation was cancelled' })
    stage.replica()
    await stage.comesTo(await stage.create(), 'ACTIVE')
    expect(stage.effectsOn(id)).toEqual([])
  })

  test('one that was begun and waits for its next attempt cannot: what it left would stay', async () => {
    const { provisioner, dispatcher } = stage.replica()
    provisioner.faultNext('provision', { kind: 'unknown', done: true })
    provisioner.faultNext('provision', { kind: 'unreachable' }, 100)
    const id = await stage.create()
    await until(async () => {
      await stage.dueNow()
      expect((await stage.operations(id)).at(-1)?.failures).toBeGreaterThan(1)
    })
    await dispatcher.drain(1_000)
    expect(await stage.operations(id)).toMatchObject([{ state: 'PENDING' }])
    expect(await stage.exists(id)).toBe(true)
    expect(refusalOf(await cancelOperation(stage.context, { id: await operationOf(id) }))).toBe('IllegalState')
    expect(refusalOf(await deleteResource(stage.context, { id }))).toBe('accepted')
    stage.replica()
    await stage.comesTo(id, 'DELETED')
    expect(await stage.exists(id)).toBe(false)
  })

  test('no work of a resource is repeated by hand, and no end of one is taken back', async () => {
    const { provisioner } = stage.replica()
    provisioner.faultNext('provision', { kind: 'refuse', reason: 'no' })
    const id = await stage.create()
    await stage.comesTo(id, 'FAILED')
    const failed = await operationOf(id)
    expect(await retryOperation(stage.context, { id: failed })).toMatchObject({ refusal: 'IllegalState' })
    const gate = provisioner.pauseBefore('deprovision')
    await deleteResource(stage.context, { id })
    await gate.reached
    expect(await cancelOperation(stage.context, { id: await operationOf(id) })).toMatchObject({
      refusal: 'IllegalState',
    })
    gate.release()
    await stage.comesTo(id, 'DELETED')
  })
})
