// What a decision costs, counted at the wire: one statement and one round trip for the way that wins, on a connection that
// knows the statement; what a loser needs beyond it is written down here, so that a further one is seen.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import type { Env } from '../../src/db/env.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { deleteSecret, type SetSecretPayload, setSecret } from '../../src/resolvers/secret.ts'
import { openWorld, outcomeOf, type World } from '../races/world.ts'
import { contextFor } from '../row.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'

let world: World
let proxy: WireProxy
let pool: Pool
beforeAll(async () => {
  world = await openWorld()
  proxy = await startWireProxy(world.url)
  pool = openPool({ url: proxy.url, purpose: 'api', slots: 1, statementTimeoutMs: 5_000 })
})
afterAll(async () => {
  await pool.close()
  await proxy.close()
  await world.close()
})

type State = Parameters<World['deployment']>[0]['state']

/** Asks twice on rows of their own, and counts the second time. */
async function cost(state: State, ask: (id: string) => Promise<object>, env: Env = {}) {
  await ask(await world.deployment({ state, env, expiresInSeconds: 3600 }))
  const id = await world.deployment({ state, env, expiresInSeconds: 3600 })
  proxy.reset()
  const outcome = outcomeOf(await ask(id))
  const { connections, execute, query, roundTrips } = proxy.counts()
  expect(connections).toBe(0)
  return { outcome, statements: execute + query, roundTrips }
}
const context = () => contextFor(pool.db, world.team.actor)
const key = () => crypto.randomUUID()

test('a redeploy that wins is one statement and one round trip, with an idempotency key too', async () => {
  const one = { outcome: 'BUILDING', statements: 1, roundTrips: 1 }
  expect(await cost('HEALTHY', (id) => mutations.redeployDeployment(context(), { id }))).toEqual(one)
  expect(await cost('HEALTHY', (id) => mutations.redeployDeployment(context(), { id, idempotencyKey: key() }))).toEqual(
    one,
  )
})

test('so is every other move of a caller that wins', async () => {
  const one = { statements: 1, roundTrips: 1 }
  const set = [{ key: 'A', value: '1' }]
  let made = 0
  for (const [state, ask] of [
    ['STOPPED', (id) => mutations.startDeployment(context(), { id })],
    ['HEALTHY', (id) => mutations.stopDeployment(context(), { id })],
    ['HEALTHY', (id) => mutations.deleteDeployment(context(), { id })],
    ['HEALTHY', (id) => mutations.mergeDeploymentEnv(context(), { id, set } as never)],
    ['HEALTHY', (id) => mutations.setDeploymentTtl(context(), { id, ttlHours: 1 })],
    ['HEALTHY', (id) => mutations.makeDeploymentPermanent(context(), { id })],
    ['HEALTHY', () => mutations.deploy(context(), { name: `made-${made++}`, image: 'hello:1' })],
  ] as [State, (id: string) => Promise<object>][]) {
    expect(await cost(state, ask)).toMatchObject(one)
  }
})

test('references are looked up in that statement; a secret is looked at before it is sealed, and deleted at once', async () => {
  await setSecret(context(), { name: 'token', value: 'v' })
  const entry = { value: 'secret://token', revision: 1, changedAt: '2030-01-01T00:00:00.000Z', changedBy: 't' }
  const refers = (state: State, ask: (id: string) => Promise<object>) => cost(state, ask, { TOKEN: entry })
  const one = { outcome: 'BUILDING', statements: 1, roundTrips: 1 }
  expect(await refers('HEALTHY', (id) => mutations.redeployDeployment(context(), { id }))).toEqual(one)
  expect(await refers('STOPPED', (id) => mutations.startDeployment(context(), { id }))).toEqual(one)
  let made = 0
  const env = [{ key: 'TOKEN', value: 'secret://token' }]
  const deploys = () => mutations.deploy(context(), { name: `refers-${made++}`, image: 'hello:1', env })
  expect(await refers('HEALTHY', deploys)).toEqual(one)

  const sets = (id: string) =>
    setSecret(context(), { name: `s${id.slice(-8)}`, value: 'v' }).then(() => ({ refusal: '' }))
  expect(await cost('HEALTHY', sets)).toMatchObject({ statements: 2, roundTrips: 2 })
  const deletes = async () => {
    const { secret } = (await setSecret(contextFor(world.pool.db, world.team.actor), {
      name: 'gone',
      value: 'v',
    })) as SetSecretPayload
    await deleteSecret(context(), { id: secret.id })
    return { refusal: '' }
  }
  expect(await cost('HEALTHY', deletes)).toMatchObject({ statements: 1, roundTrips: 1 })
})

test('a redeploy that loses is told from the same statement', async () => {
  const loses = (state: State) => cost(state, (id) => mutations.redeployDeployment(context(), { id }))
  expect(await loses('STOPPED')).toEqual({ outcome: 'NotRedeployable', statements: 1, roundTrips: 1 })
  expect(await loses('STOPPING')).toEqual({ outcome: 'NotRedeployable', statements: 1, roundTrips: 1 })
  // For one that has ended, whoever has its name now is looked up for the remedy, and whether the plan has room for a new one.
  expect(await loses('EXPIRED')).toEqual({ outcome: 'NotRedeployable', statements: 3, roundTrips: 4 })
  // With a key it is first looked up whether the call has won before.
  const withKey = (id: string) => mutations.redeployDeployment(context(), { id, idempotencyKey: key() })
  expect(await cost('STOPPED', withKey)).toEqual({ outcome: 'NotRedeployable', statements: 2, roundTrips: 2 })
})
