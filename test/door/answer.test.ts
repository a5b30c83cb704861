// What every answer shows, and what none may: the same headers whatever became of the request, its cost, and of a fault at any
// layer the request id alone. And who is let through where strangers are not.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseFault } from '../../src/db/fault.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createHttpServer, type HttpOptions, type PawlServer } from '../../src/server.ts'
import { testSealing } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { type Asked, ask, post, type Seen, say, type Target } from './client.ts'

const canary = 'canary-5f1c'
const everyHeader = {
  'x-request-id': expect.stringMatching(/^[\w.:-]{1,64}$/),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'content-security-policy': expect.stringMatching(/default-src 'none'.*frame-ancestors 'none'/),
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
}

let api: Api
let target: Target
beforeAll(async () => {
  api = await openApi({ times: { lingerMs: 200, headersMs: 400, requestMs: 600, checkMs: 50 } })
  target = { url: api.url, token: api.team.token }
})
afterEach(() => {
  api.before = () => {}
})
afterAll(() => api.close())

const query = '{ viewer { scopes } }'
const failing = (statement: string, error: unknown) => {
  api.before = ({ sql }) => {
    if (sql.includes(statement)) throw error
  }
}

describe('the headers of every answer', () => {
  const plain = (asked: Asked) => () => ask(target, { method: 'GET', headers: { 'content-type': undefined }, ...asked })
  test.each<[number, string, () => Promise<Seen>]>([
    [200, 'an answer', () => post(target, query)],
    [200, 'an answer to a GET', plain({ path: `/graphql?query=${encodeURIComponent(query)}` })],
    [200, 'an answer as events', () => post(target, query, {}, { headers: { accept: 'text/event-stream' } })],
    [200, 'the page', plain({ headers: { accept: 'text/html' } })],
    [200, 'health', plain({ path: '/healthz' })],
    [200, 'readiness', plain({ path: '/readyz' })],
    [200, 'metrics', plain({ path: '/metrics' })],
    [400, 'malformed', () => ask(target, { body: '{' })],
    [400, 'no HTTP', () => say(target, 'hello\r\n\r\n')],
    [400, 'no host', () => say(target, 'GET /healthz HTTP/1.1\r\n\r\n')],
    [401, 'no token', () => post({ ...target, token: 'none' }, query)],
    [403, 'a foreign origin', () => post(target, query, {}, { headers: { origin: 'https://evil.example' } })],
    [404, 'nothing there', plain({ path: '/nothing' })],
    [405, 'another method', () => ask(target, { method: 'OPTIONS' })],
    [405, 'another method elsewhere', () => ask(target, { path: '/healthz', body: 'x' })],
    [406, 'no form of answer', () => post(target, query, {}, { headers: { accept: 'image/png' } })],
    [408, 'slow headers', () => say(target, 'GET / HTTP/1.1\r\n')],
    [413, 'a body that is too large', () => ask(target, { body: 'x'.repeat(300_000) })],
    [415, 'another form', () => post(target, query, {}, { headers: { 'content-type': 'text/plain' } })],
    [417, 'an expectation', () => post(target, query, {}, { headers: { expect: 'more' } })],
    [431, 'large headers', () => say(target, `GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)],
  ])('%i: %s', async (expected, _, send) => {
    const { status, headers, text } = await send()
    expect(status, text).toBe(expected)
    expect(headers).toMatchObject(everyHeader)
    for (const name of ['access-control-allow-origin', 'access-control-allow-headers', 'server', 'x-powered-by'])
      expect(headers).not.toHaveProperty(name)
  })

  test('503 while the database is away, and 500 for a fault before anybody is known', async () => {
    failing('read:authenticate', new DatabaseFault('unavailable', canary))
    const away = await post(target, query)
    expect([away.status, away.headers]).toEqual([503, expect.objectContaining({ ...everyHeader, 'retry-after': '1' })])
    failing('read:authenticate', new TypeError(canary))
    const fault = await post(target, query)
    expect([fault.status, fault.headers]).toEqual([500, expect.objectContaining(everyHeader)])
    expect(`${away.text}${fault.text}`).not.toContain(canary)
  })
})

describe('of a fault nothing is shown but the request id', () => {
  type Graphql = NonNullable<HttpOptions['graphql']>
  const thrown = () => Object.assign(new Error(`boom ${canary}`), { detail: canary, cause: new Error(canary) })
  const throws = () => {
    throw thrown()
  }
  const deploy = 'mutation { deploy(input: { name: "masked", image: "hello" }) { __typename } }'
  const names = '{ deployments { nodes { name } } }'

  const bare = (): Graphql => ({
    db: api.pool.db,
    images: { reserves: () => false, resolveImage: async (image) => ({ kind: 'done', value: { image } }) },
    nudge: () => {},
    resourceTypes: () => null,
    webhookFault: async () => null,
    sealing: testSealing,
  })
  const withOther = async <T>(
    other: Partial<Graphql>,
    more: Partial<HttpOptions>,
    use: (at: Target, server: PawlServer) => Promise<T>,
  ) => {
    const logged: string[] = []
    const server = createHttpServer({
      graphql: { ...bare(), ...other },
      metrics: createMetrics(),
      log: createLog({ level: 'debug', destination: { write: (line) => logged.push(line) } }),
      ready: async () => true,
      ...more,
    })
    const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
    const result = await use({ url, token: target.token }, server)
    await server.stop(1_000)
    return { result, logged }
  }
  const byDriver = (other: Partial<Graphql>) => () =>
    withOther(other, {}, (at) => post(at, deploy)).then(({ result }) => result)
  const byLog = () => {
    const log = { ...createLog({ level: 'silent' }), with: throws }
    return withOther({}, { log }, (at) => post(at, query)).then(({ result }) => result)
  }
  const inStatement = (statement: string, error: unknown, asked: string) => () => {
    failing(statement, error)
    return post(target, asked)
  }

  test.each<[string, () => Promise<Seen>]>([
    ['the check of the token', inStatement('read:authenticate', thrown(), query)],
    ['a read', inStatement('read:deployments.page', thrown(), names)],
    ['a read, as a text', inStatement('read:deployments.page', canary, names)],
    ['a read, as nothing', inStatement('read:deployments.page', undefined, names)],
    [
      'a read, as a database fault',
      inStatement('read:deployments.page', new DatabaseFault('bug', canary, { statement: canary }), names),
    ],
    ['a loader', inStatement('read:deployment', thrown(), '{ node(id: "dep_01m7y4edajfk2bcxf0axbft41e") { id } }')],
    ['a transition', inStatement('deploy', thrown(), deploy)],
    ['a driver', byDriver({ images: { reserves: () => false, resolveImage: () => Promise.reject(thrown()) } })],
    ['a hint to the dispatcher', byDriver({ nudge: throws })],
    ['the making of the context', byLog],
  ])('in %s', async (_, send) => {
    const { errors, text, headers } = await send()
    expect(errors, text).toHaveLength(1)
    expect(text).not.toMatch(/canary|boom|at .*:\d+:\d+|"stack"|originalError/)
    for (const { extensions } of errors)
      expect(extensions).toMatchObject({ code: 'INTERNAL', requestId: headers['x-request-id'] })
  })

  test('in metrics and readiness; the log has it under that id', async () => {
    const broken = { ...createMetrics(), text: () => Promise.reject(thrown()) }
    const { result, logged } = await withOther(
      {},
      { metrics: broken, ready: () => Promise.reject(thrown()) },
      async (at) => {
        const get = (path: string) => ask(at, { method: 'GET', path })
        return [await get('/metrics'), await get('/readyz')] as const
      },
    )
    const [metrics, ready] = result
    expect([metrics.status, ready.status, ready.text]).toEqual([500, 503, '{"ready":false}\n'])
    expect(`${metrics.text}${ready.text}`).not.toContain(canary)
    expect(logged.map((line) => JSON.parse(line).requestId)).toEqual([metrics.headers['x-request-id']])
  })
})

describe('the cost', () => {
  const listed = 'query ($n: Int = 7) { deployments(first: $n) { nodes { id state } } }'
  const costOf = async (asked: string, variables?: unknown) =>
    (await post(target, asked, variables)).extensions?.cost.requested

  test('stands in every answer that was carried out, the same for literal, variable and default', async () => {
    const literal = (await post(target, listed.replace('query ($n: Int = 7)', '').replace('$n', '7'))).extensions
    expect(literal.cost).toMatchObject({ requested: expect.any(Number), limit: 20_000 })
    const { requested } = literal.cost
    expect([await costOf(listed, { n: 7 }), await costOf(listed)]).toEqual([requested, requested])
    expect(await costOf(listed, { n: 14 })).toBeGreaterThan(requested * 1.8)
    // Null and nothing are the usual page.
    const usual = await costOf(listed, { n: 20 })
    expect([await costOf(listed, { n: null }), await costOf('{ deployments { nodes { id state } } }')]).toEqual([
      usual,
      usual,
    ])
    expect(await costOf('mutation { deploy(input: { name: "", image: "hello" }) { __typename } }')).toBeGreaterThan(0)
  })

  test('of the whole schema is what a few pages cost', async () => {
    const { getIntrospectionQuery } = await import('graphql')
    const requested = await costOf(getIntrospectionQuery())
    expect(requested).toBeGreaterThan(500)
    expect(requested).toBeLessThan(5_000)
  })

  test('is told where it is the reason that nothing was run', async () => {
    const { errors, extensions } = await post(
      target,
      '{ deployments(first: 100) { nodes { operations(first: 100) { nodes { id kind } } } } }',
    )
    expect(errors[0]?.message).toContain(`is ${extensions.cost.requested}; at most 20000 is taken`)
  })
})

test('fields are answered in the order in which they were asked for, whichever is done first', async () => {
  const done = Promise.withResolvers<void>()
  api.before = async ({ sql }) => {
    if (sql.includes('read:deployments.page')) await done.promise
    if (sql.includes('read:resources.page')) done.resolve()
  }
  const { text } = await post(target, '{ a: deployments { nodes { id } } b: resources { nodes { id } } c: __typename }')
  expect(text.match(/"[abc]":/g)).toEqual(['"a":', '"b":', '"c":'])
})

describe('whoever is no stranger is let through', () => {
  const from = (headers: Record<string, string>) => post(target, query, {}, { headers })
  test.each<[string, () => Record<string, string>]>([
    ['our own page', () => ({ origin: api.url, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' })],
    ['our own page behind TLS', () => ({ host: 'pawl.example.org', origin: 'https://pawl.example.org' })],
    [
      'our own page behind TLS with its port',
      () => ({ host: 'pawl.example.org:443', origin: 'https://pawl.example.org' }),
    ],
    ['our own page in capitals', () => ({ host: 'Pawl.Example.ORG', origin: 'https://pawl.example.org' })],
    ['our own page at an IPv6 address', () => ({ host: '[::1]:4000', origin: 'http://[::1]:4000' })],
    ['a user who has typed the address', () => ({ 'sec-fetch-site': 'none' })],
    ['a client that is no browser', () => ({})],
    ['JSON that says its charset', () => ({ 'content-type': 'Application/JSON; charset="UTF-8"' })],
  ])('%s', async (_, headers) => {
    expect((await from(headers())).data).toEqual({ viewer: { scopes: expect.any(Array) } })
  })

  test('a link to the page from another site', async () => {
    const headers = { accept: 'text/html', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
    const page = await ask({ ...target, token: 'none' }, { method: 'GET', headers })
    expect([page.status, page.text.includes('Welcome to Pawl')]).toEqual([200, true])
    const other = await ask(target, { method: 'GET', headers: { accept: 'text/html', origin: 'https://evil.example' } })
    expect(other.status).toBe(403)
  })

  test('a body that is asked for before it is sent', async () => {
    const { status, data } = await post(target, query, {}, { headers: { expect: '100-continue' } })
    expect([status, data.viewer.scopes]).toEqual([200, expect.any(Array)])
  })
})

describe('strange values', () => {
  const name = (value: string) =>
    post(
      target,
      'mutation ($n: String!) { deploy(input: { name: $n, image: "hello" }) { __typename ... on ValidationFailed { faults { path message } } } }',
      { n: value },
    )

  test.each([
    ['a null byte', 'a\u0000b'],
    ['half a surrogate pair', 'a\ud800b'],
    ['a line that looks like a log line', 'a\n{"level":"fatal"}'],
    ['words for a terminal', 'a\u001b[2J\u001b]0;x\u0007'],
    ['text that runs backwards', 'a\u202eb'],
    ['__proto__', '__proto__'],
    ['200,000 characters', 'x'.repeat(200_000)],
  ])('%s in a name is refused by type, and the log still parses', async (_, value) => {
    api.logged.splice(0)
    const { status, data, text } = await name(value)
    expect([status, data?.deploy.__typename], text.slice(0, 300)).toEqual([200, 'ValidationFailed'])
    for (const line of api.logged) {
      expect(line.trimEnd()).not.toMatch(/\p{Cc}/u)
      expect(JSON.parse(line)).toHaveProperty('level')
    }
  })

  test('a log line of a request keeps its form, whatever the client calls it', async () => {
    api.logged.splice(0)
    failing('read:deployments.page', new Error('a\n{"level":"fatal"}\u001b[2J'))
    const headers = { 'x-request-id': 'x"}\t{"level":"fatal' }
    const { errors } = await post(target, 'query A { deployments { nodes { id } } }', {}, { headers })
    expect(api.logged.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: 'error', requestId: errors[0]?.extensions.requestId }),
    ])
    expect(errors[0]?.extensions.requestId).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('keys that every object has are names like others', async () => {
    const { data, errors } = await post(
      target,
      '{ __proto__: viewer { constructor: scopes toString: __typename } hasOwnProperty: __typename }',
    )
    expect(errors).toEqual([])
    expect(Object.keys(data)).toEqual(['__proto__', 'hasOwnProperty'])
    expect(({} as { scopes?: unknown }).scopes).toBeUndefined()
  })
})
