// `resource://NAME` in the variables of a deployment: the workload is given the URL as it is when it starts, what is stored
// stays a reference, and what cannot be resolved is told with its reason.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isRefusal } from '../../src/refusals.ts'
import { type DeploymentPayload, deploy, redeployDeployment } from '../../src/resolvers/deployment.ts'
import { pauseResource, resumeResource, rotateResourceCredentials } from '../../src/resolvers/resource.ts'
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

test.each([
  [
    'a name that nobody has',
    'resource://nobody',
    'development',
    'URL refers to resource://nobody, and there is no resource of that name in development',
  ],
  [
    'a name of another environment',
    'resource://store',
    'production',
    'URL refers to resource://store, and there is no resource of that name in production',
  ],
  ['a resource that is paused', 'resource://paused', 'development', 'URL refers to resource://paused, which is PAUSED'],
  [
    'one that could not be made',
    'resource://failed',
    'development',
    'URL refers to resource://failed, which is FAILED',
  ],
  ['a secret', 'secret://key', 'development', 'URL refers to secret://key, and this version of Pawl keeps no secrets'],
  [
    'no name at all',
    'resource://',
    'development',
    'URL refers to resource://, and there is no resource of that name in development',
  ],
])('%s: FAILED, and why', async (_, value, environment, reason) => {
  const { provisioner } = stage.replica()
  await stage.comesTo(await stage.create({ name: 'store' }), 'ACTIVE')
  const paused = await stage.create({ name: 'paused' })
  await stage.comesTo(paused, 'ACTIVE')
  await pauseResource(stage.context, { id: paused })
  await stage.comesTo(paused, 'PAUSED')
  provisioner.faultNext('provision', { kind: 'refuse', reason: 'no' })
  await stage.comesTo(await stage.create({ name: 'failed' }), 'FAILED')
  const id = await deployed({ URL: value }, environment)
  expect((await stage.reaches(id, 'FAILED')).stateReason).toBe(reason)
  expect(await given(id)).toBeUndefined()
})

test('another team’s resource of that name is none', async () => {
  stage.replica()
  const store = await stage.create({ name: 'store' })
  await stage.comesTo(store, 'ACTIVE')
  await stage.beneath(async (sql) => {
    await sql`insert into team (id, state, name) values ('team_other', 'ACTIVE', 'other')`
    await sql`update resource set team_id = 'team_other' where id = ${store}`
  })
  const id = await deployed({ URL: 'resource://store' })
  expect((await stage.reaches(id, 'FAILED')).stateReason).toContain('there is no resource of that name')
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
