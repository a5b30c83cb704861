// Stacks at the wire: what a decision costs in statements and round trips, and what a caller is told when the answer is lost
// after the commit.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/stack.ts'
import { merging, openStackWorld, type StackWorld, seenStack, stackOutcome } from '../races/stack-world.ts'
import { chainOf, operationsOf } from '../races/world.ts'
import { contextFor } from '../row.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'
import { serviceOf } from './row.ts'

let world: StackWorld
let proxy: WireProxy
let pool: Pool
beforeAll(async () => {
  world = await openStackWorld()
  proxy = await startWireProxy(world.url)
  pool = openPool({ url: proxy.url, purpose: 'api', slots: 1, statementTimeoutMs: 5_000 })
})
afterAll(async () => {
  await pool.close({ timeoutMs: 0 })
  await proxy.close()
  await world.close()
})

const context = () => contextFor(pool.db, world.team.actor)
const key = () => crypto.randomUUID()
let made = 0
const create = (name = `made-${made++}`) => mutations.createStack(context(), { name, services: [serviceOf('web')] })

describe('what a decision costs', () => {
  /** Asks twice on rows of their own, and counts the second time. */
  async function cost(ask: (id: string) => Promise<object>, state: 'HEALTHY' | 'DELETING' | 'DELETED' = 'HEALTHY') {
    await ask(await world.stack({ state }))
    const id = await world.stack({ state })
    proxy.reset()
    const outcome = stackOutcome(await ask(id))
    const { connections, execute, query, roundTrips } = proxy.counts()
    expect(connections).toBe(0)
    return { outcome, statements: execute + query, roundTrips }
  }
  const one = { statements: 1, roundTrips: 1 }

  test('a merge that wins is one statement and one round trip, with an idempotency key and expectations too', async () => {
    expect(await cost((id) => mutations.mergeStackEnv(context(), merging(id, 'A')))).toMatchObject(one)
    const more = () => ({ unset: ['B'], expect: [{ key: 'A', absent: true }], idempotencyKey: key() })
    expect(await cost((id) => mutations.mergeStackEnv(context(), merging(id, 'A', more())))).toMatchObject(one)
  })

  test('so is every other move of a caller that wins', async () => {
    expect(await cost((id) => mutations.redeployStack(context(), { id }))).toMatchObject(one)
    expect(await cost((id) => mutations.deleteStack(context(), { id, idempotencyKey: key() }))).toMatchObject(one)
    expect(await cost(() => create())).toMatchObject(one)
  })

  test('a merge that loses is told from the same statement; for the way on the heir of the name is looked up', async () => {
    const late = { expect: [{ key: 'A', revision: 7 }] }
    expect(await cost((id) => mutations.mergeStackEnv(context(), merging(id, 'A', late)))).toEqual({
      outcome: 'EnvConflict',
      ...one,
    })
    const ended = await cost((id) => mutations.mergeStackEnv(context(), merging(id, 'A')), 'DELETING')
    expect(ended).toEqual({ outcome: 'StackDeleting', statements: 2, roundTrips: 2 })
    const twice = await cost((id) => mutations.deleteStack(context(), { id }), 'DELETED')
    expect(twice).toEqual({ outcome: 'StackAlreadyDeleted', ...one })
  })
})

describe('an answer that is lost after the commit', () => {
  const won = <T extends object>(result: T | Refusal): T => {
    if (isRefusal(result)) throw new Error(`refused: ${result.message}`)
    return result as T
  }

  test('of a merge is told with its counts and with how many keys there were then', async () => {
    const id = await world.stack({ state: 'HEALTHY' })
    won(await mutations.mergeStackEnv(context(), merging(id, 'OLD')))
    won(await mutations.mergeStackEnv(context(), merging(id, 'KEPT')))
    const lost = proxy.swallow()
    const patch = merging(id, 'NEW', { unset: ['OLD', 'NEVER'] })
    const result = won(await mutations.mergeStackEnv(context(), patch))
    await lost
    expect(result).toMatchObject({ replayed: false, keysSet: 1, keysDeleted: 1, totalKeys: 2, operation: null })
    expect(Object.keys((await seenStack(world, id)).env).sort()).toEqual(['KEPT', 'NEW'])
    expect(await chainOf(world, id)).toHaveLength(3)
  })

  test('of a redeploy and of a birth is told as what it was, with its operation', async () => {
    won(await mutations.redeployStack(context(), { id: await world.stack({ state: 'HEALTHY' }) }))
    const id = await world.stack({ state: 'FAILED' })
    const redeploy = proxy.swallow()
    expect(won(await mutations.redeployStack(context(), { id }))).toMatchObject({
      replayed: false,
      stack: { id, state: 'BUILDING', generation: 2 },
      operation: { kind: 'stack.roll_out', generation: 2, subjectId: id },
    })
    await redeploy
    expect(await operationsOf(world, id)).toEqual(['stack.roll_out PENDING'])
    won(await create())
    const birth = proxy.swallow()
    expect(won(await create('lost-birth'))).toMatchObject({
      replayed: false,
      stack: { name: 'lost-birth', state: 'BUILDING' },
      operation: { kind: 'stack.roll_out' },
    })
    await birth
  })
})
