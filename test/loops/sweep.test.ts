// What drivers have and nobody owns: left alone for an hour, then removed once, whoever looks. A list that is not certain, a
// driver that hangs, and a removal that does not get through: nothing is lost by them, and nothing is forgotten.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { PoolOptions } from '../../src/db/client.ts'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { type Holder, resourceHolders, workloadHolder } from '../../src/loops/sweep-orphan.ts'
import { mutating } from '../interleave.ts'
import { calm, fenceOf, openSweepStage, type SweepStage } from './sweep-stage.ts'

let stage: SweepStage
beforeAll(async () => {
  stage = await openSweepStage()
})
afterEach(() => stage.rest())
afterAll(() => stage.close())

test('R93 what nobody owns is left alone for its hour, then removed, and told', async () => {
  const ref = await stage.running()
  const { pass, lines } = stage.sweeper()
  expect(await pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  await stage.sql`update orphan set first_seen_at = first_seen_at - interval '59 minutes'`
  expect(await stage.sweeper().pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  expect(stage.runs(ref)).toBe(true)
  await stage.sql`update orphan set first_seen_at = first_seen_at - interval '1 minute'`
  expect(await pass()).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(stage.runs(ref)).toBe(false)
  expect(await stage.noted()).toEqual([])
  expect(lines).toEqual([
    expect.stringContaining('warn a driver has what nobody owns'),
    expect.stringMatching(`warn an orphan was removed .*subjectId=${ref.subjectId} .*outcome=done`),
  ])
  // Whoever began to start it long ago comes too late.
  const spec = { ...ref, name: 'lost', image: 'hello', env: {} }
  expect(await stage.driver.ensure(spec, fenceOf(ref, 1), calm)).toMatchObject({ kind: 'stale' })
})

/** One replica stands before the removal; another one looks. How often the driver is asked to remove it, in all. */
async function removedWhileAnotherLooks(wrap?: PoolOptions['wrap']): Promise<number> {
  const ref = await stage.running()
  const [one, other] = [stage.sweeper(), stage.sweeper(wrap)]
  await one.pass()
  await stage.graceEnds()
  const gate = one.driver.pauseBefore('remove')
  const first = one.pass()
  await gate.reached
  await other.pass()
  gate.release()
  await first
  expect(stage.runs(ref)).toBe(false)
  return stage.removals(ref).length
}

test('R19 R93 of two replicas one removes it; without its guard both would', async () => {
  expect(await removedWhileAnotherLooks()).toBe(1)
  const free = '(h.claimed_until is null or h.claimed_until <= now())'
  expect(await removedWhileAnotherLooks(mutating({ name: 'claimOrphans', from: free, to: 'true' }))).toBe(2)
})

describe('R93 a list that is no certain one is no reason:', () => {
  test.each([
    ['unreachable', { kind: 'unreachable' }],
    ['unknown', { kind: 'unknown', done: true }],
    ['thrown', { kind: 'throw' }],
    ['refused', { kind: 'refuse', reason: 'No access' }],
  ] as const)('%s', async (_, fault) => {
    const ref = await stage.running()
    const { driver, pass, lines } = stage.sweeper()
    await pass()
    await stage.graceEnds()
    driver.faultNext('listOwned', fault)
    expect(await pass()).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
    expect(stage.runs(ref)).toBe(true)
    expect(await stage.noted()).toHaveLength(1)
    expect(lines.at(-1)).toContain('warn what a driver has cannot be told')
  })

  test('one that lies that there is nothing: the hour begins again', async () => {
    const ref = await stage.running()
    const { driver, pass } = stage.sweeper()
    await pass()
    await stage.graceEnds()
    driver.faultNext('listOwned', { kind: 'lieAbsent' })
    await pass()
    expect(await pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
    expect(stage.runs(ref)).toBe(true)
  })
})

test('R106 R107 a driver that hangs is cut off by the deadline, and keeps no other from its turn', async () => {
  const ref = await stage.provisioned()
  const { driver, pass } = stage.sweeper()
  await pass()
  await stage.graceEnds()
  driver.faultNext('listOwned', { kind: 'hang', done: false })
  const deadline = new AbortController()
  const swept = pass(deadline.signal)
  await expect.poll(() => stage.provisioner.world.exists(ref)).toBe(false)
  deadline.abort()
  expect(await swept).toEqual({ moved: 1, unchanged: 0, skipped: 1 })
})

test('R107 a fault of the database at one driver keeps no other from its turn, and fails the pass', async () => {
  const ref = await stage.running()
  const broken: Holder = {
    name: 'runtime.broken',
    owners: 'workload',
    listOwned: async () => ({ kind: 'done', value: [{ subjectId: 'x', incarnation: '\0', generation: 1 }] }),
    remove: async () => ({ kind: 'done', value: null }),
  }
  await stage.sweeper().pass()
  await stage.graceEnds()
  await expect(stage.sweeper(undefined, [broken, workloadHolder(stage.driver)]).pass()).rejects.toThrow()
  expect(stage.runs(ref)).toBe(false)
})

test('a provisioner that cannot be used is not asked', async () => {
  const unused = createFakeProvisioner({ unavailable: 'It needs a setting' })
  expect(resourceHolders([unused, stage.provisioner]).map(({ name }) => name)).toEqual(['provision.POSTGRES'])
})

test('R72 a removal that does not get through is kept with its reason and tried again by the next pass, until it is done', async () => {
  const ref = await stage.running()
  const { driver, pass, lines } = stage.sweeper()
  await pass()
  await stage.graceEnds()
  driver.faultNext('remove', { kind: 'unreachable' })
  expect(await pass()).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
  expect(await stage.noted()).toEqual([expect.objectContaining({ outcome: expect.stringContaining('unreachable') })])
  expect(lines.at(-1)).toContain('not removed yet')
  // Not again by the same pass, nor by a replica that looks a moment later.
  expect(await stage.sweeper().pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  await stage.claimsEnd()
  expect(await pass()).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(stage.removals(ref)).toEqual(['unreachable', 'done'])
  expect(await stage.noted()).toEqual([])
})

test('R68 a replica that dies between its claim and the removal loses nothing; should it come late, it does nothing', async () => {
  const ref = await stage.running()
  const [dying, next] = [stage.sweeper(), stage.sweeper()]
  await dying.pass()
  await stage.graceEnds()
  const gate = dying.driver.pauseBefore('remove')
  const dead = dying.pass()
  await gate.reached
  expect(await next.pass()).toEqual({ moved: 0, unchanged: 1, skipped: 0 })
  await stage.claimsEnd()
  expect(await next.pass()).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  // It is wanted again, by a newer wish, before the dead one wakes.
  await stage.running(ref, 2)
  gate.release()
  expect(await dead).toEqual({ moved: 0, unchanged: 0, skipped: 1 })
  expect(stage.runs(ref)).toBe(true)
})

test('R73 one that has gone by itself meanwhile is done', async () => {
  const ref = await stage.running()
  const { driver, pass } = stage.sweeper()
  await pass()
  await stage.graceEnds()
  driver.faultNext('remove', { kind: 'alreadyGone' })
  expect(await pass()).toEqual({ moved: 1, unchanged: 0, skipped: 0 })
  expect(await stage.noted()).toEqual([])
  expect(stage.removals(ref)).toEqual(['done'])
})

test('R71 more than one batch goes in one pass, oldest first, and one of them that throws burns no other', async () => {
  const refs = await Promise.all(Array.from({ length: 20 }, () => stage.running()))
  const { driver, pass } = stage.sweeper()
  await pass()
  await stage.graceEnds()
  driver.faultNext('remove', { kind: 'throw' })
  expect(await pass()).toEqual({ moved: 19, unchanged: 0, skipped: 1 })
  expect(refs.filter((ref) => stage.runs(ref))).toHaveLength(1)
})
