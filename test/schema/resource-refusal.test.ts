// Resources through the door: the refusals that every mutation of them can give, each produced for each.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/client.ts'
import { newId } from '../../src/db/id.ts'
import { statementName } from '../../src/db/session.ts'
import { createToken, superuser } from '../fixture.ts'
import { giveRoom, putResource, type ResourceFacts } from '../resources/row.ts'
import { type Api, openApi } from './api.ts'
import { capital, mutate } from './call.ts'

let api: Api
let sql: postgres.Sql
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  await giveRoom(sql, api.team.teamId, 10_000)
})
afterAll(async () => {
  await sql.end({ timeout: 1 })
  await api.close()
})

const put = (facts: Partial<ResourceFacts> = {}) =>
  putResource(sql, { teamId: api.team.teamId, state: 'ACTIVE', ...facts })
const own = (mutation: string, selection: string) => `... on ${capital(mutation)}Payload { ${selection} }`
const named = () => `n-${crypto.randomUUID().slice(0, 8)}`
const byId = [
  'deleteResource',
  'pauseResource',
  'resumeResource',
  'rotateResourceCredentials',
  'setResourceTtl',
] as const
const asked = (mutation: string, id: string) => ({ id, ...(mutation === 'setResourceTtl' ? { ttlHours: null } : {}) })
/** A state from which each is accepted. */
const startsIn = (mutation: string): ResourceFacts['state'] => (mutation === 'resumeResource' ? 'PAUSED' : 'ACTIVE')

describe.each(['createResource', ...byId])('%s: refusals that all have', (mutation) => {
  const creates = mutation === 'createResource'
  const input = async () =>
    creates ? { type: 'POSTGRES', name: named() } : asked(mutation, await put({ state: startsIn(mutation) }))

  test('Forbidden without the scope, which is named; no remedy that needs it', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['read', 'deploy', 'admin'] })
    const answer = await mutate(api, mutation, await input(), '... on Forbidden { missing }', token)
    expect(answer).toMatchObject({ code: 'FORBIDDEN', missing: 'resource', retryable: false })
    expect(answer.remedies.filter((remedy: { mutation: string | null }) => remedy.mutation)).toEqual([])
  })

  test('IdempotencyKeyReused for another input; the same again is a replay', async () => {
    const idempotencyKey = crypto.randomUUID()
    const first = { ...(await input()), idempotencyKey }
    const once = await mutate(api, mutation, first, own(mutation, 'replayed resource { id } operation { id }'))
    expect(once.replayed).toBe(false)
    const again = await mutate(api, mutation, first, own(mutation, 'replayed resource { id } operation { id }'))
    expect(again).toEqual({ ...once, replayed: true })
    const other = { ...(await input()), idempotencyKey }
    expect((await mutate(api, mutation, other, '... on IdempotencyKeyReused { firstUsedAt }')).code).toBe(
      'IDEMPOTENCY_KEY_REUSED',
    )
  })

  test('Busy and TemporarilyUnavailable, and nothing was changed', async () => {
    const given = await input()
    for (const [kind, code] of [
      ['busy', 'BUSY'],
      ['unavailable', 'TEMPORARILY_UNAVAILABLE'],
    ] as const) {
      api.before = (statement) => {
        if (statementName(statement.sql) === mutation) throw new DatabaseFault(kind, 'told to')
      }
      const answer = await mutate(api, mutation, given)
      api.before = () => {}
      expect(answer).toMatchObject({ code, retryable: true, retryAfterMs: expect.any(Number) })
    }
    expect((await mutate(api, mutation, given)).__typename).toBe(`${capital(mutation)}Payload`)
  })
})

test.each(byId)('%s: VersionConflict shows the version that it has, and NotFound what never was', async (mutation) => {
  const id = await put({ state: startsIn(mutation), version: 3 })
  const conflict = '... on VersionConflict { currentVersion resource { id version } }'
  expect(await mutate(api, mutation, { ...asked(mutation, id), expectedVersion: '2' }, conflict)).toMatchObject({
    code: 'VERSION_CONFLICT',
    currentVersion: '3',
    resource: { id, version: '3' },
  })
  expect((await mutate(api, mutation, { ...asked(mutation, id), expectedVersion: '3' })).__typename).toBe(
    `${capital(mutation)}Payload`,
  )
  for (const wrong of [newId('Resource'), newId('Deployment'), 'res_', ''])
    expect((await mutate(api, mutation, asked(mutation, wrong))).code, wrong).toBe('NOT_FOUND')
})
