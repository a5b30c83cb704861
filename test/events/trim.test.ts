// What is trimmed and what is not: the log from its beginning only, never an event without a position, never what is still on
// its way; and what still refers to something that is gone bears it.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { trimLoop } from '../../src/loops/trim.ts'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { retryOperation } from '../../src/resolvers/operation.ts'
import { trimEvents, trimInstances, trimOperations, trimWebhookDeliveries } from '../../src/resolvers/trim.ts'
import { hold, mutating, untilBlocked } from '../interleave.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { putDeployment, putOperation } from '../row.ts'
import { places, tell } from './fixture.ts'

const calm = new AbortController().signal
const retention = { eventDays: 90, operationDays: 30 }
let stage: Stage
let sql: postgres.Sql
beforeAll(async () => {
  stage = await openStage()
  sql = stage.sql
})
afterAll(() => stage.close())

const told = (...daysAgo: number[]) =>
  daysAgo.reduce<Promise<unknown>>(
    (before, days) => before.then(() => tell(sql, { teamId: stage.teamId, daysAgo: days })),
    Promise.resolve(),
  )
const sequence = () => sequenceEvents(stage.context.db, 1_000)

test('the log is trimmed from its beginning, up to the first event that is to be kept', async () => {
  await told(91, 100, 89, 200)
  await sequence()
  await told(300)
  expect(await trimEvents(stage.context.db, 90, 1_000)).toBe(2)
  // The one of 200 days ago comes after a younger one, and the one of 300 days ago has no position yet.
  expect(await places(sql)).toEqual({ positions: [3, 4], horizon: 2 })
  expect(await sql`select 1 from event where position is null`).toHaveLength(1)
  expect(await trimEvents(stage.context.db, 90, 1_000)).toBe(0)
})

test('when all is gone, positions go on from the horizon', async () => {
  await sequence()
  expect(await trimEvents(stage.context.db, 8, 2)).toBe(2)
  expect(await trimEvents(stage.context.db, 8, 2)).toBe(1)
  expect(await places(sql)).toEqual({ positions: [], horizon: 5 })
  await told(0, 0)
  expect(await sequence()).toBe(2)
  expect(await places(sql)).toEqual({ positions: [6, 7], horizon: 5 })
})

test('two replicas trim at once: the second finds the horizon moved and removes nothing', async () => {
  await told(100, 100)
  await sequence()
  await sql`update event_horizon set trimmed_through = 7`
  const stranger = await hold(sql, 'select pg_advisory_xact_lock(79)')
  const look = 'select trimmed_through from event_horizon)'
  const slow = {
    name: 'trimEvents',
    from: look,
    to: `${look} and (select count(*) from pg_advisory_xact_lock(79)) = 1`,
  }
  const late = trimEvents(stage.open({ wrap: mutating(slow) }).db, 90, 1_000)
  await untilBlocked(sql, 'trimEvents')
  expect(await trimEvents(stage.context.db, 90, 1_000)).toBe(4)
  await stranger.release()
  expect(await late).toBe(0)
  expect(await places(sql)).toEqual({ positions: [], horizon: 9 })
})

test('a statement that removes more than it moves the horizon is refused as a whole', async () => {
  await told(100, 100, 0)
  await sequence()
  const before = await places(sql)
  const wide = { name: 'trimEvents', from: 'position <= moved.trimmed_through', to: 'true' }
  await expect(trimEvents(stage.open({ wrap: mutating(wide) }).db, 90, 1_000)).rejects.toMatchObject({
    constraint: 'event_append_only',
  })
  expect(await places(sql)).toEqual(before)
})

const states = ['PENDING', 'RUNNING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'SUPERSEDED', 'CANCELLED'] as const

test('operations that ended long ago are removed; what is on its way, and what ended lately, stays', async () => {
  const facts = { teamId: stage.teamId, subjectId: newId('Deployment') }
  const [old, young] = [new Map<string, string>(), new Map<string, string>()]
  for (const state of states) {
    // One of a subject runs at a time.
    const own = state === 'UNKNOWN' ? { ...facts, subjectId: newId('Deployment') } : facts
    old.set(await putOperation(sql, { ...own, state }), state)
  }
  await stage.beneath((s) => s`update operation set state_changed_at = now() - interval '31 days'`)
  for (const state of states.slice(3)) young.set(await putOperation(sql, { ...facts, state }), state)
  expect(await trimOperations(stage.context.db, 30, 3)).toBe(3)
  expect(await trimOperations(stage.context.db, 30, 3)).toBe(1)
  const left = (await sql<{ id: string }[]>`select id from operation`).map(({ id }) => id)
  const live = [...old].filter(([, state]) => ['PENDING', 'RUNNING', 'UNKNOWN'].includes(state)).map(([id]) => id)
  expect(left.sort()).toEqual([...live, ...young.keys()].sort())
})

test('instances are gone a week after they were removed, and no other', async () => {
  await stage.beneath(
    (s) => s`
    insert into instance (id, state, team_id, environment, name, runtime, instance_id, state_changed_at)
    select 'ins_' || state || days, state, ${stage.teamId}, 'test', 'test', 'EXTERNAL', state || days, now() - days * interval '1 day'
    from unnest(array['OFFLINE', 'REMOVED']) state, unnest(array[6, 8]) days`,
  )
  expect(await trimInstances(stage.context.db, 7, 1_000)).toBe(1)
  expect((await sql`select id from instance order by id`).map(({ id }) => id)).toEqual([
    'ins_OFFLINE6',
    'ins_OFFLINE8',
    'ins_REMOVED6',
  ])
})

test('deliveries that ended long ago are removed, and none that is still to be made', async () => {
  await stage.beneath(async (s) => {
    await s`insert into webhook (id, state, team_id, url, filter, secret_changed_at, cursor)
      values ('whk_one', 'ACTIVE', ${stage.teamId}, 'https://hooks.example/', '{}', now(), 0)`
    await s`insert into webhook_delivery (id, state, team_id, webhook_id, position, subject_id, message_id, state_changed_at)
      select 'whd_' || state || days, state, ${stage.teamId}, 'whk_one', row_number() over (), 'dep_one', 'm', now() - days * interval '1 day'
      from unnest(array['PENDING', 'SENDING', 'DELIVERED', 'DEAD', 'DROPPED']) state, unnest(array[29, 31]) days`
  })
  expect(await trimWebhookDeliveries(stage.context.db, 30, 1_000)).toBe(3)
  const left = (await sql<{ id: string }[]>`select id from webhook_delivery`).map(({ id }) => id.slice(4)).sort()
  expect(left).toEqual(['DEAD29', 'DELIVERED29', 'DROPPED29', 'PENDING29', 'PENDING31', 'SENDING29', 'SENDING31'])
})

test('a pass goes through all that is too old, batch after batch, and one kind that fails hinders no other', async () => {
  await sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind,
      actor_id, request_id, transition_id)
    select now() - interval '100 days', ${stage.teamId}, 'Deployment', 'dep_many', 'test', 'HEALTHY', 1, n, 'system', 'test', 'test', 'test'
    from generate_series(1, 2500) n`
  while ((await sequenceEvents(stage.context.db, 1_000)) > 0);
  await stage.beneath((s) => s`update event set occurred_at = now() - interval '91 days'`)
  const facts = { teamId: stage.teamId, subjectId: newId('Deployment'), state: 'FAILED' as const }
  await putOperation(sql, facts)
  await stage.beneath((s) => s`update operation set state_changed_at = now() - interval '31 days'`)
  const broken = { name: 'trimIdempotencyKeys', from: 'idempotency_key', to: 'no_such_table' }
  const pass = trimLoop(stage.open({ wrap: mutating(broken) }).db, retention).pass(calm)
  await expect(pass).rejects.toThrow('no_such_table')
  expect((await places(sql)).positions).toEqual([])
  expect(await sql`select 1 from operation where state = 'FAILED'`).toHaveLength(0)
})

test('a repeat of a retry whose first operation is gone is a replay, as it was won', async () => {
  const { context, teamId } = stage
  const subjectId = await putDeployment(sql, { teamId, state: 'FAILED' })
  const id = await putOperation(sql, { teamId, subjectId, state: 'FAILED' })
  const input = { id, idempotencyKey: crypto.randomUUID() }
  const won = await retryOperation(context, input)
  expect(won).toMatchObject({ operation: { state: 'PENDING' }, replayed: false })
  await stage.beneath((s) => s`update operation set state_changed_at = now() - interval '31 days' where id = ${id}`)
  expect(await trimOperations(context.db, 30, 1_000)).toBe(1)
  expect(await retryOperation(context, input)).toMatchObject({ operation: { retryOf: id }, replayed: true })
  expect(await retryOperation(context, { id })).toMatchObject({ refusal: 'NotFound' })
})

test('a repeat whose operation is gone is told what it was told, without it', async () => {
  const { context } = stage
  const id = await stage.deploy()
  const input = { id, idempotencyKey: crypto.randomUUID() }
  await redeployDeployment(context, input)
  await stage.beneath((s) => s`delete from operation where subject_id = ${id}`)
  expect(await redeployDeployment(context, input)).toMatchObject({
    deployment: { id },
    operation: null,
    replayed: true,
  })
})
