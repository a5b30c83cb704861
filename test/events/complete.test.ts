// Nothing changes without its event, and no event is of nothing: every mutation of the schema is called, as it could well be, in
// ways that are accepted and in ways that are refused, and what the rows show after it is held against what the log tells.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { machines } from '../../src/lifecycle/machines.ts'
import { withTriggersOff } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { changedTables, fingerprint } from '../sweep/fingerprint.ts'
import { newObjects } from '../sweep/maker.ts'
import { noLimit } from '../sweep/no-limit.ts'
import { inputWith, mutate } from '../sweep/tenant.ts'
import { mutations } from '../sweep/walk.ts'
import { openWorld, type World } from '../sweep/world.ts'

let api: Api
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
})
afterAll(() => api.close())

interface Row {
  readonly entity: string
  readonly id: string
  readonly state: string
  readonly version: number
  readonly generation: number
}
const everyRow = machines
  .map(({ entity, table }) => `select '${entity}' as entity, id, state, version, generation from "${table}"`)
  .join(' union all ')
const rows = async ({ sql }: World) =>
  new Map((await sql.unsafe<Row[]>(everyRow)).map((row) => [row.id, { ...row }] as const))

/** How often each outcome was counted, over all entities and actions. */
async function counted(): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const [, outcome = '', count] of (await api.metrics.text()).matchAll(
    /^pawl_transitions_total\{.*outcome="(\w+)"\} (\d+)$/gm,
  ))
    counts.set(outcome, (counts.get(outcome) ?? 0) + Number(count))
  return counts
}

/** Entities of which a change that keeps the state may be bookkeeping, as a heartbeat is: declared as `untold`. */
const bookkeeping = machines.filter(({ moves }) => Object.values(moves).some(({ untold }) => untold === 'unchanged'))
const quiet = new Set(bookkeeping.map(({ entity }) => entity))

/** What was born and what has changed between two looks, as its events must tell it. */
const changes = (before: Map<string, Row>, after: Map<string, Row>) =>
  [...after.values()].flatMap((row) => {
    const was = before.get(row.id)
    if (was?.version === row.version || (was?.state === row.state && quiet.has(row.entity))) return []
    const { entity, id, version, generation } = row
    return [{ entity, id, from: was?.state ?? null, to: row.state, version, generation }]
  })

/** Calls a mutation; returns its outcome, and holds what has changed against the log and the counters. */
async function call(world: World, name: string, input: unknown): Promise<string> {
  const [before, print, counts] = [await rows(world), await fingerprint(world.sql), await counted()]
  const answer = await mutate(world, name, input, world.a.token)
  expect(answer.errors, answer.text).toBeUndefined()
  const { __typename, code } = answer.data[name]
  const requestId = String(answer.headers.get('x-request-id'))
  const after = await rows(world)
  const events = await world.sql`
    select subject_type as entity, subject_id as id, from_state as "from", to_state as "to", version, generation, operation_id as operation,
      kind, actor_kind as "actorKind", actor_id as "actorId" from event where request_id = ${requestId} order by id`
  const told = await counted()
  const [outcome] = [...told].filter(([one, count]) => count !== (counts.get(one) ?? 0))
  if (code !== undefined) {
    expect(changedTables(print, await fingerprint(world.sql))).toEqual([])
    expect(outcome).toEqual([code === 'NOT_FOUND' ? 'missing' : code.toLowerCase(), expect.any(Number)])
    return code
  }
  expect(outcome?.[0]).toBe('moved')
  const sorted = (list: readonly { id: string }[]) => [...list].sort((a, b) => a.id.localeCompare(b.id))
  expect(
    sorted(events.map(({ operation: _o, kind: _k, actorKind: _a, actorId: _i, ...one }) => one as { id: string })),
  ).toEqual(sorted(changes(before, after)))
  // Who asked; and the accepted work stands in its own event and in that of what it is for.
  const [asker] = await world.sql`select id from api_token where lookup_id = ${String(world.a.token.split('_')[1])}`
  for (const event of events) {
    expect([event.actorKind, event.actorId]).toEqual(['token', asker?.id])
    if (event.kind !== 'queueOperation') continue
    expect(event.operation).toBe(event.id)
    expect(events.filter(({ operation }) => operation === event.id).length).toBeGreaterThan(1)
  }
  return __typename
}

/** What a mutation needs beyond a world of objects as they come: done past the triggers. */
const before: Readonly<Record<string, string>> = {
  redeployDeployment: "update deployment set env = '{}'",
  startDeployment: "update deployment set env = '{}', state = 'STOPPED'",
  redeployStack: "update stack set env = '{}'",
  requestPromotion: "update stack set env = '{}'",
  resumeResource: "update resource set state = 'PAUSED'",
  restoreTeam: "update team set state = 'DELETION_REQUESTED', deletion_at = now() + interval '1 day'",
  cancelOperation: `update operation set state = 'PENDING', attempt = 0, claim_token = null, kind = 'deployment.roll_out', generation = 1;
    update deployment set state = 'BUILDING', generation = 1`,
  retryOperation: `update operation set state = 'FAILED', kind = 'deployment.roll_out', generation = 1;
    update deployment set state = 'FAILED', generation = 1, env = '{}'`,
}
/** They need an approval that names a plan, or an invitation that somebody holds: accepted in test/promotions and test/members. */
const elsewhere = ['promoteStack', 'twinResource', 'acceptInvitation']

test.each(mutations.map(({ name }) => name))('%s', async (name) => {
  const world = await openWorld(api)
  try {
    await withTriggersOff(world.sql, async (sql) => void (await sql.unsafe(before[name] ?? 'select 1')))
    const place = { field: name, path: [] }
    await call(world, name, inputWith(place, newObjects(), 1))
    const input = inputWith(place, world.a.own, 2)
    const outcomes = [await call(world, name, input), await call(world, name, input)]
    const payload = `${name.charAt(0).toUpperCase()}${name.slice(1)}Payload`
    expect(outcomes[0] === payload, outcomes[0]).toBe(!elsewhere.includes(name))
  } finally {
    await world.close()
  }
})
