// Streams against what happens at the same time: an object that changes while it is read, a database that fails while the log
// is followed. What is sent never goes back, nothing is sent twice, and nothing is left out.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from '../until.ts'
import { type LiveStage, openLiveStage } from './stage.ts'

let stage: LiveStage
beforeEach(async () => {
  stage = await openLiveStage()
})
afterEach(() => stage.close())

/** Holds every statement of that name from now on until it is let go. */
function holdAll(name: string) {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  stage.api.before = async ({ sql }) => {
    if (!sql.includes(`/* ${name} */`)) return
    reached.resolve()
    await released.promise
  }
  return { reached: reached.promise, release: released.resolve }
}
const sequenced = (id: string, version: number) =>
  until(async () => {
    const [row] =
      await stage.sql`select max(version) as version from event where subject_id = ${id} and position is not null`
    expect(row?.version).toBe(version)
  })
const following = (id: string) => stage.subscribe(`subscription { deployment(id: "${id}") { version } }`)
const versions = (stream: Awaited<ReturnType<typeof following>>) =>
  stream.told.map(({ data }) => Number(data.deployment.version))

test.each([
  ['the end of the log is asked for', 'read:event.last'],
  ['it is read for the first time', 'read:deployment.byId'],
])('R14 an object that changes while %s is sent at its newest, once', async (_, statement) => {
  const id = await stage.deploy()
  const gate = holdAll(statement)
  const opening = following(id)
  await gate.reached
  await stage.change(id)
  await sequenced(id, 2)
  gate.release()
  const stream = await opening
  await stream.next()
  await stage.change(id)
  await until(() => expect(versions(stream).at(-1)).toBe(3))
  expect(versions(stream)).toEqual([2, 3])
  stream.cut()
})

test('R14 an object that changes again while a change of it is read is not sent twice', async () => {
  const id = await stage.deploy()
  const stream = await following(id)
  await stream.next()
  const gate = holdAll('read:deployment.byId')
  await stage.change(id)
  await gate.reached
  // The call itself reads nothing by that statement.
  await stage.change(id)
  await sequenced(id, 3)
  gate.release()
  await stage.change(id)
  await until(() => expect(versions(stream).at(-1)).toBe(4))
  expect(versions(stream).filter((version) => version === 3).length).toBeLessThan(2)
  expect(versions(stream)).toEqual([...new Set(versions(stream))].sort((one, other) => one - other))
  stream.cut()
})

test('R14 many who follow what many change: every stream only goes forwards, and ends at the newest', async () => {
  const id = await stage.deploy()
  const streams = await Promise.all(Array.from({ length: 10 }, () => following(id)))
  const rounds = 10
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let round = 0; round < rounds; round++) await stage.change(id)
    }),
  )
  const [row] = await stage.sql`select version from deployment where id = ${id}`
  for (const stream of streams) {
    await until(() => expect(versions(stream).at(-1)).toBe(row?.version))
    expect(versions(stream)).toEqual([...new Set(versions(stream))].sort((one, other) => one - other))
    stream.cut()
  }
})

/** Fails every statement of that name so many times, as a connection that breaks does. */
function failing(name: string, times: number): () => number {
  let left = times
  stage.api.before = ({ sql }) => {
    if (!sql.includes(`/* ${name} */`) || left === 0) return
    left--
    throw Object.assign(new Error('the connection is gone'), { code: '57P01' })
  }
  return () => left
}
const events =
  'subscription ($after: String) { events(after: $after, filter: { kind: "mergeDeploymentEnv" }) { version } }'
const seen = (stream: Awaited<ReturnType<typeof following>>) =>
  stream.told.map(({ data }) => Number(data.events.version))

test('R49 while the log cannot be read nothing is passed over: what came meanwhile is sent after it, in order and once', async () => {
  const id = await stage.deploy()
  const stream = await stage.subscribe(events)
  await until(() => expect(stage.api.hub.size()).toMatchObject({ followers: 2, waiting: 2 }))
  // Each attempt is repeated a few times by the client of the database itself.
  const left = failing('read:event.after', 12)
  for (let at = 0; at < 6; at++) await stage.change(id)
  await until(() => expect(left()).toBe(0))
  await stage.change(id)
  await until(() => expect(seen(stream).at(-1)).toBe(8))
  expect(seen(stream)).toEqual([2, 3, 4, 5, 6, 7, 8])
  expect(stage.api.logged.filter((line) => line.includes('cannot be followed right now')).length).toBeGreaterThan(0)
  stream.cut()
})

test('R49 a page that could not be read is read again, from the cursor that was delivered', async () => {
  // While somebody follows, pages come from memory.
  await stage.empty()
  const id = await stage.deploy()
  await sequenced(id, 1)
  const start = (await stage.api.call('{ events(last: 1) { nodes { cursor } } }')).data.events.nodes[0].cursor
  for (let at = 0; at < 3; at++) await stage.change(id)
  await sequenced(id, 4)
  const left = failing('read:events.page.by-kind', 12)
  const stream = await stage.subscribe(events, { variables: { after: start } })
  await until(() => expect(left()).toBe(0))
  await stage.change(id)
  await until(() => expect(seen(stream).at(-1)).toBe(5))
  expect(seen(stream)).toEqual([2, 3, 4, 5])
  stream.cut()
})
