// A worker that dies between any two steps of a provision or a deprovision, and another one that goes on: one resource, or
// none, and what the dead one still had on its way changes nothing.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { deleteResource } from '../../src/resolvers/resource.ts'
import { createGates } from '../interleave.ts'
import { until } from '../loops/fixture.ts'
import { answersOf, openResourceStage, type ResourceReplica, type ResourceStage } from './fixture.ts'

let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage()
})
afterEach(() => stage.close())

type Side = 'before' | 'after'
interface Point {
  readonly at: 'call' | 'statement'
  readonly name: string
  readonly side: Side
}
interface Mortal extends ResourceReplica {
  /** Waits until it has come to the point, and kills it there. */
  dies(point: Point): Promise<void>
  /** Lets what it had on its way go on, and waits until it has ended. */
  ghost(): Promise<void>
}

/** A replica that can be killed: from then on none of its statements arrives, and no answer reaches it. */
function mortal(point: Point): Mortal {
  let dead = false
  let told = false
  const gates = createGates()
  const alive = () => {
    if (dead) throw new DatabaseFault('unavailable', 'dead')
  }
  const replica = stage.replica({
    timing: { renewEveryMs: 50 },
    wrap: (channel) => {
      const gated = gates.wrap({
        run: async (statement) => {
          alive()
          return channel.run(statement)
        },
      })
      return {
        run: async (statement) => {
          // In the end it is told that its leases are gone, so that it need not wait for their end.
          if (told && statementName(statement.sql) === 'renewLeases') return []
          const rows = await gated.run(statement)
          alive()
          return rows
        },
      }
    },
  })
  const { provisioner } = replica
  const gate =
    point.at === 'statement'
      ? gates.park(point.name, { when: point.side })
      : point.side === 'before'
        ? provisioner.pauseBefore(point.name as 'provision', undefined, { deaf: true })
        : provisioner.pauseAfter(point.name as 'provision')
  return {
    ...replica,
    async dies() {
      await gate.reached
      dead = true
    },
    async ghost() {
      gate.release()
      told = true
      await until(() => expect(replica.dispatcher.running()).toBe(0))
    },
  }
}

const call = (name: string, side: Side): Point => ({ at: 'call', name, side })
const statement = (name: string, side: Side): Point => ({ at: 'statement', name, side })
const titled = (points: readonly Point[]) => points.map((point) => [point.side, point.name, point] as const)

const provisioning = [
  statement('claimOperation:Resource', 'after'),
  call('provision', 'before'),
  call('provision', 'after'),
  statement('markResourceActive', 'before'),
  statement('markResourceActive', 'after'),
]

describe('provision', () => {
  test.each(titled(provisioning))('killed %s %s: one resource, made once, and its URL works', async (_, __, point) => {
    const first = mortal(point)
    const id = await stage.create()
    await first.dies(point)
    await stage.leaseEnds(id)
    stage.replica()
    await stage.comesTo(id, 'ACTIVE')
    await first.ghost()
    expect(stage.effectsOn(id)).toEqual(['made'])
    expect(stage.provisioner.world.connect(String(await stage.url(id))).alive).toBe(true)
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUCCEEDED'])
  })

  test.each(titled(provisioning.slice(0, 4)))(
    'killed %s %s and deleted before anybody goes on: none',
    async (_, __, point) => {
      const first = mortal(point)
      const id = await stage.create()
      await first.dies(point)
      await deleteResource(stage.context, { id })
      await stage.leaseEnds(id)
      stage.replica()
      await stage.comesTo(id, 'DELETED')
      await first.ghost()
      expect(await stage.exists(id)).toBe(false)
      const effects = stage.effectsOn(id)
      expect(effects).toEqual(effects.length > 0 ? ['made', 'removed'] : [])
    },
  )
})

describe('a provision that fails', () => {
  const failing = [
    call('provision', 'before'),
    call('deprovision', 'before'),
    call('deprovision', 'after'),
    statement('markResourceFailed', 'before'),
    statement('markResourceFailed', 'after'),
  ]

  test.each(titled(failing))('killed %s %s: FAILED at the next claim, and nothing is left', async (_, __, point) => {
    const first = mortal(point)
    // What it refuses is there by half.
    first.provisioner.faultNext('provision', { kind: 'unknown', done: true })
    first.provisioner.faultNext('provision', { kind: 'refuse', reason: 'the disk is full' }, 9)
    const id = await stage.create()
    if (point.name !== 'provision') {
      await stage.work(id, 'UNKNOWN')
      await stage.dueNow()
    }
    await first.dies(point)
    await stage.leaseEnds(id)
    const second = stage.replica()
    second.provisioner.faultNext('provision', { kind: 'refuse', reason: 'the disk is full' }, 9)
    const { stateReason } = await stage.comesTo(id, 'FAILED')
    await first.ghost()
    expect(stateReason).toBe('the disk is full')
    expect(await stage.exists(id)).toBe(false)
    expect(await stage.url(id)).toBeNull()
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['FAILED'])
  })

  test('killed after what it had made was removed: the next claim finds that, and ends it', async () => {
    const point = statement('markResourceFailed', 'before')
    const first = mortal(point)
    first.provisioner.faultNext('provision', { kind: 'refuse', reason: 'the disk is full' })
    const id = await stage.create()
    await first.dies(point)
    await stage.leaseEnds(id)
    // The provider would make it now; the removal before is final.
    stage.replica()
    expect((await stage.comesTo(id, 'FAILED')).stateReason).toMatch(/removed/)
    expect(await stage.operations(id)).toMatchObject([{ state: 'FAILED', attempt: 2 }])
    expect(await stage.exists(id)).toBe(false)
    await first.ghost()
  })
})

describe('deprovision', () => {
  const points = [
    statement('claimOperation:Resource', 'after'),
    call('deprovision', 'before'),
    call('deprovision', 'after'),
    statement('markResourceDeleted', 'before'),
    statement('markResourceDeleted', 'after'),
  ]

  test.each(titled(points))('killed %s %s: gone, removed once', async (_, __, point) => {
    const maker = stage.replica()
    const id = await stage.create()
    await stage.comesTo(id, 'ACTIVE')
    await maker.dispatcher.drain(0)
    const first = mortal(point)
    await deleteResource(stage.context, { id })
    await first.dies(point)
    await stage.leaseEnds(id)
    stage.replica()
    await stage.comesTo(id, 'DELETED')
    await first.ghost()
    expect(stage.effectsOn(id)).toEqual(['made', 'removed'])
    expect(answersOf(stage, id, 'deprovision').filter((answer) => answer !== 'stale').length).toBeGreaterThan(0)
    expect((await stage.operations(id)).map(({ state }) => state)).toEqual(['SUCCEEDED', 'SUCCEEDED'])
  })
})
