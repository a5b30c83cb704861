// The end of a resource, which comes once and never to one that was given more time: callers against callers, callers against
// the expirer, replicas against replicas. Each is played with the loser behind the winner, and with its guard rewritten.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { claimOperation } from '../../src/resolvers/operation-rule.ts'
import { deleteResource, setResourceTtl } from '../../src/resolvers/resource.ts'
import { deprovisionResource, expireResource } from '../../src/resolvers/resource-rule.ts'
import { hold, holdCounters, holdKey, holdQueue, stalling, underWay, untilBlocked } from '../interleave.ts'
import {
  liveStates,
  openResourceWorld,
  passOf,
  type ResourceWorld,
  resourceOutcome,
  seenResource,
} from './resource-world.ts'
import { chainOf, operationsOf } from './world.ts'

let real: ResourceWorld
let bare: ResourceWorld

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openResourceWorld(), openResourceWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const overdue = '"found"."expires_at" <= now()'
/** The same world without what slows one of its statements down. */
const atOnce = (world: ResourceWorld) => (real.url === world.url ? real : bare)
const once = ['resource.deprovision PENDING']
const twice = [...once, ...once]

describe('R10', () => {
  test('R10 a pass whose snapshot is from before the extension lets the resource be', async () => {
    const play = async (world: ResourceWorld) => {
      const id = await world.resource({ state: 'ACTIVE', expiresInSeconds: -1 })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(10)')
      const pass = underWay(passOf(world, expireResource))
      await untilBlocked(world.stranger, 'expireResource')
      expect(resourceOutcome(await setResourceTtl(atOnce(world).context, { id, ttlHours: 1 }))).toBe('ACTIVE')
      await stall.release()
      return { expired: (await pass).includes(id), state: (await seenResource(world, id)).state }
    }
    const stalled = stalling('expireResource', 'resource', 10)
    expect(await play(real.withMutants(...stalled))).toEqual({ expired: false, state: 'ACTIVE' })
    // Deleted by its id alone, as it was found. The search repeats the limit for a row that has changed, too: without both.
    const searched = { name: 'expireResource', from: '"resource"."expires_at" <= now()', to: 'true' }
    const blind = { name: 'expireResource', from: overdue, to: 'true' }
    expect(await play(bare.withMutants(...stalled, blind))).toEqual({ expired: false, state: 'ACTIVE' })
    expect(await play(bare.withMutants(...stalled, searched))).toEqual({ expired: false, state: 'ACTIVE' })
    expect(await play(bare.withMutants(...stalled, searched, blind))).toEqual({ expired: true, state: 'DELETING' })
  })

  test('R10 an extension that is under way is passed by, and wins', async () => {
    const id = await real.resource({ state: 'PAUSED', expiresInSeconds: -1 })
    const key = crypto.randomUUID()
    const held = await holdKey(real.stranger, real.team.actor.id, 'setResourceTtl', key)
    const extension = underWay(setResourceTtl(real.context, { id, ttlHours: null, idempotencyKey: key }))
    await untilBlocked(real.stranger, 'setResourceTtl')
    expect(await passOf(real, expireResource)).not.toContain(id)
    await held.undo()
    expect(resourceOutcome(await extension)).toBe('PAUSED')
    expect(await passOf(real, expireResource)).not.toContain(id)
    expect(await seenResource(real, id)).toMatchObject({ state: 'PAUSED', expiresAt: null, generation: 1 })
  })

  test('R10 an extension that comes behind the expiry is refused and changes nothing', async () => {
    const play = async (world: ResourceWorld) => {
      const id = await world.resource({ state: 'ACTIVE', expiresInSeconds: -1 })
      const counters = await holdCounters(world.stranger, world.team.teamId)
      const pass = underWay(passOf(world, expireResource))
      await untilBlocked(world.stranger, 'expireResource')
      const late = underWay(setResourceTtl(world.context, { id, ttlHours: 1 }))
      await untilBlocked(world.stranger, 'setResourceTtl')
      await counters.release()
      expect(await pass).toContain(id)
      const outcome = resourceOutcome(await late)
      const { state, expiresAt } = await seenResource(world, id)
      return { outcome, state, extended: Number(expiresAt) > Date.now() }
    }
    expect(await play(real)).toEqual({ outcome: 'IllegalState', state: 'DELETING', extended: false })
    const stateless = { name: 'setResourceTtl', from: liveStates, to: 'true' }
    expect(await play(bare.withMutants(stateless))).toEqual({ outcome: 'DELETING', state: 'DELETING', extended: true })
  })
})

test('R17 two deletes: the swap is the gate, and the loser is told when it happened', async () => {
  const play = async (world: ResourceWorld) => {
    const id = await world.resource({ state: 'ACTIVE' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const first = deleteResource(world.context, { id })
    await untilBlocked(world.stranger, 'deleteResource')
    const second = underWay(deleteResource(world.context, { id }))
    await untilBlocked(world.stranger, 'deleteResource', 2)
    await counters.release()
    const outcomes = [resourceOutcome(await first), resourceOutcome(await second)]
    const { deletedAt, generation } = await seenResource(world, id)
    const lost = await second
    const told = isRefusal(lost) ? lost.facts.deletedAt : null
    return { outcomes, operations: await operationsOf(world, id), generation, told: Number(told) === Number(deletedAt) }
  }
  const outcomes = ['DELETING', 'ResourceAlreadyDeleted']
  expect(await play(real)).toEqual({ outcomes, operations: once, generation: 2, told: true })
  const stateless = { name: 'deleteResource', from: liveStates, to: 'true' }
  expect(await play(bare.withMutants(stateless))).toMatchObject({
    outcomes: ['DELETING', 'DELETING'],
    operations: twice,
    generation: 3,
  })
})

describe('R18', () => {
  test('R18 the time limit goes through the same gate: a delete behind an expiry changes nothing', async () => {
    const play = async (world: ResourceWorld) => {
      const id = await world.resource({ state: 'ACTIVE', expiresInSeconds: -1 })
      const counters = await holdCounters(world.stranger, world.team.teamId)
      const pass = underWay(passOf(world, expireResource))
      await untilBlocked(world.stranger, 'expireResource')
      const late = underWay(deleteResource(world.context, { id }))
      await untilBlocked(world.stranger, 'deleteResource')
      await counters.release()
      expect(await pass).toContain(id)
      return {
        late: resourceOutcome(await late),
        chain: await chainOf(world, id),
        operations: await operationsOf(world, id),
      }
    }
    const gone = 'deleteResource ACTIVE→DELETING'
    expect(await play(real)).toEqual({ late: 'ResourceAlreadyDeleted', chain: [gone], operations: once })
    const stateless = { name: 'deleteResource', from: liveStates, to: 'true' }
    const chain = [gone, 'deleteResource DELETING→DELETING']
    expect(await play(bare.withMutants(stateless))).toEqual({ late: 'DELETING', chain, operations: twice })
  })

  test('R18 an expiry whose snapshot is from before the delete changes nothing', async () => {
    const play = async (world: ResourceWorld) => {
      const id = await world.resource({ state: 'ACTIVE', expiresInSeconds: -1 })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(18)')
      const pass = underWay(passOf(world, expireResource))
      await untilBlocked(world.stranger, 'expireResource')
      expect(resourceOutcome(await deleteResource(world.context, { id }))).toBe('DELETING')
      await stall.release()
      return { expired: (await pass).includes(id), operations: await operationsOf(world, id) }
    }
    const stalled = stalling('expireResource', 'resource', 18)
    expect(await play(real.withMutants(...stalled))).toEqual({ expired: false, operations: once })
    const found = '"resource"."state" in ($1, $2, $3, $4, $5, $6, $7)'
    const searched = { name: 'expireResource', from: found, to: `(${found} or true)` }
    const stateless = { name: 'expireResource', from: liveStates, to: 'true' }
    expect(await play(bare.withMutants(...stalled, searched, stateless))).toEqual({ expired: true, operations: twice })
  })
})

describe('R19', () => {
  test('R19 two replicas never hold one deprovision at once: the lease decides', async () => {
    const kind = 'resource.deprovision'
    const values = { kind, workerId: 'test', leaseMs: 10_000 }
    const play = async (world: ResourceWorld) => {
      const subjectId = await world.resource({ state: 'DELETING' })
      const id = await world.work({ subjectId, state: 'PENDING', kind })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(19)')
      const late = underWay(passOf(world, claimOperation('Resource'), values))
      await untilBlocked(world.stranger, 'claimOperation:Resource')
      const first = await passOf(atOnce(world), claimOperation('Resource'), values)
      await stall.release()
      return [first.includes(id), (await late).includes(id)]
    }
    const stalled = stalling('claimOperation:Resource', 'operation', 19)
    expect(await play(real.withMutants(...stalled))).toEqual([true, false])
    const due = ['"operation"."due_at" <= now() or', '"found"."due_at" <= now() or']
    const leaseless = due.map((from) => ({ name: 'claimOperation:Resource', from, to: 'true or' }))
    expect(await play(bare.withMutants(...stalled, ...leaseless))).toEqual([true, true])
  })

  test('R19 the net under deprovisions runs in two replicas at once and queues each once', async () => {
    const play = async (world: ResourceWorld, waits: boolean) => {
      const ids = [await world.resource({ state: 'DELETING' }), await world.resource({ state: 'DELETING' })]
      const queue = await holdQueue(world.stranger, world.team.teamId)
      const first = underWay(passOf(world, deprovisionResource))
      await untilBlocked(world.stranger, 'deprovisionResource')
      const second = underWay(passOf(world, deprovisionResource))
      if (waits) await untilBlocked(world.stranger, 'deprovisionResource', 2)
      else expect(await second).not.toEqual(expect.arrayContaining([ids[0]]))
      await queue.release()
      await Promise.all([first, second])
      return (await Promise.all(ids.map((id) => operationsOf(world, id)))).flat()
    }
    expect(await play(real, false)).toEqual(twice)
    const plain = { name: 'deprovisionResource', from: ' for no key update skip locked', to: '' }
    const ageless = { name: 'deprovisionResource', from: '"found"."version" = (', to: '0 <> (' }
    expect(await play(bare.withMutants(plain, ageless), true)).toEqual([...twice, ...twice])
  })

  test('R19 a net whose snapshot is from before another one queues nothing again', async () => {
    const play = async (world: ResourceWorld) => {
      const id = await world.resource({ state: 'DELETING' })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(191)')
      const late = underWay(passOf(world, deprovisionResource))
      await untilBlocked(world.stranger, 'deprovisionResource')
      expect(await passOf(atOnce(world), deprovisionResource)).toContain(id)
      await stall.release()
      return { again: (await late).includes(id), operations: await operationsOf(world, id) }
    }
    const stalled = stalling('deprovisionResource', 'resource', 191)
    expect(await play(real.withMutants(...stalled))).toEqual({ again: false, operations: once })
    const ageless = { name: 'deprovisionResource', from: '"found"."version" = (', to: '0 <> (' }
    expect(await play(bare.withMutants(...stalled, ageless))).toEqual({ again: true, operations: twice })
  })
})
