// The answer is lost after the statement was sent: the caller is told what really happened, or that it is not known; never
// anything else. Replies are swallowed at the wire, after the commit; strangers hold what the look-up needs.
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Context } from '../../src/context.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import { createApiToken } from '../../src/resolvers/api-token.ts'
import { authenticate } from '../../src/resolvers/authenticate.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { createGates, holdRow, underWay, untilBlocked } from '../interleave.ts'
import { chainOf, openWorld, operationsOf, outcomeOf, seen, type World } from '../races/world.ts'
import { contextFor } from '../row.ts'
import { until } from '../until.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'

let world: World
let proxy: WireProxy
let pool: Pool
let context: Context
const gates = createGates()

beforeAll(async () => {
  world = await openWorld()
  proxy = await startWireProxy(world.url)
  const options = { purpose: 'api', slots: 2, statementTimeoutMs: 5_000, lockTimeoutMs: 300, wrap: gates.wrap } as const
  pool = openPool({ url: proxy.url, ...options })
  context = contextFor(pool.db, world.team.actor)
})
afterAll(async () => {
  await pool.close({ timeoutMs: 0 })
  await proxy.close()
  await world.close()
})

const won = <T extends object>(result: T | Refusal): T => {
  if (isRefusal(result)) throw new Error(`refused: ${result.message}`)
  return result as T
}
/** Makes sure that the next statement finds a connection with that mutation prepared, so that it is one round trip. */
const warm = async () => {
  const id = await world.deployment({ state: 'HEALTHY' })
  won(await mutations.redeployDeployment(context, { id }))
  won(await mutations.mergeDeploymentEnv(context, { id, set: [{ key: 'A', value: '1' }] } as never))
}

describe('a reply that is lost after the commit', () => {
  test('of a redeploy is told as the move that it was, with its operation', async () => {
    await warm()
    const id = await world.deployment({ state: 'HEALTHY' })
    const lost = proxy.swallow()
    const result = won(await mutations.redeployDeployment(context, { id, image: 'hello:2' }))
    await lost
    expect(result).toMatchObject({
      replayed: false,
      deployment: { id, state: 'BUILDING', generation: 2, image: 'hello:2' },
      operation: { kind: 'deployment.roll_out', generation: 2, state: 'PENDING', subjectId: id },
    })
    expect(await chainOf(world, id)).toEqual(['redeployDeployment HEALTHY→BUILDING'])
    expect(await operationsOf(world, id)).toHaveLength(1)
  })

  test('of a redeploy by name finds the deployment through its operation', async () => {
    await world.deployment({ state: 'HEALTHY', name: 'warm-name' })
    won(await mutations.deploy(context, { name: 'warm-name', image: 'hello:2', redeploy: true }))
    const id = await world.deployment({ state: 'HEALTHY', name: 'by-name' })
    const lost = proxy.swallow()
    const result = won(await mutations.deploy(context, { name: 'by-name', image: 'hello:2', redeploy: true }))
    await lost
    expect(result).toMatchObject({ deployment: { id, generation: 2 }, operation: { generation: 2 } })
    expect(await operationsOf(world, id)).toHaveLength(1)
  })

  test('of a deploy is told as the birth that it was', async () => {
    won(await mutations.deploy(context, { name: 'warm-birth', image: 'hello:1' }))
    const lost = proxy.swallow()
    const result = won(await mutations.deploy(context, { name: 'lost-birth', image: 'hello:1' }))
    await lost
    expect(result).toMatchObject({ replayed: false, deployment: { name: 'lost-birth' }, operation: { generation: 1 } })
  })

  test('of a merge is told with its counts', async () => {
    await warm()
    const id = await world.deployment({ state: 'HEALTHY' })
    won(await mutations.mergeDeploymentEnv(context, { id, set: [{ key: 'OLD', value: '1' }] } as never))
    const lost = proxy.swallow()
    const patch = { id, set: [{ key: 'NEW', value: '1' }], unset: ['OLD', 'NEVER'] } as never
    const result = won(await mutations.mergeDeploymentEnv(context, patch))
    await lost
    expect(result).toMatchObject({ keysSet: 1, keysDeleted: 1, operation: null })
  })

  test('of a new token still shows the token, which works', async () => {
    won(await createApiToken(context, { name: 'warm', scopes: ['read'] }))
    const lost = proxy.swallow()
    const { plaintext, token } = won(await createApiToken(context, { name: 'lost', scopes: ['read'] }))
    await lost
    expect(await authenticate(pool.db, String(plaintext))).toMatchObject({ id: token.id })
    // The use is noted behind the request's back: its answer must not be the one that the next test loses.
    await until(async () => {
      const [noted] = await world.stranger`select from api_token where id = ${token.id} and last_used_at is not null`
      if (!noted) throw new Error('the use of the token is not noted yet')
    })
  })

  test('is not answered as busy while somebody holds the row: it is not known, and a repeat finds out', async () => {
    await warm()
    const id = await world.deployment({ state: 'HEALTHY' })
    const input = { id, idempotencyKey: crypto.randomUUID() }
    // The first statement without a name is the look-up.
    const gate = gates.park('')
    const lost = proxy.swallow()
    const call = underWay(mutations.redeployDeployment(context, input))
    await lost
    await gate.reached
    const row = await holdRow(world.stranger, 'deployment', id)
    gate.release()
    // With a key the stored answer is found though the row cannot be had.
    expect(won(await call)).toMatchObject({ replayed: true, deployment: { id, generation: 2 } })
    await row.release()
  })

  test('without a key, and with the row held by somebody, is told as not known, never as nothing changed', async () => {
    await warm()
    const id = await world.deployment({ state: 'HEALTHY' })
    const gate = gates.park('')
    const lost = proxy.swallow()
    const call = underWay(mutations.redeployDeployment(context, { id }))
    await lost
    await gate.reached
    const row = await holdRow(world.stranger, 'deployment', id)
    gate.release()
    const result = await call
    expect(result).toMatchObject({ refusal: 'TemporarilyUnavailable', retryable: true })
    expect((result as unknown as Refusal).message).toContain('not known whether the change was made')
    await row.release()
    expect((await seen(world, id)).generation).toBe(2)
  })
})

describe('a statement that never reached the server', () => {
  test('is sent again by itself, and happens once', async () => {
    await warm()
    const id = await world.deployment({ state: 'HEALTHY' })
    proxy.cut()
    const result = await mutations.redeployDeployment(context, { id })
    expect(['BUILDING', 'TemporarilyUnavailable']).toContain(outcomeOf(result))
    const { generation } = await seen(world, id)
    expect(generation).toBe(isRefusal(result) ? 1 : 2)
  })

  test('is told as unavailable when nobody can be reached, and has changed nothing', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    proxy.refuse()
    proxy.cut()
    await turn()
    const result = await mutations.redeployDeployment(context, { id })
    expect(result).toMatchObject({ refusal: 'TemporarilyUnavailable', retryable: true })
    // Spread, so that those who were turned away together do not come back together.
    const { retryAfterMs } = result as { retryAfterMs: number }
    expect(retryAfterMs).toBeGreaterThanOrEqual(500)
    expect(retryAfterMs).toBeLessThanOrEqual(1_500)
    proxy.restore()
    expect((await seen(world, id)).generation).toBe(1)
    expect(outcomeOf(await mutations.redeployDeployment(context, { id }))).toBe('BUILDING')
  })

  test('because its connection died while it waited for a lock has changed nothing, and says that it is not known', async () => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const slow = contextFor(world.pool.db, world.team.actor)
    const row = await holdRow(world.stranger, 'deployment', id)
    const call = underWay(mutations.redeployDeployment(slow, { id }))
    const [pid] = await untilBlocked(world.stranger, 'redeployDeployment')
    await world.stranger`select pg_terminate_backend(${pid ?? 0}, 5000)`
    await row.release()
    expect(outcomeOf(await call)).toBe('TemporarilyUnavailable')
    expect(await seen(world, id)).toMatchObject({ generation: 1, version: 1 })
  })
})
