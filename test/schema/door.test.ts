// The front door: who is let in, what is refused before anything is run, and what an answer may never show.
import { getIntrospectionQuery } from 'graphql'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createToken, superuser } from '../fixture.ts'
import { until } from '../until.ts'
import { type Api, openApi } from './api.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterEach(() => {
  api.before = () => {}
})
afterAll(() => api.close())

const query = '{ viewer { scopes } }'
const post = (body: string | undefined, headers: Record<string, string> = {}, method = 'POST') =>
  fetch(`${api.url}/graphql`, {
    method,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${api.team.token}`, ...headers },
    ...(body === undefined ? {} : { body }),
  })
const codeOf = async (response: Response) => (await response.json()).errors?.[0]?.extensions?.code

describe('who is let in', () => {
  test('a good token', async () => {
    expect((await api.call(query)).data.viewer.scopes).toContain('read')
  })

  test('nobody else, all told the same', async () => {
    const { url, team } = api
    const expired = await createToken(api.database.url, team.teamId, { expiresInMs: -1_000 })
    const revoked = await createToken(api.database.url, team.teamId, { state: 'REVOKED' })
    const other = await createToken(api.database.url, team.teamId)
    const swapped = team.token.slice(0, 18) + other.token.slice(18)
    const headers: Record<string, string>[] = [
      {},
      { authorization: 'Bearer' },
      { authorization: 'Bearer pawl_x' },
      { authorization: team.token },
      { authorization: `Basic ${team.token}` },
      { authorization: `Bearer ${team.token.slice(0, -1)}0` },
      { authorization: `Bearer ${swapped}` },
      { authorization: `Bearer ${expired.token}` },
      { authorization: `Bearer ${revoked.token}` },
    ]
    const answers = await Promise.all(
      headers.map(async (each) => {
        const response = await fetch(`${url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...each },
          body: JSON.stringify({ query: getIntrospectionQuery() }),
        })
        return `${response.status} ${response.headers.get('www-authenticate')} ${await response.text()}`
      }),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toMatch(/^401 Bearer .*"UNAUTHENTICATED"/)
    const byUrl = await fetch(`${url}/graphql?query=${encodeURIComponent(query)}&token=${team.token}`)
    expect(byUrl.status).toBe(401)
  })

  test('a token stops working in the statement that revokes it', async () => {
    const { token, actor } = await createToken(api.database.url, api.team.teamId)
    expect((await api.call(query, {}, token)).status).toBe(200)
    const revoked = await api.call('mutation ($id: ID!) { revokeApiToken(input: { id: $id }) { __typename } }', {
      id: actor.id,
    })
    expect(revoked.data.revokeApiToken.__typename).toBe('RevokeApiTokenPayload')
    expect((await api.call(query, {}, token)).status).toBe(401)
  })

  test('a team that can be restored is read; one that is being torn down lets nobody in', async () => {
    const sql = superuser(api.database.url)
    const { createTeam } = await import('../fixture.ts')
    const leaving = await createTeam(api.database.url)
    expect((await api.call(query, {}, leaving.token)).status).toBe(200)
    await sql`update team set state = 'DELETION_REQUESTED', version = version + 1 where id = ${leaving.teamId}`
    expect((await api.call(query, {}, leaving.token)).status).toBe(200)
    await sql`update team set state = 'DELETING', version = version + 1 where id = ${leaving.teamId}`
    expect((await api.call(query, {}, leaving.token)).status).toBe(401)
    await sql.end()
  })

  test('the use of a token is noted, at most once a minute', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId)
    const lastUsedAt = async () =>
      (await api.call('{ viewer { token { lastUsedAt } } }', {}, token)).data.viewer.token.lastUsedAt
    // It is noted behind the request's back: seen a moment later.
    await until(async () => expect(await lastUsedAt()).toMatch(/Z$/))
    const noted = await lastUsedAt()
    // A note of an earlier call may still be on its way; once none is, no further call makes one.
    await until(async () => {
      api.forget()
      await api.call(query, {}, token)
      expect(api.names()).not.toContain('noteTokenUse')
    })
    expect(await lastUsedAt()).toBe(noted)
  })

  test('without the scope read nothing is read', async () => {
    const { token } = await createToken(api.database.url, api.team.teamId, { scopes: ['deploy'] })
    const { status, errors } = await api.call('{ deployments { totalCount } }', {}, token)
    expect(status).toBe(403)
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'FORBIDDEN', missing: 'read' })
  })
})

describe('what is not run', () => {
  test('bodies of up to 256 KB are read, whatever their form', async () => {
    const body = (bytes: number) => `{"query":"${query}"${' '.repeat(bytes - query.length - 12)}}`
    expect(Buffer.byteLength(body(262_144))).toBe(262_144)
    expect((await post(body(262_144))).status).toBe(200)
    expect((await post(body(262_145))).status).toBe(413)
  })

  test.each([
    ['no query', '{}', 400],
    ['a syntax error', JSON.stringify({ query: '{' }), 400],
    ['an unknown field', JSON.stringify({ query: '{ nothing }' }), 400],
    [
      'a wrong variable',
      JSON.stringify({ query: 'query ($f: Int) { deployments(first: $f) { totalCount } }', variables: { f: 'x' } }),
      400,
    ],
  ])('%s', async (_, body, status) => {
    const response = await post(body, { accept: 'application/graphql-response+json' })
    expect(response.status).toBe(status)
    expect(await codeOf(response)).toMatch(/^[A-Z_]+$/)
  })

  test('the operation that is asked for is the one that is weighed', async () => {
    const cheap = 'query A { viewer { scopes } }'
    const dear = 'query B { deployments(first: 100) { nodes { operations(first: 100) { nodes { id kind } } } } }'
    const ask = (operationName: string) => post(JSON.stringify({ query: `${cheap} ${dear}`, operationName }))
    expect(await codeOf(await ask('B'))).toBe('LIMIT_EXCEEDED')
    expect((await ask('A')).status).toBe(200)
  })
})

describe('what an answer shows', () => {
  test('introspection, for those who are let in', async () => {
    const { data, errors } = await api.call(getIntrospectionQuery())
    expect(errors).toBeUndefined()
    expect(data.__schema.types.length).toBeGreaterThan(50)
  })

  test('a request id, the caller’s own when it is plain', async () => {
    expect((await post(JSON.stringify({ query }), { 'x-request-id': 'abc.1' })).headers.get('x-request-id')).toBe(
      'abc.1',
    )
    const made = (await post(JSON.stringify({ query }), { 'x-request-id': 'a b"' })).headers.get('x-request-id')
    expect(made).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('of a fault nothing but the request id', async () => {
    const canary = 'canary-5f1c'
    api.before = ({ sql }) => {
      if (sql.includes('read:deployments.page')) throw new TypeError(`boom ${canary}`)
    }
    const { status, errors, text, headers } = await api.call('{ deployments { nodes { id } } }')
    expect(status).toBe(200)
    expect(text).not.toContain('canary')
    expect(errors?.[0]?.extensions).toEqual({ code: 'INTERNAL', requestId: headers.get('x-request-id') })
  })

  test('of a database that cannot be reached: that, and when to ask again', async () => {
    const { DatabaseFault } = await import('../../src/db/fault.ts')
    api.before = ({ sql }) => {
      if (sql.includes('read:deployments.page')) throw new DatabaseFault('unavailable', 'gone')
    }
    const { errors } = await api.call('{ deployments { nodes { id } } }')
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'TEMPORARILY_UNAVAILABLE', retryAfterMs: 1_000 })
    api.before = ({ sql }) => {
      if (sql.includes('read:authenticate')) throw new DatabaseFault('unavailable', 'gone')
    }
    const closed = await api.call(query)
    expect([closed.status, closed.headers.get('retry-after')]).toEqual([503, '1'])
  })

  test('the page for browsers, with no token', async () => {
    const page = await fetch(`${api.url}/graphql`, { headers: { accept: 'text/html' } })
    expect(page.status).toBe(200)
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(await page.text()).toContain('Welcome to Pawl')
  })

  test('health, readiness, metrics; nothing else', async () => {
    const get = async (path: string) => fetch(`${api.url}${path}`)
    expect((await get('/healthz')).status).toBe(200)
    expect(await (await get('/readyz')).json()).toEqual({ ready: true })
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toMatch(/pawl_graphql_duration_seconds_count\{[^}]*operation="viewer"[^}]*\} \d/)
    expect(metrics).toMatch(/outcome="unauthenticated"/)
    expect((await get('/')).status).toBe(404)
    expect((await fetch(`${api.url}/healthz`, { method: 'POST' })).status).toBe(405)
  })
})
