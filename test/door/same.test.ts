// What Yoga's own HTTP would answer: the same bytes, status and headers. Two servers that differ in nothing else are asked the
// same things in the same order, so that also what is left of the budget is the same.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openPool, type Pool, type Statement } from '../../src/db/client.ts'
import { DatabaseFault } from '../../src/db/fault.ts'
import { createLog, type Log } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type Rate, type RateScope, rates as usualRates } from '../../src/plans.ts'
import { createRateLimit } from '../../src/rate-limit.ts'
import { graphqlOperations } from '../../src/schema/schema.ts'
import { createHttpServer, type GraphqlPart } from '../../src/server.ts'
import { createTestDatabase, type TestDatabase } from '../database.ts'
import { createTeam, createToken, type TestTeam } from '../fixture.ts'
import { testSealing, testWebhookFault } from '../row.ts'
import { type Asked, ask, type Seen, type Target } from './client.ts'
import { documentAttacks } from './document-attack.ts'

/** Yoga is given what the door has read, as a request of its own kind. */
const byYoga: GraphqlPart['answer'] = async (pipeline, req, res, { parameters }) => {
  const headers = { accept: req.headers.accept ?? '*/*', 'content-type': 'application/json' }
  const inUrl = new URLSearchParams(
    Object.entries(parameters).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, typeof value === 'string' ? value : JSON.stringify(value)]],
    ),
  )
  const response = await (req.method === 'GET'
    ? pipeline.fetch(`http://pawl/graphql?${inUrl}`, { headers })
    : pipeline.fetch('http://pawl/graphql', { method: 'POST', headers, body: JSON.stringify(parameters) }))
  res.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text())
}

interface Both {
  /** Our answer and Yoga's, without what differs by nature. */
  send(send: (target: Target) => Promise<Seen>, token?: string): Promise<[Seen, Seen]>
  ask(asked: Asked, token?: string): Promise<[Seen, Seen]>
  close(): Promise<void>
}

let database: TestDatabase
let pool: Pool
let team: TestTeam
let before: (statement: Statement) => void = () => {}
let both: Both

beforeAll(async () => {
  database = await createTestDatabase()
  team = await createTeam(database.url)
  pool = openPool({
    url: database.url,
    purpose: 'api',
    slots: 4,
    statementTimeoutMs: 5_000,
    wrap: (channel) => ({
      async run(statement) {
        before(statement)
        return channel.run(statement)
      },
    }),
  })
  both = await open()
})
afterEach(() => {
  before = () => {}
})
afterAll(async () => {
  await both.close()
  await pool.close()
  await database.drop()
})

interface Other {
  readonly graphql?: Partial<GraphqlPart>
  readonly log?: Partial<Log>
  readonly rates?: Readonly<Record<RateScope, Rate>>
}

async function open({ graphql = {}, log = {}, rates = usualRates }: Other = {}): Promise<Both> {
  const serve = async (answered: Partial<GraphqlPart>) => {
    const server = createHttpServer({
      graphql: {
        db: pool.db,
        images: { reserves: () => false, resolveImage: async (image) => ({ kind: 'done', value: { image } }) },
        nudge: () => {},
        resourceTypes: () => null,
        webhookFault: testWebhookFault,
        sealing: testSealing,
        rate: createRateLimit({ rates, nowMs: () => 0 }),
        ...answered,
        ...graphql,
      },
      metrics: createMetrics({ graphqlOperations, strict: true }),
      log: { ...createLog({ level: 'silent' }), ...log },
      ready: async () => true,
      times: { lingerMs: 200 },
    })
    return { server, url: `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}` }
  }
  const [ours, theirs] = [await serve({}), await serve({ answer: byYoga })]
  const both: Both = {
    async send(send, token = team.token) {
      const [a, b] = [await send({ url: ours.url, token }), await send({ url: theirs.url, token })]
      return [plain(a), plain(b)]
    },
    ask: (asked, token) =>
      both.send((at) => ask(at, { ...asked, headers: { 'x-request-id': 'same', ...asked.headers } }), token),
    close: async () => void (await Promise.all([ours.server.stop(1_000), theirs.server.stop(1_000)])),
  }
  return both
}
const plain = (seen: Seen): Seen => ({ ...seen, headers: { ...seen.headers, date: '', 'x-request-id': '' } })

const forms = [
  undefined,
  'application/json',
  'application/graphql-response+json',
  'application/graphql-response+json, application/json;q=0.9',
  'application/*; charset=utf-8',
  'multipart/mixed, application/json',
  'text/event-stream, application/json',
]
/** Asks for it in every form; returns the answer to whoever does not say in which. */
async function same(parameters: object, { at = both, token = team.token } = {}): Promise<Seen> {
  const body = JSON.stringify(parameters)
  let first: Seen | undefined
  for (const accept of forms) {
    const [ours, theirs] = await at.ask({ body, headers: { accept } }, token)
    expect(ours, `${accept}`).toEqual(theirs)
    first ??= ours
  }
  // A stream of one answer: its words and its status.
  const [ours, theirs] = await at.ask({ body, headers: { accept: 'text/event-stream' } }, token)
  expect([ours.status, ours.text]).toEqual([theirs.status, theirs.text])
  const entries = Object.entries(parameters).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
  ])
  const path = `/graphql?${new URLSearchParams(Object.fromEntries(entries))}`
  const [got, gotten] = await at.ask({ method: 'GET', path, headers: { 'content-type': undefined } }, token)
  expect(got).toEqual(gotten)
  return first as Seen
}

const small = '{ __typename }'
const viewer = '{ viewer { scopes team { name } } }'
const paged = 'query Page($n: Int) { deployments(first: $n) { totalCount nodes { id } } }'
const two = 'query A { viewer { scopes } } query B { __typename }'
const redeploy =
  'mutation ($id: ID!) { redeployDeployment(input: { id: $id }) { __typename ... on Refusal { code message } } }'

describe('as Yoga answers', () => {
  test.each<[number, string, object]>([
    [200, 'a query', { query: viewer }],
    [
      200,
      'fields of all kinds, as often as asked for',
      { query: `{ b: __typename ...f a: __typename } fragment f on Query ${viewer}` },
    ],
    [200, 'variables', { query: paged, variables: { n: 3 } }],
    [200, 'variables that are not needed', { query: viewer, variables: { n: 3 }, extensions: { a: 1 } }],
    [200, 'variables that are null', { query: viewer, variables: null, operationName: null, extensions: null }],
    [200, 'one of two operations', { query: two, operationName: 'B' }],
    [200, 'a refused mutation', { query: redeploy, variables: { id: 'dep_01m7y4edajfk2bcxf0axbft41e' } }],
    [200, 'an error at a field', { query: '{ viewer { scopes } node(id: "nothing") { id } }' }],
    [200, 'a value at a field that is not taken', { query: '{ events(after: "nothing") { nodes { cursor } } }' }],
    [200, 'introspection', { query: '{ __schema { queryType { name } } }' }],
    [200, 'text of another alphabet', { query: '{ __type(name: "Run🏃Swim🏊") { name } }' }],
    [400, 'no query', {}],
    [400, 'a query that is null', { query: null }],
    [200, 'an empty query', { query: '' }],
    [200, 'a syntax error', { query: '{ viewer {' }],
    [200, 'an unknown field', { query: '{ nothing viewer { nothing } }' }],
    [
      200,
      'a missing argument and a fragment on nothing',
      { query: '{ node { id } ...x } fragment x on Nothing { a }' },
    ],
    [400, 'an operation that is not there', { query: two, operationName: 'C' }],
    [400, 'an operation that is not said', { query: two }],
    [400, 'no operation at all', { query: 'fragment a on Query { __typename }' }],
    [400, 'a wrong variable', { query: paged, variables: { n: 'many' } }],
    [400, 'a missing variable', { query: redeploy }],
    [400, 'variables that are a list', { query: viewer, variables: [] }],
    [400, 'extensions that are a text', { query: viewer, extensions: 'a' }],
    [400, 'an operation that is called by a number', { query: viewer, operationName: 7 }],
    [400, 'a parameter that there is not', { query: viewer, more: 1 }],
    [400, 'a page that is too large', { query: paged, variables: { n: 1_000 } }],
    [400, 'too many fields', { query: `{ ${'__typename '.repeat(401)} }` }],
    [400, 'too much', { query: '{ deployments(first: 100) { nodes { operations(first: 100) { nodes { id } } } } }' }],
    [200, '200,000 characters', { query: `{ viewer { scopes } } # ${'x'.repeat(200_000)}` }],
  ])('%i: %s', async (status, _, parameters) => {
    const seen = await same(parameters)
    expect(seen.status, seen.text).toBe(status)
    expect(seen.headers).toHaveProperty('x-ratelimit-remaining')
  })

  // What is read of that one cannot be written as JSON again, for Yoga.
  const attacks = documentAttacks.filter(({ name }) => name !== 'a page of more digits than a number has')
  test.each(attacks)('an attack: $name', async ({ send }) => {
    const [ours, theirs] = await both.send(send)
    expect(ours).toEqual(theirs)
  })

  test('a subscription that the client could not read', async () => {
    const query = 'subscription { events { cursor } }'
    for (const accept of ['application/json', 'application/graphql-response+json']) {
      const [ours, theirs] = await both.ask({ body: JSON.stringify({ query }), headers: { accept } })
      expect(ours).toEqual(theirs)
      expect(ours.status).toBe(406)
    }
  })

  test('a mutation that is carried out', async () => {
    const query = 'mutation ($n: String!) { deploy(input: { name: $n, image: "hello" }) { __typename } }'
    const [ours, theirs] = await both.ask({ body: JSON.stringify({ query, variables: { n: 'one' } }) })
    expect([ours.data, theirs.data.deploy.__typename]).toEqual([
      { deploy: { __typename: 'DeployPayload' } },
      'NameTaken',
    ])
    const other = createToken(database.url, team.teamId, { scopes: ['deploy'] })
    expect((await same({ query: viewer }, { token: (await other).token })).status).toBe(403)
  })
})

describe('a fault', () => {
  const names = '{ viewer { scopes } deployments { nodes { name } } }'
  test.each<[string, unknown]>([
    ['a bug', new TypeError('boom')],
    ['a text', 'boom'],
    ['nothing', undefined],
    ['a database that is away', new DatabaseFault('unavailable', 'gone')],
    ['a database that is busy', new DatabaseFault('busy', 'busy')],
  ])('%s', async (_, error) => {
    before = ({ sql }) => {
      if (sql.includes('read:deployments.page')) throw error
    }
    const { errors } = await same({ query: names })
    expect(errors[0]?.extensions.requestId).toBe('same')
  })

  test('in the making of the context', async () => {
    const broken = await open({
      log: {
        with: () => {
          throw new Error('boom')
        },
      },
    })
    const { status, errors } = await same({ query: viewer }, { at: broken })
    expect([status, errors[0]?.extensions.code]).toEqual([500, 'INTERNAL'])
    await broken.close()
  })
})

test('where the schema is not told', async () => {
  const hidden = await open({ graphql: { introspection: 'off' } })
  for (const query of ['{ __schema { queryType { name } } }', '{ viewers { id } }', viewer])
    await same({ query }, { at: hidden })
  await hidden.close()
})

test('whoever has asked too much: known by the cost, by the document, and before it is read', async () => {
  const rate = { burst: 300, perSecond: 1 }
  const poor = await open({ rates: { actor: rate, team: rate } })
  const dear = '{ a: deployments(first: 100) { nodes { id } } b: deployments(first: 100) { nodes { id } } }'
  const long = `{ ${'__typename '.repeat(390)} }`
  const seen: unknown[] = []
  for (const query of [small, dear, long, small, small]) {
    const [ours, theirs] = await poor.ask({ body: JSON.stringify({ query }) })
    expect(ours).toEqual(theirs)
    seen.push([ours.status, ours.headers['x-ratelimit-remaining'], ours.headers['retry-after'] !== undefined])
  }
  expect(seen).toEqual([
    [200, '220', false],
    [429, '140', true],
    [429, '60', true],
    [429, '60', true],
    [429, '60', true],
  ])
  await poor.close()
})
