// What readers are told of the log through GraphQL: until when its past is settled, and only what the filter wants; and what they
// see when that of which an event tells is not kept any more.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { trimOperations } from '../../src/resolvers/trim.ts'
import { putDeployment, superuser } from '../fixture.ts'
import { withTriggersOff } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { tell } from './fixture.ts'

let api: Api
let sql: postgres.Sql
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  const { teamId } = api.team
  for (const [type, kind] of [
    ['Deployment', 'deploy'],
    ['Secret', 'setSecret'],
    ['Deployment', 'deleteDeployment'],
    ['Stack', 'createStack'],
  ] as const)
    await tell(sql, { teamId, type, kind, subject: `of_${type}` })
  await sequenceEvents(api.pool.db, 1_000)
})
afterAll(async () => {
  await sql.end()
  await api.close()
})

const kinds = async (filter: Record<string, unknown>) => {
  const { data, errors } = await api.call(
    'query ($filter: EventFilter) { events(filter: $filter) { totalCount nodes { kind } } }',
    { filter },
  )
  expect(errors).toBeUndefined()
  expect(data.events.totalCount).toBe(data.events.nodes.length)
  return data.events.nodes.map((node: { kind: string }) => node.kind)
}

test('the events of one type, alone and with another condition', async () => {
  expect(await kinds({ subjectType: 'Deployment' })).toEqual(['deploy', 'deleteDeployment'])
  expect(await kinds({ subjectType: 'Deployment', kind: 'deploy' })).toEqual(['deploy'])
  expect(await kinds({ subjectType: 'Deployment', subject: 'of_Stack' })).toEqual([])
  expect(await kinds({ subjectType: 'deployment' })).toEqual([])
})

const windowed = `query ($to: DateTime) { events(filter: { to: $to }) { ...Settled nodes { kind } } }
  fragment Settled on EventConnection { ... { until: settledUntil } }`

test('a window is read while a writer has stamped and not committed: it says that it is not settled', async () => {
  const writer = superuser(api.database.url)
  const told = Promise.withResolvers<Date>()
  const go = Promise.withResolvers<void>()
  const late = writer.begin(async (session) => {
    const id = await tell(session, { teamId: api.team.teamId, kind: 'late' })
    const [row] = await session<{ at: Date }[]>`select occurred_at as at from event where id = ${id}`
    told.resolve(row?.at ?? new Date())
    await go.promise
  })
  const at = await told.promise
  const to = new Date(at.getTime() + 1)
  const read = async () => {
    const { data, errors } = await api.call(windowed, { to })
    expect(errors).toBeUndefined()
    const seen: string[] = data.events.nodes.map(({ kind }: { kind: string }) => kind)
    return { settled: new Date(data.events.until) >= to, late: seen.includes('late') }
  }
  expect(await read()).toEqual({ settled: false, late: false })
  go.resolve()
  await late
  await writer.end()
  expect(await read()).toEqual({ settled: false, late: false })
  await sequenceEvents(api.pool.db, 1_000)
  await expect.poll(read).toEqual({ settled: true, late: true })
})

test('what is settled is asked before the page that it is told with, once in a request, and only when it is selected', async () => {
  const asked = () => api.names().filter((name) => name.includes('event'))
  const id = await putDeployment(api.database.url, api.team.teamId)
  api.forget()
  await api.call('query ($id: ID!) { deployment(id: $id) { events { nodes { kind } } } events { nodes { kind } } }', {
    id,
  })
  expect(asked()).not.toContain('read:event.writers')
  api.forget()
  await api.call(
    `query ($id: ID!) { deployment(id: $id) { events { nodes { kind } settledUntil } }
      a: events { nodes { kind } settledUntil } b: events(last: 1) { settledUntil } }`,
    { id },
  )
  const names = asked()
  expect(names.slice(0, 2)).toEqual(['read:event.writers', 'read:event.waiting'])
  expect(names.slice(2).sort()).toEqual(['read:events.page', 'read:events.page-back', 'read:events.pages'])
})

test('an event whose operation and object are gone is told without them', async () => {
  const { teamId } = api.team
  const query = '{ events(filter: { kind: "queueOperation" }) { nodes { to operation { id } subject { id } } } }'
  const id = 'op_01m7zgh0scecwtyecgs3nfh7b4'
  await withTriggersOff(api.database.url, async (tx) => {
    await tx`insert into operation (id, state, team_id, kind, subject_type, subject_id, due_at, actor, request_id, state_changed_at)
      values (${id}, 'FAILED', ${teamId}, 'deployment.roll_out', 'Deployment', 'dep_x', now(), '{}', 'test', now() - interval '31 days')`
    await tell(tx, { teamId, type: 'Operation', subject: id, kind: 'queueOperation', to: 'PENDING' })
    await tx`update event set operation_id = subject_id where kind = 'queueOperation'`
  })
  await sequenceEvents(api.pool.db, 1_000)
  expect((await api.call(query)).data.events.nodes).toEqual([{ to: 'PENDING', operation: { id }, subject: { id } }])
  expect(await trimOperations(api.pool.db, 30, 1_000)).toBe(1)
  expect((await api.call(query)).data.events.nodes).toEqual([{ to: 'PENDING', operation: null, subject: null }])
})
