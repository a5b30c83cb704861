// What resources hold against what they may hold: suspended above the limit, released clearly below it and never in between;
// any doubt leaves a resource as it is; ACTIVE means that it can be written to, whatever was superseded.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Provisioner } from '../../src/drivers/provision/driver.ts'
import type { Fault } from '../../src/drivers/provision/fake-script.ts'
import { measureLoop } from '../../src/loops/measure.ts'
import { pauseResource, resumeResource, rotateResourceCredentials } from '../../src/resolvers/resource.ts'
import { holdRow } from '../interleave.ts'
import { openResourceStage, type ResourceReplica, type ResourceStage } from './fixture.ts'

const calm = new AbortController().signal
let stage: ResourceStage
let replica: ResourceReplica
/** What was told of moves: they are counted, and their effects looked for, by whoever is told. */
const told: string[] = []
beforeEach(async () => {
  told.length = 0
  stage = await openResourceStage()
  replica = stage.replica()
})
afterEach(() => stage.close())

const limitBytes = 100
/** A pass now, though everything was measured a moment ago. */
async function pass(provisioner: Provisioner = stage.provisioner, signal = calm) {
  await stage.beneath((sql) => sql`update resource set measured_at = null, limit_bytes = ${limitBytes}`)
  return measureLoop(
    stage.open().db,
    () => provisioner,
    (rule, count) => {
      told.push(`${rule.subject.action} ${count}`)
      replica.dispatcher.nudge()
    },
  ).pass(signal)
}
async function made(): Promise<string> {
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  return id
}
const session = async (id: string) => stage.provisioner.world.connect(String(await stage.url(id)))
/** Fills it with so many bytes in all. */
async function fill(id: string, bytes: number): Promise<void> {
  const { data } = await session(id)
  data.clear()
  // Counted as the pair with its comma.
  data.set('k', 'x'.repeat(bytes - 2))
}
/** Until the newest operation is done. */
const settled = (id: string) => stage.work(id, 'SUCCEEDED')
const writable = async (id: string) => (await session(id)).writable

test('above the limit it is suspended: sessions begin read only, and the reason is told', async () => {
  const id = await made()
  const before = await session(id)
  await fill(id, limitBytes)
  expect(await pass()).toMatchObject({ moved: 0, unchanged: 1 })
  await fill(id, limitBytes + 1)
  expect(await pass()).toMatchObject({ moved: 1 })
  expect(await stage.resource(id)).toMatchObject({ state: 'SUSPENDED', generation: 2, sizeBytes: '101' })
  expect((await stage.resource(id)).stateReason).toBe('it holds 101 bytes, more than the limit of 100 bytes')
  expect(told).toEqual(['suspendResource 1'])
  await settled(id)
  expect([before.alive, await writable(id)]).toEqual([false, false])
})

test('it is released below eight tenths of the limit, and does not flap above that', async () => {
  const id = await made()
  await fill(id, 150)
  await pass()
  await settled(id)
  for (const bytes of [101, 100, 99, 81, 80]) {
    await fill(id, bytes)
    expect(await pass(), String(bytes)).toMatchObject({ moved: 0, unchanged: 1 })
  }
  await fill(id, 79)
  expect(await pass()).toMatchObject({ moved: 1 })
  await settled(id)
  expect([(await stage.resource(id)).state, await writable(id)]).toEqual(['ACTIVE', true])
  for (const bytes of [80, 99, 100]) {
    await fill(id, bytes)
    expect(await pass(), String(bytes)).toMatchObject({ moved: 0 })
  }
  expect(stage.effectsOn(id)).toEqual(['made', 'frozen', 'thawed'])
})

test('what was asked for and is not carried out yet is waited for', async () => {
  const id = await made()
  const gate = replica.provisioner.pauseBefore('setWritable')
  await fill(id, 150)
  await pass()
  await gate.reached
  await fill(id, 10)
  expect(await pass()).toMatchObject({ moved: 0, unchanged: 1 })
  gate.release()
  await settled(id)
  expect(await pass()).toMatchObject({ moved: 1 })
})

test('a rotation that is under way is not disturbed', async () => {
  const id = await made()
  await fill(id, 150)
  const gate = replica.provisioner.pauseBefore('rotate')
  await rotateResourceCredentials(stage.context, { id })
  await gate.reached
  expect(await pass()).toMatchObject({ moved: 0 })
  gate.release()
  await settled(id)
  expect(await pass()).toMatchObject({ moved: 1 })
})

describe('any doubt leaves it as it is', () => {
  const doubts: readonly Fault[] = [
    { kind: 'unreachable' },
    { kind: 'unknown', done: true },
    { kind: 'lieAbsent' },
    { kind: 'working', askAgainAfterMs: 1 },
    { kind: 'refuse', reason: 'not ours' },
  ]
  test.each(doubts)('$kind', async (fault) => {
    const id = await made()
    await fill(id, 150)
    const asked = stage.provisioner.another()
    asked.faultNext('observe', fault)
    expect(await pass(asked)).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
    expect(await stage.resource(id)).toMatchObject({ state: 'ACTIVE', sizeBytes: null })
  })

  test('a provider that cannot tell the size', async () => {
    const id = await made()
    await fill(id, 150)
    const blind: Provisioner = {
      ...stage.provisioner,
      observe: async () => ({ kind: 'done', value: { state: 'active', generation: 1, sizeBytes: null } }),
    }
    expect(await pass(blind)).toMatchObject({ skipped: 1 })
    expect((await stage.resource(id)).state).toBe('ACTIVE')
  })

  test('a size of before the last wish is of another time', async () => {
    const id = await made()
    await fill(id, 150)
    const asked = stage.provisioner.another()
    const gate = asked.pauseAfter('observe')
    const late = pass(asked)
    await gate.reached
    await pauseResource(stage.context, { id })
    await stage.comesTo(id, 'PAUSED')
    await resumeResource(stage.context, { id })
    await stage.comesTo(id, 'ACTIVE')
    gate.release()
    expect(await late).toMatchObject({ moved: 0 })
    expect(await stage.resource(id)).toMatchObject({ state: 'ACTIVE', generation: 3, sizeBytes: null })
  })
})

describe('one that cannot be measured hinders no other', () => {
  test('a provisioner that throws, and a row that is held', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, made))
    for (const id of ids) await fill(id, 150)
    const [first = '', second = ''] = ids
    const broken: Provisioner = {
      ...stage.provisioner,
      observe: (ref, signal) => {
        if (ref.subjectId === first) throw new Error('broken')
        return stage.provisioner.observe(ref, signal)
      },
    }
    // The first of all that is asked about.
    await stage.beneath((sql) => sql`update resource set measured_at = null, limit_bytes = ${limitBytes}`)
    const row = await holdRow(stage.sql, 'resource', second)
    const loop = measureLoop(
      stage.open({ lockTimeoutMs: 100 }).db,
      () => broken,
      () => {},
    )
    await expect(loop.pass(calm)).rejects.toThrow('broken')
    await row.release()
    const states = await stage.sql<
      { id: string; state: string }[]
    >`select id, state from resource where state = 'ACTIVE'`
    expect(states.map(({ id }) => id).sort()).toEqual([first, second].sort())
  })

  test('what the end of a pass cuts off is not marked as measured, and is first in the next one', async () => {
    const ids = await Promise.all(Array.from({ length: 12 }, made))
    for (const id of ids) await fill(id, 150)
    const end = new AbortController()
    // Deaf to the signal: it is not waited for.
    const asked = { ...stage.provisioner, observe: () => new Promise<never>(() => end.abort()) }
    expect(await pass(asked, end.signal)).toEqual({ moved: 0, unchanged: 0, skipped: 8 })
    const loop = measureLoop(
      stage.open().db,
      () => stage.provisioner,
      () => {},
    )
    expect(await loop.pass(calm)).toEqual({ moved: 4, unchanged: 0, skipped: 0 })
  })
})

describe('ACTIVE means that it can be written to', () => {
  /** Released, and superseded before that was carried out. */
  async function releasedOnPaper(): Promise<{ id: string; carryOn: () => void }> {
    const id = await made()
    await fill(id, 150)
    await pass()
    await settled(id)
    await fill(id, 10)
    const gate = replica.provisioner.pauseBefore('setWritable', ({ fence }) => fence?.generation === 3)
    await pass()
    await gate.reached
    return { id, carryOn: gate.release }
  }

  test('though the release was superseded by a pause', async () => {
    const { id, carryOn } = await releasedOnPaper()
    await pauseResource(stage.context, { id })
    replica.provisioner.faultNext('setWritable', { kind: 'unreachable' })
    carryOn()
    await stage.dueNow()
    await stage.comesTo(id, 'PAUSED')
    await resumeResource(stage.context, { id })
    await stage.comesTo(id, 'ACTIVE')
    expect(await writable(id)).toBe(true)
  })

  test('though the release was superseded by a rotation', async () => {
    const { id, carryOn } = await releasedOnPaper()
    await rotateResourceCredentials(stage.context, { id })
    replica.provisioner.faultNext('setWritable', { kind: 'unreachable' })
    carryOn()
    await stage.dueNow()
    await settled(id)
    expect(await writable(id)).toBe(true)
  })
})
