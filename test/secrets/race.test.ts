// Calls on one secret at once, and a secret that goes or comes while something that refers to it is started: each order is
// forced at the statements that decide, and each answer is that of some order of the calls, one after another.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Channel, openPool, type Pool } from '../../src/db/client.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as deployments from '../../src/resolvers/deployment.ts'
import { deleteSecret, type SetSecretPayload, setSecret } from '../../src/resolvers/secret.ts'
import { patient } from '../database.ts'
import { createGates, type Gates, holdRow, mutating, underWay, untilBlocked } from '../interleave.ts'
import { openWorld, outcomeOf, type World } from '../races/world.ts'
import { contextFor } from '../row.ts'
import { counted, kept, stored } from './fixture.ts'

let world: World
/** Replicas, each with gates of its own. */
let replicas: { pool: Pool; gates: Gates; context: World['context'] }[]
beforeAll(async () => {
  world = await openWorld()
  replicas = [0, 1].map(() => {
    const gates = createGates()
    const pool = openPool({ url: world.url, purpose: 'api', slots: 8, ...patient, wrap: gates.wrap })
    return { pool, gates, context: contextFor(pool.db, world.team.actor) }
  })
})
afterAll(async () => {
  await Promise.all(replicas.map(({ pool }) => pool.close()))
  await world.close()
})
const [one, other] = [() => replicas[0] as (typeof replicas)[0], () => replicas[1] as (typeof replicas)[0]]
const told = (answer: object) => {
  if (isRefusal(answer)) return answer.refusal
  return 'created' in answer ? ((answer as SetSecretPayload).created ? 'created' : 'replaced') : 'deleted'
}

test('two set a new name at once: one makes it, the other replaces the value; one row, one place in the plan', async () => {
  const before = await counted(world)
  const gate = one().gates.park('createSecret')
  const first = underWay(setSecret(one().context, { name: 'twice', value: 'first' }))
  await gate.reached
  expect(told(await setSecret(other().context, { name: 'twice', value: 'second' }))).toBe('created')
  gate.release()
  expect(told(await first)).toBe('replaced')
  expect(await stored(world, 'twice')).toMatchObject([{ state: 'ACTIVE', revision: 2, value: 'first' }])
  expect(await counted(world)).toEqual({ used: before.used + 1, live: before.live + 1 })
})

test('a value that was sealed for a revision that is taken meanwhile is sealed anew', async () => {
  await kept(world, 'moved', 'a')
  const gate = one().gates.park('setSecret')
  const first = underWay(setSecret(one().context, { name: 'moved', value: 'late' }))
  await gate.reached
  await setSecret(other().context, { name: 'moved', value: 'early' })
  gate.release()
  expect(told(await first)).toBe('replaced')
  expect(await stored(world, 'moved')).toMatchObject([{ revision: 3, value: 'late' }])
})

test('without its guard a value would be stored that nobody can open; without theirs, references would be let through', async () => {
  await kept(world, 'unguarded', 'a')
  const gates = createGates()
  const mutant = mutating(
    { name: 'setSecret', from: '"found"."revision" = ', to: '0 < ' },
    { name: 'redeployDeployment', from: "v.value like 'secret://%'", to: 'false' },
  )
  const wrap = (channel: Channel) => gates.wrap(mutant(channel))
  const pool = openPool({ url: world.url, purpose: 'api', slots: 2, ...patient, wrap })
  try {
    const context = contextFor(pool.db, world.team.actor)
    const gate = gates.park('setSecret')
    const late = underWay(setSecret(context, { name: 'unguarded', value: 'late' }))
    await gate.reached
    await setSecret(other().context, { name: 'unguarded', value: 'early' })
    gate.release()
    expect(told(await late)).toBe('replaced')
    await expect(stored(world, 'unguarded')).rejects.toThrow('cannot be opened')
    await deleteSecret(context, { name: 'unguarded' })

    const id = await world.deployment({ state: 'HEALTHY', env: referring('nobody') })
    expect(outcomeOf(await deployments.redeployDeployment(one().context, { id }))).toBe('SecretUnresolved')
    expect(outcomeOf(await deployments.redeployDeployment(context, { id }))).toBe('BUILDING')
  } finally {
    await pool.close()
  }
})

test('deleted after it was looked at: the value becomes that of a new secret, never of the deleted one', async () => {
  const id = await kept(world, 'gone', 'a')
  const gate = one().gates.park('setSecret')
  const set = underWay(setSecret(one().context, { name: 'gone', value: 'b' }))
  await gate.reached
  expect(told(await deleteSecret(other().context, { id }))).toBe('deleted')
  gate.release()
  expect(told(await set)).toBe('created')
  expect(await stored(world, 'gone')).toMatchObject([
    { id, state: 'DELETED', sealed: null },
    { state: 'ACTIVE', revision: 1, value: 'b' },
  ])
})

test('set while it is deleted: the delete takes the one that was named, whichever value it has by then', async () => {
  const id = await kept(world, 'replaced', 'a')
  const gate = one().gates.park('deleteSecret')
  const deletion = underWay(deleteSecret(one().context, { name: 'replaced' }))
  await gate.reached
  expect(told(await setSecret(other().context, { name: 'replaced', value: 'b' }))).toBe('replaced')
  gate.release()
  expect(told(await deletion)).toBe('deleted')
  expect(await stored(world, 'replaced')).toMatchObject([{ id, state: 'DELETED', revision: 2, sealed: null }])
})

test('of 16 deletes at once one erases it and gives its place back; the others are told that it is so', async () => {
  const before = await counted(world)
  const id = await kept(world, 'storm')
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, n) =>
      deleteSecret((n % 2 ? one() : other()).context, n % 4 ? { id } : { name: 'storm' }),
    ),
  )
  expect(answers.map(told).sort()).toEqual([...Array.from({ length: 15 }, () => 'SecretAlreadyDeleted'), 'deleted'])
  expect(await counted(world)).toEqual(before)
})

test('of 8 values at once each is stored, under a revision of its own; none is lost half-way', async () => {
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => setSecret((n % 2 ? one() : other()).context, { name: 'many', value: `v${n}` })),
  )
  const accepted = answers.map(told).filter((each) => each !== 'Busy')
  expect(accepted.filter((each) => each === 'created')).toHaveLength(1)
  const [row] = await stored(world, 'many')
  expect(row?.revision).toBe(accepted.length)
  expect(row?.value).toMatch(/^v\d$/)
  // Busy is the answer of last resort, and changes nothing.
  expect(accepted.length).toBeGreaterThan(4)
})

test('the cap holds under concurrency, and is reached', async () => {
  const { used } = await counted(world)
  await world.stranger`update plan_usage set cap = ${used + 3} where team_id = ${world.team.teamId} and kind = 'secrets'`
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => setSecret((n % 2 ? one() : other()).context, { name: `cap${n}`, value: 'v' })),
  )
  const sorted = answers.map(told).sort()
  expect(sorted).toEqual([...Array.from({ length: 9 }, () => 'QuotaExceeded'), 'created', 'created', 'created'])
  expect(await counted(world)).toEqual({ used: used + 3, live: used + 3 })
  await world.stranger`update plan_usage set cap = 1000 where team_id = ${world.team.teamId} and kind = 'secrets'`
})

const referring = (name: string) => ({
  A: { value: `secret://${name}`, revision: 1, changedAt: '2030-01-01T00:00:00.000Z', changedBy: 't' },
})

test('deleted before a redeploy is decided: refused; after: accepted, as if it had come first', async () => {
  await kept(world, 'order', 'a')
  const id = await world.deployment({ state: 'HEALTHY', env: referring('order') })
  const gate = one().gates.park('redeployDeployment')
  const early = underWay(deployments.redeployDeployment(one().context, { id }))
  await gate.reached
  await deleteSecret(other().context, { name: 'order' })
  gate.release()
  expect(outcomeOf(await early)).toBe('SecretUnresolved')

  await kept(world, 'order', 'b')
  const row = await holdRow(world.stranger, 'deployment', id)
  const late = underWay(deployments.redeployDeployment(one().context, { id }))
  await untilBlocked(world.stranger, 'redeployDeployment')
  // The statement began while the secret was there: it is decided as if the delete had come after it.
  await deleteSecret(other().context, { name: 'order' })
  await row.release()
  expect(outcomeOf(await late)).toBe('BUILDING')
  expect(outcomeOf(await deployments.redeployDeployment(one().context, { id }))).toBe('SecretUnresolved')
})

test('what was kept while a redeploy waited for the row counts: a refusal is never of what is not so any more', async () => {
  const id = await world.deployment({ state: 'HEALTHY', env: referring('awaited') })
  const row = await holdRow(world.stranger, 'deployment', id)
  const redeploy = underWay(deployments.redeployDeployment(one().context, { id }))
  await untilBlocked(world.stranger, 'redeployDeployment')
  await kept(world, 'awaited')
  await row.release()
  expect(outcomeOf(await redeploy)).toBe('BUILDING')
})

test('the same for a birth that was decided before the secret was kept', async () => {
  const gate = one().gates.park('read:secret.referred')
  const input = { name: 'born', image: 'hello', env: [{ key: 'A', value: 'secret://forbirth' }] }
  const birth = underWay(deployments.deploy(one().context, input))
  await gate.reached
  await kept(world, 'forbirth')
  gate.release()
  expect(outcomeOf(await birth)).toBe('BUILDING')
})
