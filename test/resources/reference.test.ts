// References in the variables of a deployment: the workload is given a resource's URL and a secret's value as they are when it
// starts, what is stored stays a reference, and what has gone since the roll-out was accepted is told with its reason. What
// leads nowhere when it is asked for is refused there: test/secrets/reference.test.ts.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { type DeploymentPayload, deploy, redeployDeployment } from '../../src/resolvers/deployment.ts'
import { pauseResource, resumeResource, rotateResourceCredentials } from '../../src/resolvers/resource.ts'
import { deleteSecret, setSecret } from '../../src/resolvers/secret.ts'
import { until } from '../loops/fixture.ts'
import { openResourceStage, type ResourceStage } from './fixture.ts'

let stage: ResourceStage
beforeEach(async () => {
  stage = await openResourceStage()
})
afterEach(() => stage.close())

async function deployed(env: Record<string, string>, environment = 'development'): Promise<string> {
  const list = Object.entries(env).map(([key, value]) => ({ key, value }))
  const name = `d-${crypto.randomUUID().slice(0, 8)}`
  const answer = await deploy(stage.context, { image: 'hello', name, environment, env: list })
  if (isRefusal(answer)) throw new Error(answer.message)
  return (answer as DeploymentPayload).deployment.id
}
/** The variables of the run that lives. */
async function given(id: string): Promise<Readonly<Record<string, string>> | undefined> {
  const { incarnation } = await stage.deployment(id)
  return stage.driver.liveRun({ subjectId: id, incarnation })?.env
}
/** Until its roll-out was put off once; returns why. */
const putOff = (id: string): Promise<string> =>
  until(async () => {
    const [work] = await stage.operations(id)
    expect(work).toMatchObject({ state: 'PENDING', outcome: expect.any(String) })
    return String(work?.outcome)
  })
const set = async (name: string, value: string) =>
  expect(await setSecret(stage.context, { name, value })).not.toHaveProperty('refusal')
const storedEnv = async (id: string) => (await stage.sql`select env from deployment where id = ${id}`)[0]?.env

test('the URL reaches the workload; what is stored is the reference', async () => {
  stage.replica()
  const store = await stage.create({ name: 'store' })
  await stage.comesTo(store, 'ACTIVE')
  const id = await deployed({ DATABASE_URL: 'resource://store', PLAIN: 'x', EMPTY: '', NEARLY: 'see resource://store' })
  await stage.reaches(id, 'HEALTHY')
  const url = String(await stage.url(store))
  expect(await given(id)).toEqual({ DATABASE_URL: url, PLAIN: 'x', EMPTY: '', NEARLY: 'see resource://store' })
  expect(stage.provisioner.world.connect(url).alive).toBe(true)
  expect(JSON.stringify(await storedEnv(id))).toContain('"resource://store"')
  const [{ found } = { found: -1 }] = await stage.sql<{ found: number }[]>`
    select count(*)::int as found from deployment where to_jsonb(deployment)::text like ${`%${await stage.password(store)}%`}`
  expect(found).toBe(0)
})

test('it is resolved when the workload starts: after a rotation a redeploy gets the new URL', async () => {
  stage.replica()
  const store = await stage.create({ name: 'store' })
  await stage.comesTo(store, 'ACTIVE')
  const id = await deployed({ URL: 'resource://store' })
  await stage.reaches(id, 'HEALTHY')
  const before = await given(id)
  await rotateResourceCredentials(stage.context, { id: store })
  await stage.work(store, 'SUCCEEDED')
  expect(await given(id)).toEqual(before)
  await redeployDeployment(stage.context, { id })
  await stage.work(id, 'SUCCEEDED')
  expect(await given(id)).toEqual({ URL: await stage.url(store) })
  expect(await given(id)).not.toEqual(before)
})

test('one that is being made, or resumed, is waited for', async () => {
  const { provisioner } = stage.replica()
  const making = provisioner.pauseBefore('provision')
  const store = await stage.create({ name: 'store' })
  await making.reached
  const first = await deployed({ URL: 'resource://store' })
  expect(await putOff(first)).toContain('URL refers to resource://store, which is PROVISIONING')
  expect((await stage.deployment(first)).state).toBe('BUILDING')
  expect(await given(first)).toBeUndefined()
  making.release()
  await stage.comesTo(store, 'ACTIVE')
  await stage.dueNow()
  await stage.reaches(first, 'HEALTHY')

  await pauseResource(stage.context, { id: store })
  await stage.comesTo(store, 'PAUSED')
  const resuming = provisioner.pauseBefore('resume')
  await resumeResource(stage.context, { id: store })
  await resuming.reached
  const second = await deployed({ URL: 'resource://store' })
  expect(await putOff(second)).toContain('URL refers to resource://store, which is RESUMING')
  resuming.release()
  await stage.comesTo(store, 'ACTIVE')
  await stage.dueNow()
  await stage.reaches(second, 'HEALTHY')
  expect(await given(second)).toEqual({ URL: await stage.url(store) })
})

test('one that is suspended can be read: it is referred to as ever', async () => {
  stage.replica()
  const store = await stage.create({ name: 'store' })
  await stage.comesTo(store, 'ACTIVE')
  await stage.beneath((sql) => sql`update resource set state = 'SUSPENDED' where id = ${store}`)
  const id = await deployed({ URL: 'resource://store' })
  await stage.reaches(id, 'HEALTHY')
})

test('the value of a secret reaches the workload; what is stored, and what is told of it, is the reference', async () => {
  stage.replica()
  await set('api.key', 'canary-1')
  const id = await deployed({ TOKEN: 'secret://api.key', AGAIN: 'secret://api.key' })
  await stage.reaches(id, 'HEALTHY')
  expect(await given(id)).toEqual({ TOKEN: 'canary-1', AGAIN: 'canary-1' })
  expect(JSON.stringify(await storedEnv(id))).not.toContain('canary')
  await set('api.key', 'canary-2')
  expect(await given(id)).toMatchObject({ TOKEN: 'canary-1' })
  await redeployDeployment(stage.context, { id })
  await stage.work(id, 'SUCCEEDED')
  expect(await given(id)).toMatchObject({ TOKEN: 'canary-2' })
})

/** Deploys with its roll-out held back until `meanwhile` is done. */
async function overtaken(env: Record<string, string>, meanwhile: () => Promise<unknown>): Promise<string> {
  const id = await deployed(env)
  await meanwhile()
  stage.replica()
  return id
}
const resourceIn = async (state: string): Promise<string> => {
  const id = await stage.create({ name: 'store' })
  await putState(id, state)
  return id
}
const putState = (id: string, state: string) =>
  stage.beneath((sql) => sql`update resource set state = ${state} where id = ${id}`)

test.each([
  ['PAUSED', 'resource://store', 'resource://store, which is PAUSED'],
  ['FAILED', 'resource://store', 'resource://store, which is FAILED'],
  ['DELETING', 'resource://store', 'resource://store, and there is no resource of that name in development'],
  ['DELETED', 'secret://key', 'secret://key, and there is no secret of that name in development'],
])('what is %s between acceptance and start: FAILED, and why', async (state, value, reason) => {
  const store = await resourceIn('ACTIVE')
  await set('key', 'v')
  const id = await overtaken({ URL: value }, () =>
    value.startsWith('secret') ? deleteSecret(stage.context, { name: 'key' }) : putState(store, state),
  )
  expect((await stage.reaches(id, 'FAILED')).stateReason).toBe(`URL refers to ${reason}`)
  expect(await given(id)).toBeUndefined()
})

test('one that leads nowhere is told before one that is on its way', async () => {
  const store = await resourceIn('PROVISIONING')
  await set('key', 'v')
  const id = await overtaken({ A: 'resource://store', B: 'secret://key' }, () =>
    deleteSecret(stage.context, { name: 'key' }),
  )
  expect((await stage.reaches(id, 'FAILED')).stateReason).toContain('B refers to secret://key')
  expect(store).toMatch(/^res_/)
})

test('a URL that cannot be opened is told without it, and starts nothing', async () => {
  const { lines } = stage.replica()
  const store = await stage.create({ name: 'store' })
  await stage.comesTo(store, 'ACTIVE')
  const other = await stage.create({ name: 'other' })
  await stage.comesTo(other, 'ACTIVE')
  // Moved from one row to another, as nobody should be able to.
  await stage.beneath(
    (sql) =>
      sql`update resource set connection = (select connection from resource where id = ${other}) where id = ${store}`,
  )
  const id = await deployed({ URL: 'resource://store' })
  await putOff(id)
  expect(await given(id)).toBeUndefined()
  expect(lines.join('\n')).toContain(`the secret of ${store} cannot be opened`)
  expect(lines.join('\n')).not.toContain(await stage.password(other))
})
