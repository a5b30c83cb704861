// What a provisioner says is what a row says, no more: nothing is called made, paused or gone before it is, and nothing that
// comes late undoes it. Each guard is taken out once, by a provisioner or an effect in between that does what one must not.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Provisioner } from '../../src/drivers/provision/driver.ts'
import type { FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import type { Fault } from '../../src/drivers/provision/fake-script.ts'
import type { Effect, Ending } from '../../src/loops/effect.ts'
import { deleteResource } from '../../src/resolvers/resource.ts'
import { markResourceDeleted } from '../../src/resolvers/resource-rule.ts'
import type { Rule } from '../../src/resolvers/transition.ts'
import { until } from '../loops/fixture.ts'
import { answersOf, openResourceStage, type ResourceReplicaOptions, type ResourceStage } from '../resources/fixture.ts'

let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage()
})
afterEach(() => stage.close())

async function made(options: ResourceReplicaOptions = {}) {
  const replica = stage.replica(options)
  const id = await stage.create()
  await stage.comesTo(id, 'ACTIVE')
  return { ...replica, id }
}
const left = async (id: string) => [(await stage.resource(id)).state, await stage.exists(id)]
/** Until so many claims of the newest operation have failed, with everything due at once. */
const failed = (id: string, failures: number) =>
  until(async () => {
    await stage.dueNow()
    expect((await stage.operations(id)).at(-1)?.failures).toBeGreaterThanOrEqual(failures)
  })
const gone = (id: string) =>
  until(async () => {
    await stage.dueNow()
    expect(await left(id)).toEqual(['DELETED', false])
  })

const faults: readonly (readonly [string, Fault])[] = [
  ['refused', { kind: 'refuse', reason: 'the name is not ours' }],
  ['not reached', { kind: 'unreachable' }],
  ['not answered', { kind: 'unknown', done: false }],
  ['at it', { kind: 'working', askAgainAfterMs: 60_000 }],
  ['broken', { kind: 'throw' }],
]

test.each(faults)(
  'R61 a deprovision that was %s leaves it DELETING until the provider has said "gone"',
  async (_, fault) => {
    const { id, provisioner } = await made()
    provisioner.faultNext('deprovision', fault, 2)
    const second = provisioner.pauseBefore('deprovision', ({ fence }) => fence?.attempt === 2)
    await deleteResource(stage.context, { id })
    let there = false
    void second.reached.then(() => {
      there = true
    })
    await until(async () => {
      // What is "at it" is left when it is asked to.
      if (fault.kind === 'working') await stage.leaseEnds(id)
      await stage.dueNow()
      expect(there).toBe(true)
    })
    expect(await left(id)).toEqual(['DELETING', true])
    second.release()
    provisioner.clear()
    await until(async () => {
      if (fault.kind === 'working') await stage.leaseEnds(id)
      await stage.dueNow()
      expect(await left(id)).toEqual(['DELETED', false])
    })
  },
)

test('R61 a worker that ends a deprovision whatever was said leaves it running behind a DELETED row', async () => {
  const hasty = (effect: Effect): Effect =>
    effect.kind !== 'resource.deprovision'
      ? effect
      : {
          ...effect,
          run: async (work): Promise<Ending> => {
            await effect.run(work)
            return { kind: 'finish', rule: markResourceDeleted as unknown as Rule, outcome: 'done' }
          },
        }
  const { id, provisioner } = await made({ instead: (usual) => usual.map(hasty) })
  provisioner.faultNext('deprovision', { kind: 'unreachable' })
  await deleteResource(stage.context, { id })
  await stage.comesTo(id, 'DELETED')
  expect(await left(id)).toEqual(['DELETED', true])
})

/** The first worker's provision stands still; the resource is deleted and gone; then the provision goes on, deaf to all. */
async function lateProvision(through: ResourceReplicaOptions['through']) {
  const first = stage.replica(through ? { through } : {})
  const gate = first.provisioner.pauseBefore('provision', undefined, { deaf: true })
  const id = await stage.create()
  await gate.reached
  await deleteResource(stage.context, { id })
  await stage.leaseEnds(id)
  const draining = first.dispatcher.drain(60_000)
  stage.replica()
  await stage.comesTo(id, 'DELETED')
  gate.release()
  await draining
  return left(id)
}

test('R62 a provision that comes after the end makes nothing behind a DELETED row: the fence decides', async () => {
  expect(await lateProvision(undefined)).toEqual(['DELETED', false])
})

test('R62 without the fence it would', async () => {
  const fenceless = (fake: FakeProvisioner): Provisioner => ({
    ...fake,
    provision: (spec, fence, signal) => fake.provision(spec, { ...fence, generation: 99 }, signal),
  })
  expect(await lateProvision(fenceless)).toEqual(['DELETED', true])
})

/** The provider does nothing and does not answer, twice. */
async function unheard(through?: ResourceReplicaOptions['through']) {
  const { provisioner } = stage.replica(through ? { through } : {})
  provisioner.faultNext('provision', { kind: 'unknown', done: false }, 2)
  const id = await stage.create()
  await until(async () => expect(answersOf(stage, id, 'provision').length).toBeGreaterThan(0))
  return id
}

test('R63 what nobody knows to be made is not called ACTIVE: it is asked for until it is there', async () => {
  const id = await unheard()
  await failed(id, 1)
  const states = new Set<string>()
  await until(async () => {
    await stage.dueNow()
    // The thing first, the row afterwards, whenever one looks.
    const row = await stage.resource(id)
    states.add(`${row.state} ${row.state === 'PROVISIONING' || (await stage.exists(id))}`)
    expect(row.state).toBe('ACTIVE')
  })
  expect([...states].at(-1)).toBe('ACTIVE true')
  expect([...states].every((seen) => seen.endsWith('true'))).toBe(true)
})

test('R63 without a look an ACTIVE row would have nothing behind it', async () => {
  const hopeful = (fake: FakeProvisioner): Provisioner => ({
    ...fake,
    async provision(spec, fence, signal) {
      const outcome = await fake.provision(spec, fence, signal)
      return outcome.kind === 'unknown' ? { kind: 'done', value: { url: 'fake://u:p@127.0.0.1/u' } } : outcome
    },
  })
  const id = await unheard(hopeful)
  await stage.comesTo(id, 'ACTIVE')
  expect(await left(id)).toEqual(['ACTIVE', false])
})

/** Something of that name that Pawl did not make has taken the place. */
async function refusedByName(through?: ResourceReplicaOptions['through']) {
  const { id } = await made(through ? { through } : {})
  stage.provisioner.world.plantForeign(await stage.refOf(id))
  await deleteResource(stage.context, { id })
  return id
}

test('R64 a refused deprovision is not done: DELETING, tried on, and the reason can be read', async () => {
  const id = await refusedByName()
  await failed(id, 3)
  expect(await left(id)).toEqual(['DELETING', true])
  expect((await stage.operations(id)).at(-1)?.outcome).toMatch(/^refused: There is a pawl_\w+ that Pawl did not make/)
  expect(stage.effectsOn(id)).toEqual(['made'])
})

test('R64 one that takes "refused" for success deletes the row of what is there', async () => {
  const id = await refusedByName((fake) => ({
    ...fake,
    async deprovision(ref, fence, signal) {
      const outcome = await fake.deprovision(ref, fence, signal)
      return outcome.kind === 'refused' ? { kind: 'done', value: null } : outcome
    },
  }))
  await stage.comesTo(id, 'DELETED')
  expect(await left(id)).toEqual(['DELETED', true])
})

test('R72 an error on the way is not swallowed: the same thing is asked for again, by the name that was kept', async () => {
  const { id, provisioner } = await made()
  const { incarnation } = await stage.resource(id)
  provisioner.faultNext('deprovision', { kind: 'throw' })
  provisioner.faultNext('deprovision', { kind: 'unreachable' })
  await deleteResource(stage.context, { id })
  await gone(id)
  const calls = stage.provisioner.log().filter(({ call, ref }) => call === 'deprovision' && ref?.subjectId === id)
  expect(calls.map(({ result, ref }) => [result, ref?.incarnation])).toEqual([
    ['thrown', incarnation],
    ['unreachable', incarnation],
    ['done', incarnation],
  ])
})

test('R72 an error that is swallowed leaves an orphan', async () => {
  const { id, provisioner } = await made({
    through: (fake) => ({
      ...fake,
      deprovision: (ref, fence, signal) =>
        fake.deprovision(ref, fence, signal).catch(() => ({ kind: 'done', value: null })),
    }),
  })
  provisioner.faultNext('deprovision', { kind: 'throw' })
  await deleteResource(stage.context, { id })
  await stage.comesTo(id, 'DELETED')
  expect(await left(id)).toEqual(['DELETED', true])
})

test('R72 what is gone already is done at once, and is not tried for ever', async () => {
  const { id, provisioner } = await made()
  provisioner.faultNext('deprovision', { kind: 'alreadyGone' })
  await deleteResource(stage.context, { id })
  await stage.comesTo(id, 'DELETED')
  expect(answersOf(stage, id, 'deprovision')).toEqual(['done'])
})

test('R72 one that takes "gone" for an error is tried for ever', async () => {
  const { id } = await made({
    through: (fake) => ({
      ...fake,
      deprovision: async (ref, fence, signal) =>
        fake.world.exists(ref) ? fake.deprovision(ref, fence, signal) : { kind: 'refused', reason: 'it is not there' },
    }),
  })
  stage.provisioner.world.vanish(await stage.refOf(id))
  await deleteResource(stage.context, { id })
  await failed(id, 5)
  expect((await stage.resource(id)).state).toBe('DELETING')
})
