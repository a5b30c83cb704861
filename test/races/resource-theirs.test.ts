// R92, R93, R94: what is not ours, or only looks as if nobody wanted it, or has been taken over by somebody else, is left as it
// is. Each is played once more with what would happen without the name, the search or the claim that keeps it safe.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Provisioner, ResourceRef } from '../../src/drivers/provision/driver.ts'
import type { FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import type { Effect } from '../../src/loops/effect.ts'
import { expireLoop } from '../../src/loops/expire.ts'
import { measureLoop } from '../../src/loops/measure.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { deleteResource, pauseResource } from '../../src/resolvers/resource.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { openResourceStage, type ResourceReplicaOptions, type ResourceStage } from '../resources/fixture.ts'

const calm = new AbortController().signal
let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage()
})
afterEach(() => stage.close())

const connect = async (id: string) => stage.provisioner.world.connect(String(await stage.url(id)))

/**
 * A deprovision that hangs comes to its effect when the resource is gone and another one of its name is there, from a worker
 * that is believed dead, past every fence. What is found afterwards under the name.
 */
async function lateDeprovision(nameOf: (ref: ResourceRef) => ResourceRef) {
  const late = Promise.withResolvers<void>()
  const came = Promise.withResolvers<void>()
  let clock = 100
  /** The mutant's fence: always the newest. */
  const newest = (subjectId: string) => ({
    operationId: crypto.randomUUID(),
    attempt: 1,
    subjectId,
    generation: ++clock,
  })
  const unfenced = (fake: FakeProvisioner, hangs: boolean): Provisioner => ({
    ...fake,
    provision: (spec, _fence, signal) => {
      const ref = nameOf(spec)
      return fake.provision({ ...spec, ...ref }, newest(ref.subjectId), signal)
    },
    async deprovision(given, _fence, signal) {
      if (hangs) {
        came.resolve()
        await late.promise
      }
      const ref = nameOf(given)
      return fake.deprovision(ref, newest(ref.subjectId), signal)
    },
  })
  const first = stage.replica({ through: (fake) => unfenced(fake, true) })
  const id = await stage.create({ name: 'store' })
  await stage.comesTo(id, 'ACTIVE')
  await deleteResource(stage.context, { id })
  await came.promise
  const draining = first.dispatcher.drain(60_000)
  await stage.leaseEnds(id)
  stage.replica({ through: (fake) => unfenced(fake, false) })
  await stage.comesTo(id, 'DELETED')
  const heir = await stage.create({ name: 'store' })
  await stage.comesTo(heir, 'ACTIVE')
  const session = await connect(heir)
  session.data.set('k', 'v')
  late.resolve()
  await draining
  return session.alive
}

test('R92 a late deprovision cannot hit the newer resource of the same name: names carry the incarnation', async () => {
  expect(await lateDeprovision((ref) => ref)).toBe(true)
})

test('R92 under names that are used again it would', async () => {
  expect(await lateDeprovision(() => ({ subjectId: 'store', incarnation: 'development_store' }))).toBe(false)
})

test('R92 what has the name and was not made here is never touched, by any call', async () => {
  stage.replica()
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  const ref = await stage.refOf(id)
  stage.provisioner.world.vanish(ref)
  stage.provisioner.world.plantForeign(ref)
  const before = stage.effectsOn(id)
  await pauseResource(stage.context, { id })
  await stage.work(id, 'PENDING')
  await deleteResource(stage.context, { id })
  await until(async () => {
    await stage.dueNow()
    expect((await stage.operations(id)).at(-1)?.failures).toBeGreaterThan(2)
  })
  expect((await stage.resource(id)).state).toBe('DELETING')
  expect([stage.effectsOn(id), stage.provisioner.world.exists(ref)]).toEqual([before, true])
})

/** Every loop has had its pass, and what they asked for is done. */
async function everyLoop(...mutations: Mutation[]) {
  const { dispatcher } = stage.replica()
  const { db } = stage.open({ wrap: mutating(...mutations) })
  const accepted = () => dispatcher.nudge()
  const loops = [
    expireLoop(db, accepted),
    teardownLoop(db, accepted),
    measureLoop(db, () => stage.provisioner.another(), accepted),
  ]
  for (const loop of loops) await loop.pass(calm)
  await until(async () => {
    const live = (await stage.operations()).filter(({ state }) => ['PENDING', 'RUNNING', 'UNKNOWN'].includes(state))
    expect(live).toEqual([])
  })
}

test('R93 what no row knows of, and what has no work under way, is reaped by no loop', async () => {
  const maker = stage.replica()
  const ids = [await stage.create(), await stage.create({ ttlHours: 1 })]
  for (const id of ids) await stage.comesTo(id, 'ACTIVE')
  await maker.dispatcher.drain(1_000)
  // Made by Pawl, and its row is not to be seen: a restored backup, another control plane, a bug.
  const orphan = { subjectId: 'res_unknown', incarnation: 'orphan_1234' }
  const fence = { operationId: 'op', attempt: 1, subjectId: orphan.subjectId, generation: 1 }
  await stage.provisioner.provision({ ...orphan, name: 'o', password: 'x'.repeat(32) }, fence, calm)
  // Nobody works on anything, and lists lie.
  await stage.beneath((sql) => sql`delete from operation`)
  stage.provisioner.faultNext('listOwned', { kind: 'lieAbsent' }, 100)
  await everyLoop()
  const calls = new Set(stage.provisioner.log().map(({ call }) => call))
  expect([...calls].sort()).toEqual(['observe', 'provision'])
  expect(stage.provisioner.world.exists(orphan)).toBe(true)
  for (const id of ids) expect([(await stage.resource(id)).state, await stage.exists(id)]).toEqual(['ACTIVE', true])
})

test('R93 a net that takes whatever has no work under way drops what lives', async () => {
  const maker = stage.replica()
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  await maker.dispatcher.drain(1_000)
  await stage.sql`alter table resource disable trigger user`
  const name = 'deprovisionResource'
  const search = { name, from: '"resource"."state" in ($1)', to: '("resource"."state" in ($1) or true)' }
  const guard = { name, from: `"found".state in ('DELETING')`, to: 'true' }
  // Either half alone keeps it safe.
  await everyLoop(search)
  await everyLoop(guard)
  expect(await stage.exists(id)).toBe(true)
  await everyLoop(search, guard)
  await until(async () => expect(await stage.exists(id)).toBe(false))
  expect((await stage.resource(id)).state).toBe('ACTIVE')
})

/** The first worker has paused it and cannot write that down: another one has the claim, and writes it. */
async function lostPause(options: ResourceReplicaOptions = {}) {
  const first = stage.replica(options)
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  const gate = first.provisioner.pauseAfter('pause')
  await pauseResource(stage.context, { id })
  await gate.reached
  const draining = first.dispatcher.drain(60_000)
  await stage.leaseEnds(id)
  stage.replica()
  await stage.comesTo(id, 'PAUSED')
  gate.release()
  await draining
  expect((await stage.resource(id)).state).toBe('PAUSED')
  const open = await connect(id).then(
    () => true,
    () => false,
  )
  return { effects: stage.effectsOn(id), open }
}

test('R94 a worker that has lost its pause takes nothing back: what was paused stays so', async () => {
  expect(await lostPause()).toEqual({ effects: ['made', 'paused'], open: false })
})

/** Takes its pause back when its claim is gone. */
const compensating = (fence: (attempt: number) => number): ResourceReplicaOptions => ({
  instead: (usual, _db, provisioner) =>
    usual.map((effect): Effect => {
      if (effect.kind !== 'resource.pause') return effect
      return {
        ...effect,
        async run(work) {
          const ending = await effect.run(work)
          const { subjectId, claimToken, id } = work.operation
          const [row] = await stage.sql`select claim_token from operation where id = ${id}`
          if (row?.claim_token !== claimToken) {
            const attempt = fence(work.fence.attempt)
            await provisioner.resume(await stage.refOf(subjectId), { ...work.fence, attempt }, calm)
          }
          return ending
        },
      }
    }),
})

test('R94 one that compensates opens what was paused, where the fence does not stop it', async () => {
  expect(await lostPause(compensating(() => 99))).toEqual({ effects: ['made', 'paused', 'resumed'], open: true })
})

test('R94 the fence stops one that compensates under its own claim', async () => {
  expect(await lostPause(compensating((attempt) => attempt))).toEqual({ effects: ['made', 'paused'], open: false })
})
