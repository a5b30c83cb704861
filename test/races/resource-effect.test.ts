// What is done outside, and to which thing, when callers, loops and workers overlap: nothing that was given more time is dropped,
// one password works, a caller who goes away cancels nothing, and nobody touches what is not theirs or no more theirs.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import {
  deleteResource,
  pauseResource,
  type ResourcePayload,
  rotateResourceCredentials,
  setResourceTtl,
} from '../../src/resolvers/resource.ts'
import { hold, type Mutation, mutating, stalling, underWay, untilBlocked } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { openResourceStage, type ResourceReplicaOptions, type ResourceStage } from '../resources/fixture.ts'
import { contextFor } from '../row.ts'

const calm = new AbortController().signal
let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage()
})
afterEach(() => stage.close())

async function made(input: { name?: string } = {}): Promise<string> {
  const id = await stage.create(input)
  await stage.comesTo(id, 'ACTIVE')
  return id
}
const connect = async (id: string) => stage.provisioner.world.connect(String(await stage.url(id)))
const through = (...mutations: Mutation[]) => stage.open({ wrap: mutating(...mutations) })

/** The reaper has looked; the customer extends; the reaper goes on. Another overdue one shows that the reaper has worked. */
async function extendedMeanwhile(...mutations: Mutation[]) {
  const { dispatcher } = stage.replica()
  const [id, other] = [await made(), await made()]
  ;(await connect(id)).data.set('kept', 'yes')
  await stage.beneath((sql) => sql`update resource set expires_at = now()`)
  const stall = await hold(stage.sql, 'select pg_advisory_xact_lock(11)')
  const pool = through(...stalling('expireResource', 'resource', 11), ...mutations)
  const pass = underWay(expireLoop(pool.db, () => dispatcher.nudge()).pass(calm))
  await untilBlocked(stage.sql, 'expireResource')
  expect(await setResourceTtl(stage.context, { id, ttlHours: 24 })).toMatchObject({ resource: { state: 'ACTIVE' } })
  await stall.release()
  await pass
  await stage.comesTo(other, 'DELETED')
  if ((await stage.resource(id)).state !== 'ACTIVE') await stage.comesTo(id, 'DELETED')
  return (await stage.exists(id)) && (await connect(id)).data.get('kept')
}

test('R11 a database whose owner has just extended it is not dropped by a reaper that looked before', async () => {
  expect(await extendedMeanwhile()).toBe('yes')
})

test('R11 a reaper that drops what it has found, without looking again, drops it', async () => {
  const name = 'expireResource'
  const found = { name, from: '"resource"."expires_at" <= now()', to: 'true' }
  const again = { name, from: '"found"."expires_at" <= now()', to: 'true' }
  expect(await extendedMeanwhile(found, again)).toBe(false)
})

/** A second rotation while the first one has reached the provider and not come back. Whether the stored password works then. */
async function twoRotations(careless: boolean) {
  const from = '"found"."generation" = $4::text::int'
  const unfenced = { name: 'markResourceRotated', from, to: '$4::text is not null' }
  const { provisioner } = stage.replica(careless ? { wrap: mutating(unfenced) } : {})
  const id = await made()
  const first = provisioner.pauseAfter('rotate')
  await rotateResourceCredentials(stage.context, { id })
  await first.reached
  const second = careless
    ? { name: 'rotateResourceCredentials', from: '"found"."next_password" is null', to: 'true' }
    : []
  const asked = contextFor(through(...[second].flat()).db, stage.context.actor)
  const outcome = await rotateResourceCredentials(asked, { id })
  // Should a second one be accepted, it gets no further.
  const next = provisioner.pauseBefore('rotate')
  first.release()
  await until(async () => expect((await stage.operations(id))[1]?.state).toBe('SUCCEEDED'))
  const url = new URL(String(await stage.url(id)))
  url.password = await stage.password(id)
  const works = (() => {
    try {
      return stage.provisioner.world.connect(url.href).alive
    } catch {
      return false
    }
  })()
  next.release()
  return { accepted: !('refusal' in outcome), works }
}

test('R48 of two rotations one wins, and the stored password is the one that works', async () => {
  expect(await twoRotations(false)).toEqual({ accepted: false, works: true })
})

test('R48 without the guards the one that ends stores the password of the other', async () => {
  expect(await twoRotations(true)).toEqual({ accepted: true, works: false })
})

test('R74 a pause is answered with PAUSING, is done although the caller is gone, and is PAUSED when nobody is connected', async () => {
  const maker = stage.replica()
  const id = await made()
  await maker.dispatcher.drain(1_000)
  const session = await connect(id)
  // The caller's whole process goes away with its answer; nobody has begun.
  const caller = stage.open({ purpose: 'api' })
  const answer = await pauseResource(contextFor(caller.db, stage.context.actor), { id })
  await caller.close({ timeoutMs: 0 })
  expect((answer as ResourcePayload).resource.state).toBe('PAUSING')
  expect(session.alive).toBe(true)
  const { provisioner } = stage.replica()
  const gate = provisioner.pauseBefore('pause')
  await gate.reached
  expect([(await stage.resource(id)).state, session.alive]).toEqual(['PAUSING', true])
  gate.release()
  await stage.comesTo(id, 'PAUSED')
  expect(session.alive).toBe(false)
})

test('R74 a move that goes to PAUSED at once says so while it runs on', async () => {
  stage.replica()
  const id = await made()
  const session = await connect(id)
  await stage.sql`alter table resource disable trigger user`
  const hasty = through({ name: 'pauseResource', from: `"state" = 'PAUSING'`, to: `"state" = 'PAUSED'` })
  const gate = stage.provisioner.pauseBefore('pause')
  const answer = await pauseResource(contextFor(hasty.db, stage.context.actor), { id })
  expect([(answer as ResourcePayload).resource.state, session.alive]).toEqual(['PAUSED', true])
  gate.release()
})

/** As many provisions as a lane has stand still; another is deleted meanwhile. One connection. */
async function stoodStill(holding: boolean) {
  const held = await hold(stage.sql, 'select pg_advisory_xact_lock(91)')
  const maker = stage.replica()
  const id = await made({ name: 'first' })
  await maker.dispatcher.drain(1_000)
  // All of them are there before anybody looks, and so they are claimed together.
  for (let n = 0; n < 8; n++) await stage.create()
  let begun = 0
  const standing: ResourceReplicaOptions['through'] = (fake, db) => ({
    ...fake,
    async provision(spec, fence, signal) {
      begun++
      // The mutant waits for the provider with a statement open.
      if (holding) await db.execute('/* waiting */ select pg_advisory_xact_lock(91)').catch(() => {})
      return fake.provision(spec, fence, signal)
    },
  })
  const { pool, provisioner } = stage.replica({ slots: 1, through: standing })
  const gates = Array.from({ length: 8 }, () => provisioner.pauseBefore('provision'))
  await until(() => expect(begun).toBe(8))
  if (holding) {
    await until(() => expect(pool.stats()).toMatchObject({ busy: 1 }))
    const stats = pool.stats()
    await held.release()
    for (const gate of gates) gate.release()
    return { busy: stats.busy, waits: stats.waiting > 0 }
  }
  await Promise.all(gates.map((gate) => gate.reached))
  await until(() => expect(pool.stats()).toMatchObject({ busy: 0, waiting: 0 }))
  await deleteResource(stage.context, { id })
  await stage.comesTo(id, 'DELETED')
  for (const gate of gates) gate.release()
  await held.release()
  return { busy: 0, waits: false }
}

test('R91 a lane that stands still starves no other, and no connection is held across a call', async () => {
  expect(await stoodStill(false)).toEqual({ busy: 0, waits: false })
})

test('R91 calls that hold their connection run the pool dry', async () => {
  expect(await stoodStill(true)).toEqual({ busy: 1, waits: true })
})
