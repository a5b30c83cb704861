// What a replica remembers of its callers, for a second by a clock that is moved by hand: who is looked up, who is let in after
// its token, role or team went, here and by another replica, and what nobody may do on what is remembered of it.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Actor, scopes as allScopes, type Scope } from '../../src/auth.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import { createMetrics } from '../../src/metrics.ts'
import { revokeApiToken } from '../../src/resolvers/api-token.ts'
import { removeMember, setMemberRole } from '../../src/resolvers/member.ts'
import { deleteTeam } from '../../src/resolvers/team.ts'
import { graphqlOperations } from '../../src/schema/schema.ts'
import { createHttpServer, type PawlServer } from '../../src/server.ts'
import { createCallerMemory } from '../../src/server-memory.ts'
import { createTestDatabase, patient, type TestDatabase } from '../database.ts'
import { createTeam, createToken, type TestTeam } from '../fixture.ts'
import { createGates } from '../interleave.ts'
import { keepingLog } from '../loops/fixture.ts'
import { putMember, type TestMember } from '../member-row.ts'
import { contextFor } from '../row.ts'
import { post, type Seen, type Target } from './client.ts'

let database: TestDatabase
/** Another replica changes the database, and this one hears nothing of it. */
let elsewhere: Pool
let here: Pool
let server: PawlServer
let url: string
let nowMs = 0
const gates = createGates()
beforeAll(async () => {
  database = await createTestDatabase()
  elsewhere = openPool({ url: database.url, purpose: 'api', slots: 2, ...patient })
  here = openPool({ url: database.url, purpose: 'api', slots: 8, ...patient, wrap: gates.wrap })
  const { images, sealing, webhookFault, resourceTypes, nudge } = contextFor(here.db, undefined as never)
  server = createHttpServer({
    graphql: {
      ...{ db: here.db, images, sealing, webhookFault, resourceTypes, nudge },
      callers: createCallerMemory({ nowMs: () => nowMs }),
    },
    metrics: createMetrics({ graphqlOperations, strict: true }),
    log: keepingLog([]),
    ready: async () => true,
  })
  url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
})
afterAll(async () => {
  await server.stop(1_000)
  await Promise.all([here.close(), elsewhere.close()])
  await database.drop()
})

let team: TestTeam
let member: TestMember
let owner: Target
let caller: Target
beforeEach(async () => {
  team = await createTeam(database.url)
  member = await putMember(database.url, { teamId: team.teamId, role: 'admin' })
  owner = { url, token: team.token }
  caller = { url, token: member.token }
})

const asks = async (target: Target): Promise<number> => (await post(target, '{ viewer { role } }')).status
const does = (target: Target, mutation: string, input: object, shown = ''): Promise<Seen> => {
  const Name = mutation.charAt(0).toUpperCase() + mutation.slice(1)
  const document = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { __typename ${shown} } }`
  return post(target, document, { input })
}
const typeOf = ({ data, text }: Seen): string =>
  Object.values(data ?? { text })
    .map((answer) => (answer as { __typename: string })?.__typename ?? text)
    .join()
const lookUps = () => gates.ran.splice(0).filter((name) => name === 'read:authenticate').length
const byOwner = (actor: Actor = team.actor) => contextFor(elsewhere.db, actor)

describe('who asks often', () => {
  test('is looked up once by all who ask at the same time, not again within a second, and then anew', async () => {
    const gate = gates.park('read:authenticate')
    const first = asks(caller)
    await gate.reached
    lookUps()
    const others = [asks(caller), asks(caller), asks(caller)]
    gate.release()
    expect(await Promise.all([first, ...others])).toEqual([200, 200, 200, 200])
    nowMs += 999
    expect(await asks(caller)).toBe(200)
    expect(lookUps()).toBe(0)
    nowMs += 1
    expect([await asks(caller), lookUps()]).toEqual([200, 1])
  })

  test('is another one with another token, or for another team', async () => {
    expect([await asks(caller), await asks({ url, token: `${caller.token.slice(0, -1)}_` })]).toEqual([200, 401])
    const named = await post(caller, '{ viewer { role } }', {}, { headers: { 'pawl-team': 'team_other' } })
    expect(named.status).toBe(403)
  })

  test('is looked up each time while it is not let in, and when its look-up failed', async () => {
    const { token } = await createToken(database.url, team.teamId, { state: 'REVOKED' })
    lookUps()
    expect([await asks({ url, token }), await asks({ url, token }), lookUps()]).toEqual([401, 401, 2])
  })
})

describe('a token that is revoked', () => {
  test('by this process is refused at once', async () => {
    expect(await asks(caller)).toBe(200)
    expect(typeOf(await does(owner, 'revokeApiToken', { id: member.actor.id }))).toBe('RevokeApiTokenPayload')
    expect(await asks(caller)).toBe(401)
  })

  test('by another one is refused a second after it was last looked up', async () => {
    expect(await asks(caller)).toBe(200)
    await revokeApiToken(byOwner(), { id: member.actor.id })
    nowMs += 999
    expect(await asks(caller)).toBe(200)
    nowMs += 1
    expect(await asks(caller)).toBe(401)
  })

  test('is refused a second after it was asked about, however late the answer was', async () => {
    const gate = gates.park('read:authenticate', { when: 'after' })
    const slow = asks(caller)
    await gate.reached
    await revokeApiToken(byOwner(), { id: member.actor.id })
    nowMs += 900
    gate.release()
    expect(await slow).toBe(200)
    nowMs += 99
    expect(await asks(caller)).toBe(200)
    nowMs += 1
    expect(await asks(caller)).toBe(401)
  })

  test('while it is looked up is refused to whoever comes after that, and not remembered', async () => {
    const gate = gates.park('read:authenticate', { when: 'after' })
    const before = asks(caller)
    await gate.reached
    await does(owner, 'revokeApiToken', { id: member.actor.id })
    expect(await asks(caller)).toBe(401)
    gate.release()
    expect(await before).toBe(200)
    expect(await asks(caller)).toBe(401)
  })

  test('while a look-up hangs is not let in by that one later than a second', async () => {
    const gate = gates.park('read:authenticate', { when: 'after' })
    const before = asks(caller)
    await gate.reached
    await revokeApiToken(byOwner(), { id: member.actor.id })
    nowMs += 1_000
    expect(await asks(caller)).toBe(401)
    gate.release()
    expect(await before).toBe(200)
    expect(await asks(caller)).toBe(401)
  })
})

describe('what else a caller loses', () => {
  test.each([
    ['its membership', 'removeMember', () => ({ id: member.id }), async () => [await asks(caller), 401]],
    [
      'a part of its role',
      'setMemberRole',
      () => ({ id: member.id, role: 'VIEWER' }),
      async () => [typeOf(await does(caller, 'deploy', { name: 'web', image: 'hello' })), 'Forbidden'],
    ],
    [
      'its team',
      'deleteTeam',
      () => ({ id: team.teamId }),
      async () => [typeOf(await does(caller, 'deploy', { name: 'web', image: 'hello' })), 'Forbidden'],
    ],
  ] as const)('%s: it is gone at once', async (_, mutation, input, outcome) => {
    expect(await asks(caller)).toBe(200)
    expect(typeOf(await does(owner, mutation, input()))).toMatch(/Payload$/)
    const [seen, expected] = await outcome()
    expect(seen).toBe(expected)
  })

  test.each([
    ['its membership', () => removeMember(byOwner(), { id: member.id }), 'UNAUTHENTICATED'],
    ['a part of its role', () => setMemberRole(byOwner(), { id: member.id, role: 'viewer' }), 'Forbidden'],
    ['its team', () => deleteTeam(byOwner(), { id: team.teamId }), 'Forbidden'],
  ] as const)('%s, by another process: it is gone a second later', async (_, loses, expected) => {
    const deploys = async (name: string) => typeOf(await does(caller, 'deploy', { name, image: 'hello' }))
    expect(await asks(caller)).toBe(200)
    expect(await loses()).toHaveProperty('replayed', false)
    expect(await deploys('first')).toBe('DeployPayload')
    nowMs += 1_000
    expect(await deploys('second')).toContain(expected)
  })
})

describe('on what is remembered of a caller nobody', () => {
  const lost = async () => {
    expect(await asks(caller)).toBe(200)
    await revokeApiToken(byOwner(), { id: member.actor.id })
  }
  test.each<[string, string, () => object]>([
    [
      'makes another token',
      'createApiToken',
      () => ({ name: 'more', scopes: allScopes.slice(0, 1) satisfies Scope[] }),
    ],
    ['lets somebody else in', 'inviteMember', () => ({ email: 'eve@example.org', role: 'ADMIN' })],
    ['takes somebody else’s token', 'revokeApiToken', () => ({ id: team.actor.id })],
    ['has things told to itself', 'createWebhook', () => ({ url: 'https://eve.example/' })],
    ['deletes anything', 'deleteDeployment', () => ({ id: 'dep_01m7y4edajfk2bcxf0axbft41e' })],
    ['approves anything', 'approvePromotion', () => ({ id: 'appr_01m7y4edajfk2bcxf0axbft41e' })],
  ])('%s', async (_, mutation, input) => {
    await lost()
    const { status, errors, data } = await does(caller, mutation, input())
    expect([status, data ?? null]).toEqual([401, null])
    expect(errors).toMatchObject([{ extensions: { code: 'UNAUTHENTICATED' } }])
  })

  test('gives itself back the role that it has lost', async () => {
    expect(await asks(caller)).toBe(200)
    await setMemberRole(byOwner(), { id: member.id, role: 'viewer' })
    expect(typeOf(await does(caller, 'setMemberRole', { id: member.id, role: 'ADMIN' }))).toBe('Forbidden')
  })
})

describe('what is kept', () => {
  const actorOf = (more: Partial<Actor> = {}) => ({ ...member.actor, ...more })

  test('is so many at most, the newest', async () => {
    const memory = createCallerMemory({ maxCallers: 2, nowMs: () => 0 })
    for (const credential of ['a', 'b', 'c']) await memory.recall(credential, async () => actorOf())
    expect(memory.size).toBe(2)
    expect(await memory.recall('c', async () => null)).toMatchObject({ remembered: true })
    expect(await memory.recall('a', async () => null)).toBeNull()
  })

  test('is nobody who is not let in, a member of nothing, nor what could not be told', async () => {
    const memory = createCallerMemory({ nowMs: () => 0 })
    await memory.recall('a', async () => null)
    await memory.recall('b', async () => actorOf({ kind: 'identity', memberId: null }))
    await expect(memory.recall('c', () => Promise.reject(new Error('gone')))).rejects.toThrow('gone')
    expect(memory.size).toBe(0)
  })

  test('is no longer so than its credential is good', async () => {
    let now = 0
    const memory = createCallerMemory({ nowMs: () => now })
    await memory.recall('a', async () => actorOf({ goodUntil: new Date(Date.now() + 500) }))
    now = 500
    expect(await memory.recall('a', async () => null)).toBeNull()
  })
})
