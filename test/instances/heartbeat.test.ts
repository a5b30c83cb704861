// Heartbeats and removals through the door: of what runs elsewhere, of what was removed, and of what Pawl runs itself; keys,
// versions, scopes and other teams.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { createToken } from '../fixture.ts'
import { putDeployment } from '../row.ts'
import { putStack } from '../stacks/row.ts'
import { type InstanceApi, openInstanceApi } from './api.ts'
import { putInstance, storedInstance } from './row.ts'

let world: InstanceApi
beforeAll(async () => {
  world = await openInstanceApi()
})
afterAll(() => world.close())

describe('heartbeatInstance', () => {
  test('brings it ONLINE, and, with healthy: false, DEGRADED with the reason', async () => {
    const { instance } = await world.register({ name: 'beats' })
    const { id } = instance
    const online = await world.beat({ id })
    expect(online.instance).toMatchObject({ state: 'ONLINE', stateReason: null })
    expect(online.instance.startedAt).not.toBe(null)
    expect(await world.beat({ id, healthy: false, reason: 'the disk is full' })).toMatchObject({
      instance: { state: 'DEGRADED', stateReason: 'the disk is full', startedAt: online.instance.startedAt },
    })
    for (const reason of [undefined, null, '', '  '])
      expect(await world.beat({ id, healthy: false, reason })).toMatchObject({
        instance: { state: 'DEGRADED', stateReason: 'it says that it is not well' },
      })
    expect(await world.beat({ id, healthy: true })).toMatchObject({ instance: { state: 'ONLINE', stateReason: null } })
    expect(await world.eventsOf(id)).toEqual([
      'registerInstance →STARTING',
      'heartbeatInstance STARTING→ONLINE',
      'reportInstanceDegraded ONLINE→DEGRADED',
      'heartbeatInstance DEGRADED→ONLINE',
    ])
  })

  test('that changes nothing leaves no event and no gap in the chain, is heard, and says nothing of a new state', async () => {
    const id = await world.put({ state: 'ONLINE', heardSecondsAgo: 20, sinceSecondsAgo: 1000 })
    const before = await storedInstance(world.sql, id)
    expect(await world.beat({ id })).toMatchObject({ instance: { state: 'ONLINE' } })
    const after = await storedInstance(world.sql, id)
    expect([after.stateChangedAt, after.version]).toEqual([before.stateChangedAt, before.version + 1])
    expect(Number(after.heartbeatAt)).toBeGreaterThan(Number(before.heartbeatAt))
    expect(await world.eventsOf(id)).toEqual([])
    await world.beat({ id, healthy: false, reason: 'x' })
    for (let n = 0; n < 3; n++) await world.beat({ id, healthy: false, reason: 'y' })
    await world.beat({ id })
    await world.beat({ id })
    await world.remove({ id })
    expect(await world.eventsOf(id)).toEqual([
      'reportInstanceDegraded ONLINE→DEGRADED',
      'heartbeatInstance DEGRADED→ONLINE',
      'removeInstance ONLINE→REMOVED',
    ])
    expect((await world.shown(id)).events.nodes).toHaveLength(3)
  })

  test('of one that was removed is refused; the remedy makes it known anew', async () => {
    const { instance } = await world.register({ name: 'back', url: 'https://back.example' })
    await world.remove({ id: instance.id })
    const refusal = await world.beat({ id: instance.id })
    expect(refusal).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'heartbeatInstance',
      instance: { state: 'REMOVED' },
    })
    expect(await world.take(refusal)).toEqual(['registerInstance'])
    expect((await storedInstance(world.sql, instance.id)).state).toBe('REMOVED')
    const gone = (await world.shown(instance.id)).allowedActions
    expect(gone.map(({ allowed }: { allowed: boolean }) => allowed)).toEqual([false, false])
  })

  test('takes a reason only of what is not well, and not for ever', async () => {
    const id = await world.put({ state: 'ONLINE' })
    for (const input of [{ reason: 'x' }, { healthy: true, reason: 'x' }, { healthy: false, reason: 'x'.repeat(501) }])
      expect(await world.beat({ id, ...input })).toMatchObject({
        code: 'VALIDATION_FAILED',
        faults: [{ path: ['input', 'reason'] }],
      })
    expect((await storedInstance(world.sql, id)).version).toBe(1)
  })

  test.each(['\u001b[2Jgone', 'one\ntwo', 'one\r\ntwo', 'one\u2028two', '\u202eevil', 'a\u200bb'])(
    'takes no reason that would not be shown as it stands: %j',
    async (reason) => {
      const id = await world.put({ state: 'ONLINE' })
      expect(await world.beat({ id, healthy: false, reason })).toMatchObject({
        code: 'VALIDATION_FAILED',
        faults: [{ path: ['input', 'reason'], message: expect.stringContaining('may hold') }],
      })
      expect(await storedInstance(world.sql, id)).toMatchObject({ state: 'ONLINE', version: 1 })
    },
  )
})

describe('a part of a deployment that has ended', () => {
  test.each(['EXPIRED', 'DELETING', 'DELETED'] as const)('comes up no more: %s', async (state) => {
    const { teamId } = world.api.team
    const deploymentId = await putDeployment(world.sql, { teamId, state })
    const id = await world.put({ state: 'STARTING', subjectId: deploymentId, instanceId: `i-${state}` })
    const before = await storedInstance(world.sql, id)
    for (const healthy of [true, false]) {
      const refusal = await world.beat({ id, healthy })
      expect(refusal).toMatchObject({
        code: 'ILLEGAL_STATE',
        action: 'heartbeatInstance',
        instance: { id, state: 'STARTING' },
        deployment: { id: deploymentId },
        remedies: [{ mutation: null, query: 'deployment', arguments: { id: deploymentId } }],
      })
      expect(refusal.message).toContain(`has been ${state} since`)
    }
    // Nor is a heartbeat what to do where its id is given out again.
    const again = await world.register({ name: 'again', instanceId: `i-${state}` })
    expect([again.code, again.remedies.map(({ query }: { query: string }) => query)]).toEqual([
      'ILLEGAL_STATE',
      ['instance', 'deployment'],
    ])
    expect(await storedInstance(world.sql, id)).toEqual(before)
    expect((await world.shown(id)).allowedActions).toEqual([
      { allowed: false, because: `Its deployment is ${state}.` },
      { allowed: true, because: null },
    ])
    expect(await world.remove({ id })).toMatchObject({ instance: { state: 'REMOVED' } })
  })
})

describe('what Pawl runs itself', () => {
  test.each(['heartbeatInstance', 'removeInstance'])('is not moved by %s, whatever runs it', async (mutation) => {
    const { teamId } = world.api.team
    const deploymentId = await putDeployment(world.sql, { teamId, state: 'HEALTHY' })
    const stackId = await putStack(world.sql, { teamId, state: 'HEALTHY' })
    const parts = [
      [await world.put({ state: 'ONLINE', runtime: 'PROCESS', subjectId: deploymentId }), 'deployment', deploymentId],
      [await world.put({ state: 'OFFLINE', runtime: 'DOCKER', subjectId: stackId, service: 'web' }), 'stack', stackId],
    ]
    for (const [id, query, subject] of parts) {
      const before = await storedInstance(world.sql, String(id))
      const refusal = await world.byName[mutation]?.({ id })
      expect(refusal).toMatchObject({
        code: 'ILLEGAL_STATE',
        action: mutation,
        instance: { id },
        remedies: [{ mutation: null, query, arguments: { id: subject } }],
      })
      expect(refusal.message).toContain('Pawl runs it')
      expect(await storedInstance(world.sql, String(id))).toEqual(before)
      const { allowedActions } = await world.shown(String(id))
      for (const { allowed, because } of allowedActions)
        expect([allowed, because]).toEqual([false, expect.stringContaining('Pawl runs it')])
    }
  })
})

describe('every call', () => {
  test('under a key is answered as the first one was, with the instance as it is now; another input is refused', async () => {
    const input = { name: 'keyed', idempotencyKey: 'k-reg' }
    const first = await world.register(input)
    const { id } = first.instance
    await world.beat({ id, idempotencyKey: 'k-beat' })
    expect(await world.register(input)).toMatchObject({ replayed: true, instance: { id, state: 'ONLINE' } })
    expect(await world.register({ ...input, name: 'else' })).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED' })
    await world.beat({ id, healthy: false })
    const { version } = await storedInstance(world.sql, id)
    expect(await world.beat({ id, idempotencyKey: 'k-beat' })).toMatchObject({
      replayed: true,
      instance: { state: 'DEGRADED' },
    })
    expect(await world.beat({ id, idempotencyKey: 'k-beat', healthy: false })).toMatchObject({
      code: 'IDEMPOTENCY_KEY_REUSED',
    })
    expect((await storedInstance(world.sql, id)).version).toBe(version)
    expect(await world.remove({ id, idempotencyKey: 'k-rem' })).toMatchObject({ replayed: false })
    expect(await world.remove({ id, idempotencyKey: 'k-rem' })).toMatchObject({
      replayed: true,
      instance: { state: 'REMOVED' },
    })
    // A repeat is a repeat, also of what would be refused by now.
    expect(await world.beat({ id, idempotencyKey: 'k-beat' })).toMatchObject({ replayed: true })
    expect(await world.register(input)).toMatchObject({ replayed: true, instance: { id, state: 'REMOVED' } })
  })

  test('with another version than the one that is there is a conflict', async () => {
    const id = await world.put({ state: 'ONLINE' })
    await world.beat({ id })
    for (const call of [world.beat, world.remove])
      expect(await call({ id, expectedVersion: '1' })).toMatchObject({
        code: 'VERSION_CONFLICT',
        currentVersion: '2',
        instance: { id },
      })
    expect(await world.remove({ id, expectedVersion: '2' })).toMatchObject({ instance: { state: 'REMOVED' } })
  })

  test('with another team’s id is answered as with that of nothing', async () => {
    const theirs = await putInstance(world.sql, { teamId: world.other.teamId, state: 'ONLINE' })
    const deployment = await putDeployment(world.sql, { teamId: world.other.teamId, state: 'HEALTHY' })
    for (const call of [world.beat, world.remove]) {
      for (const id of [theirs, newId('Instance'), newId('Deployment'), 'x'])
        expect(await call({ id })).toMatchObject({ code: 'NOT_FOUND' })
    }
    for (const deploymentId of [deployment, newId('Deployment'), newId('Instance'), 'x', ''])
      expect(await world.register({ name: 'a', deploymentId })).toMatchObject({ code: 'NOT_FOUND' })
    expect(await storedInstance(world.sql, theirs)).toMatchObject({ state: 'ONLINE', version: 1 })
    const { data } = await world.api.call('query ($id: ID!) { instance(id: $id) { id } node(id: $id) { id } }', {
      id: theirs,
    })
    expect(data).toEqual({ instance: null, node: null })
  })

  test('needs the scope deploy; whoever reads sees', async () => {
    const { token } = await createToken(world.api.database.url, world.api.team.teamId, { scopes: ['read', 'stack'] })
    const id = await world.put({ state: 'ONLINE' })
    for (const call of [
      () => world.register({ name: 'a' }, token),
      () => world.beat({ id }, token),
      () => world.remove({ id }, token),
    ])
      expect(await call()).toMatchObject({ code: 'FORBIDDEN', missing: 'deploy' })
    const { data } = await world.api.call(
      'query ($id: ID!) { instance(id: $id) { state allowedActions { allowed } } }',
      { id },
      token,
    )
    expect(data.instance).toEqual({ state: 'ONLINE', allowedActions: [{ allowed: false }, { allowed: false }] })
  })
})
