// What becomes of a resource that is there: paused, resumed, given another password, given a time limit, and deleted from
// every state, by real dispatchers on a world of fake resources.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { isRefusal } from '../../src/refusals.ts'
import {
  deleteResource,
  pauseResource,
  resumeResource,
  rotateResourceCredentials,
  setResourceTtl,
} from '../../src/resolvers/resource.ts'
import { until } from '../loops/fixture.ts'
import { answersOf, openResourceStage, type ResourceReplica, type ResourceStage } from './fixture.ts'
import { putResource } from './row.ts'

const calm = new AbortController().signal
let stage: ResourceStage
let replica: ResourceReplica
beforeEach(async () => {
  stage = await openResourceStage()
  replica = stage.replica()
})
afterEach(() => stage.close())

async function made(): Promise<string> {
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  return id
}
const connect = async (id: string) => stage.provisioner.world.connect(String(await stage.url(id)))
const refusalOf = (result: object) => (isRefusal(result) ? result.refusal : 'accepted')

test('paused: sessions are ended and nobody connects; resumed: everything is there as it was', async () => {
  const id = await made()
  const session = await connect(id)
  session.data.set('k', 'v')
  await pauseResource(stage.context, { id })
  await stage.comesTo(id, 'PAUSED')
  expect(session.alive).toBe(false)
  await expect(connect(id)).rejects.toThrow('refused')
  await resumeResource(stage.context, { id })
  await stage.comesTo(id, 'ACTIVE')
  expect((await connect(id)).data.get('k')).toBe('v')
  expect(stage.effectsOn(id)).toEqual(['made', 'paused', 'resumed'])
})

test('until the provider has said so it is PAUSING, or RESUMING, and the rules of that state hold', async () => {
  const id = await made()
  const pausing = replica.provisioner.pauseBefore('pause')
  await pauseResource(stage.context, { id })
  await pausing.reached
  expect((await stage.resource(id)).state).toBe('PAUSING')
  for (const ask of [pauseResource, resumeResource, rotateResourceCredentials]) {
    expect(await ask(stage.context, { id })).toMatchObject({
      refusal: 'IllegalState',
      facts: { resource: { id, state: 'PAUSING' } },
    })
  }
  pausing.release()
  await stage.comesTo(id, 'PAUSED')
  const resuming = replica.provisioner.pauseBefore('resume')
  await resumeResource(stage.context, { id })
  await resuming.reached
  expect(await pauseResource(stage.context, { id })).toMatchObject({ refusal: 'IllegalState', retryable: true })
  await expect(connect(id)).rejects.toThrow('refused')
  resuming.release()
  await stage.comesTo(id, 'ACTIVE')
})

describe('rotation', () => {
  test('what is stored changes when the new password works, not before', async () => {
    const id = await made()
    const [url, password] = [await stage.url(id), await stage.password(id)]
    const session = await connect(id)
    const before = replica.provisioner.pauseBefore('rotate')
    const after = replica.provisioner.pauseAfter('rotate')
    await rotateResourceCredentials(stage.context, { id })
    await before.reached
    const stored = async () => [await stage.url(id), await stage.password(id)]
    expect(await stored()).toEqual([url, password])
    expect(session.alive).toBe(true)
    before.release()
    await after.reached
    // The provider has it; until that is known here, nothing is claimed.
    expect(await stored()).toEqual([url, password])
    expect(session.alive).toBe(false)
    after.release()
    await stage.work(id, 'SUCCEEDED')
    expect(await stage.url(id)).not.toBe(url)
    expect(new URL(String(await stage.url(id))).password).toBe(await stage.password(id))
    expect((await connect(id)).alive).toBe(true)
    expect(() => stage.provisioner.world.connect(String(url))).toThrow('refused')
    expect(await stage.resource(id)).toMatchObject({ nextPassword: null, state: 'ACTIVE', generation: 2 })
  })

  test('while one is under way another one, and a pause, are refused for now; a time limit and a deletion are not', async () => {
    const id = await made()
    const gate = replica.provisioner.pauseBefore('rotate')
    await rotateResourceCredentials(stage.context, { id })
    await gate.reached
    for (const ask of [rotateResourceCredentials, pauseResource]) {
      expect(await ask(stage.context, { id })).toMatchObject({
        refusal: 'IllegalState',
        retryable: true,
        retryAfterMs: 1_000,
      })
    }
    expect(refusalOf(await setResourceTtl(stage.context, { id, ttlHours: 1 }))).toBe('accepted')
    expect(refusalOf(await deleteResource(stage.context, { id }))).toBe('accepted')
    gate.release()
    await stage.comesTo(id, 'DELETED')
    expect(await stage.exists(id)).toBe(false)
    expect(await stage.resource(id)).toMatchObject({ nextPassword: null, connection: null })
  })

  test('asked for again under the same key it happens once; a provider that forgets its answer is asked for the same', async () => {
    const id = await made()
    replica.provisioner.faultNext('rotate', { kind: 'unknown', done: true }, 2)
    const input = { id, idempotencyKey: 'again' }
    expect(await rotateResourceCredentials(stage.context, input)).toMatchObject({ replayed: false })
    expect(await rotateResourceCredentials(stage.context, input)).toMatchObject({ replayed: true })
    await until(async () => {
      await stage.dueNow()
      expect((await stage.operations(id)).at(-1)?.state).toBe('SUCCEEDED')
    })
    expect(stage.effectsOn(id)).toEqual(['made', 'rotated'])
    expect((await connect(id)).alive).toBe(true)
    expect(await stage.operations(id)).toHaveLength(2)
  })
})

describe('deletion', () => {
  /** Brings a resource into that state, by the product alone; a gate that is open yet is returned to be released. */
  async function inState(state: string): Promise<{ id: string; release: () => void }> {
    const held = { PROVISIONING: 'provision', PAUSING: 'pause', RESUMING: 'resume', DELETING: 'deprovision' } as const
    const passing = state in held ? replica.provisioner.pauseAfter(held[state as keyof typeof held]) : null
    if (state === 'FAILED') replica.provisioner.faultNext('provision', { kind: 'refuse', reason: 'no' })
    const id = await stage.create()
    if (state === 'FAILED') await stage.comesTo(id, 'FAILED')
    else if (state !== 'PROVISIONING') await stage.comesTo(id, 'ACTIVE')
    if (['PAUSING', 'PAUSED', 'RESUMING'].includes(state)) await pauseResource(stage.context, { id })
    if (['PAUSED', 'RESUMING'].includes(state)) await stage.comesTo(id, 'PAUSED')
    if (state === 'RESUMING') await resumeResource(stage.context, { id })
    if (state === 'SUSPENDED')
      await stage.beneath((sql) => sql`update resource set state = 'SUSPENDED' where id = ${id}`)
    if (['DELETING', 'DELETED'].includes(state)) await deleteResource(stage.context, { id })
    await passing?.reached
    await stage.comesTo(id, state)
    return { id, release: () => passing?.release() }
  }

  test.each(['PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED'])(
    'of one that is %s: DELETING at once, gone in the end, deprovisioned once',
    async (state) => {
      const { id, release } = await inState(state)
      expect(await deleteResource(stage.context, { id })).toMatchObject({ resource: { id, state: 'DELETING' } })
      release()
      const row = await stage.comesTo(id, 'DELETED')
      expect([await stage.exists(id), row.connection]).toEqual([false, null])
      // What failed was never there.
      const removals = state === 'FAILED' ? 0 : 1
      expect(stage.effectsOn(id).filter((effect) => effect === 'removed')).toHaveLength(removals)
      expect((await stage.operations(id)).filter(({ kind }) => kind === 'resource.deprovision')).toHaveLength(1)
    },
  )

  test.each(['DELETING', 'DELETED'])(
    'of one that is %s: told that it was, and when; nothing more is done',
    async (state) => {
      const { id, release } = await inState(state)
      const { deletedAt, version } = await stage.resource(id)
      expect(deletedAt).toBeInstanceOf(Date)
      expect(await deleteResource(stage.context, { id })).toMatchObject({
        refusal: 'ResourceAlreadyDeleted',
        retryable: false,
        remedies: [],
        facts: { deletedAt, resource: { id, state } },
      })
      expect((await stage.resource(id)).version).toBe(version)
      release()
      await stage.comesTo(id, 'DELETED')
      // When it was deleted is when that was accepted, not when it was done.
      expect((await stage.resource(id)).deletedAt).toEqual(deletedAt)
    },
  )
})

test('what has had its time is deleted through the same gate, and says why', async () => {
  const id = await made()
  expect(refusalOf(await setResourceTtl(stage.context, { id, ttlHours: 1 }))).toBe('accepted')
  const loop = expireLoop(stage.open().db, () => replica.dispatcher.nudge())
  expect(await loop.pass(calm)).toEqual({ moved: 0 })
  await stage.beneath((sql) => sql`update resource set expires_at = now() where id = ${id}`)
  expect(await loop.pass(calm)).toEqual({ moved: 1 })
  expect(await stage.comesTo(id, 'DELETED')).toMatchObject({ stateReason: 'its time limit has passed' })
  expect(stage.effectsOn(id)).toEqual(['made', 'removed'])
  expect(await deleteResource(stage.context, { id })).toMatchObject({ refusal: 'ResourceAlreadyDeleted' })
})

test('a deprovision that has lost its operation gets it again: by one replica of three, once', async () => {
  const ids = await Promise.all(
    Array.from({ length: 10 }, () => putResource(stage.sql, { teamId: stage.teamId, state: 'DELETING' })),
  )
  const passes = await Promise.all([1, 2, 3].map(() => teardownLoop(stage.open().db, () => {}).pass(calm)))
  await teardownLoop(stage.open().db, () => replica.dispatcher.nudge()).pass(calm)
  expect(passes.reduce((sum, { moved = 0 }) => sum + moved, 0)).toBe(10)
  for (const id of ids) {
    await stage.comesTo(id, 'DELETED')
    expect(answersOf(stage, id, 'deprovision')).toEqual(['done'])
  }
})
