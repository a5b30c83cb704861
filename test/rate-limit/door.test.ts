// Budgets at the door: what is let through, what 429 says and costs, and the ways around it that lead nowhere. The clock
// stands still unless a test moves it.
import { getIntrospectionQuery } from 'graphql'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ask, post, type Seen, type Target } from '../door/client.ts'
import { createTeam, createToken, type TestTeam } from '../fixture.ts'
import { openStage, type Replica } from './fixture.ts'

/** A request of the smallest price, which is 80, and one of 401. */
const cheap = '{ viewer { scopes } }'
const dear = '{ deployments(first: 100) { nodes { id name state } } }'
const dearPoints = 401
const rates = { actor: { burst: 1_200, perSecond: 1_000 }, team: { burst: 1_800, perSecond: 1_000 } }

let stage: Awaited<ReturnType<typeof openStage>>
let replica: Replica
let team: TestTeam
let target: Target
beforeAll(async () => {
  stage = await openStage(rates)
  replica = await stage.replica()
})
beforeEach(async () => {
  team = await createTeam(stage.url)
  target = replica.as(team.token)
})
afterAll(() => stage.close())

const token = async () => replica.as((await createToken(stage.url, team.teamId)).token)
const codes = ({ status, errors }: Seen) => [status, ...errors.map(({ extensions }) => extensions.code)]
const limits = async (at: Target) =>
  (await post(at, '{ limits { rate { actor { remaining } team { remaining } } } }')).data.limits.rate

/** Asks until the answer is another one; returns that, and how many were as before. */
async function exhaust(send: () => Promise<Seen>): Promise<{ last: Seen; before: number }> {
  for (let before = 0; before < 200; before++) {
    const last = await send()
    if (last.status === 429) return { last, before }
  }
  throw new Error('nothing was ever refused')
}

describe('a caller that asks for too much', () => {
  test('is told so, with the time to wait, and nothing of it is run; after that time it is served', async () => {
    const { last, before } = await exhaust(() => post(target, dear))
    expect(before).toBe(2)
    expect(last.errors).toEqual([
      {
        message: expect.stringContaining('This token or member has used up'),
        extensions: { code: 'RATE_LIMITED', limit: 'actor', retryAfterMs: expect.any(Number) },
      },
    ])
    expect(last.data ?? null).toBeNull()
    const left = Number(last.headers['x-ratelimit-remaining'])
    const retryAfterMs = Number(last.errors[0]?.extensions.retryAfterMs)
    // One point is there after one millisecond.
    expect(retryAfterMs).toBe(dearPoints - left)
    expect(last.headers['retry-after']).toBe(String(Math.ceil(retryAfterMs / 1_000)))
    stage.pass(retryAfterMs - 1)
    expect((await post(target, dear)).status).toBe(429)
    // The attempt had its price.
    stage.pass(1 + dearPoints)
    expect(codes(await post(target, dear))).toEqual([200])
  })

  test('runs no statement but the one that says who it is', async () => {
    await exhaust(() => post(target, dear))
    await exhaust(() => post(target, cheap))
    replica.statements()
    await post(target, dear)
    await post(target, 'mutation { deploy(input: { name: "x", image: "hello" }) { __typename } }')
    expect(replica.statements()).toEqual(['read:authenticate', 'read:authenticate'])
    const deployments = '{ deployments(first: 1) { totalCount } }'
    expect((await post(await token(), deployments)).data.deployments.totalCount).toBe(0)
  })

  test('does not hinder another team', async () => {
    const other = replica.as((await createTeam(stage.url)).token)
    await exhaust(() => post(target, dear))
    expect(codes(await post(other, dear))).toEqual([200])
    expect((await limits(target)).actor.remaining).toBeLessThan(dearPoints)
    expect((await limits(other)).actor.remaining).toBeGreaterThan(dearPoints)
  })

  test('is counted as limited', async () => {
    const count = async () =>
      [...(await replica.metrics.text()).matchAll(/duration_seconds_count\{[^}]*outcome="limited"\} (\d+)/g)].reduce(
        (sum, [, value]) => sum + Number(value),
        0,
      )
    const before = await count()
    await exhaust(() => post(target, dear))
    expect(await count()).toBe(before + 1)
  })
})

describe('what a request pays', () => {
  test('is told with every answer, and by limits', async () => {
    const { extensions, headers } = await post(target, dear)
    const left = rates.actor.burst - dearPoints
    expect([headers['x-ratelimit-remaining'], extensions.cost.requested]).toEqual([String(left), dearPoints])
    // The question after it has its price as well.
    expect(await limits(target)).toEqual({
      actor: { remaining: left - 80 },
      team: { remaining: rates.team.burst - dearPoints - 80 },
    })
  })
})

test('limits tells the bounds that hold, and what is used of the plan', async () => {
  const deploy = 'mutation { deploy(input: { name: "used", image: "hello" }) { __typename } }'
  expect((await post(target, deploy)).data.deploy.__typename).toBe('DeployPayload')
  const { data } = await post(
    target,
    `{ limits { maxBodyBytes maxCost page { default max } env { maxBytes maxKeysPerMerge }
      document { tokens brackets depth fields aliases directives introspection }
      rate { minPerRequest actor { burst perSecond } team { burst perSecond } } plan { kind used cap } } }`,
  )
  const { plan, ...limits } = data.limits
  expect(limits).toEqual({
    maxBodyBytes: 262_144,
    maxCost: 20_000,
    page: { default: 20, max: 100 },
    env: { maxBytes: 65_536, maxKeysPerMerge: 1_000 },
    document: {
      tokens: 2_000,
      brackets: 50,
      depth: 15,
      fields: 400,
      aliases: 50,
      directives: 50,
      introspection: 20_000,
    },
    rate: { minPerRequest: 80, ...rates },
  })
  expect(plan).toContainEqual({ kind: 'deployments', used: 1, cap: 100 })
})

describe('a way around it', () => {
  test('many tokens of one team: the team has one budget', async () => {
    const tokens = await Promise.all([token(), token(), token(), token(), token()])
    const answers: Seen[] = []
    for (const at of tokens) answers.push(await post(at, dear), await post(at, dear))
    const refused = answers.filter(({ status }) => status === 429)
    expect(answers.length - refused.length).toBe(Math.floor(rates.team.burst / dearPoints))
    expect(new Set(refused.map(({ errors }) => errors[0]?.extensions.limit))).toEqual(new Set(['team']))
    // A token that has never asked, too.
    expect((await post(await token(), dear)).errors[0]?.extensions).toMatchObject({ limit: 'team' })
  })

  const many = (count: number, of: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => of(i)).join(' ')
  test.each([
    ['many operations in a document, of which one is run', many(100, (i) => `query q${i} { viewer { scopes } }`)],
    ['aliases', `query q7 { ${many(50, (i) => `a${i}: deployment(id: "x") { id name state }`)} }`],
    ['the same field over and over', `query q7 { ${many(100, () => 'viewer { scopes }')} }`],
    ['fragments', `query q7 { ...f1 ...f2 } ${many(60, (i) => `fragment f${i} on Query { viewer { scopes } }`)}`],
  ])('%s: paid by what it is', async (_, query) => {
    await ask(target, { body: JSON.stringify({ query, operationName: 'q7' }) })
    expect((await limits(target)).actor.remaining).toBeLessThan(rates.actor.burst - 200)
  })

  test('what costs more than can be there at once, such as an introspection here: it leaves a debt', async () => {
    const first = await post(target, getIntrospectionQuery())
    const { requested } = first.extensions.cost
    expect([first.status, requested > rates.actor.burst]).toEqual([200, true])
    const debt = requested - rates.actor.burst
    expect((await post(target, cheap)).errors[0]?.extensions.retryAfterMs).toBe(debt + 80)
    stage.pass(debt + rates.actor.burst - 1)
    expect((await post(target, getIntrospectionQuery())).status).toBe(429)
    stage.pass(1 + rates.actor.burst)
    expect((await post(target, getIntrospectionQuery())).status).toBe(200)
  })

  test.each<[string, (at: Target) => Promise<Seen>, string]>([
    ['no JSON', (at) => ask(at, { body: '{' }), 'BAD_REQUEST'],
    ['a type', (at) => ask(at, { body: 'x', headers: { 'content-type': 'text/plain' } }), 'UNSUPPORTED_MEDIA_TYPE'],
    ['a syntax error', (at) => post(at, '{'), 'GRAPHQL_PARSE_FAILED'],
    ['an unknown field', (at) => post(at, '{ nothing }'), 'GRAPHQL_VALIDATION_FAILED'],
    ['too many tokens', (at) => post(at, `{ ${'a '.repeat(3_000)} }`), 'LIMIT_EXCEEDED'],
    [
      'too dear',
      (at) => post(at, dear.replace('name', 'operations(first: 100) { nodes { id kind } }')),
      'LIMIT_EXCEEDED',
    ],
    ['a batch', (at) => ask(at, { body: `[{ "query": "${cheap}" }]` }), 'BAD_REQUEST'],
  ])('what is refused before it is run pays, too: %s', async (_, send, code) => {
    expect((await send(target)).errors[0]?.extensions.code).toBe(code)
    const { before } = await exhaust(() => send(target))
    expect(before).toBeLessThan(rates.actor.burst / 79)
  })

  test('asking again and again before the time has come wins nothing', async () => {
    await exhaust(() => post(target, cheap))
    for (let attempt = 0; attempt < 5; attempt++) {
      const { status, errors } = await post(target, cheap)
      expect([status, errors[0]?.extensions.retryAfterMs]).toEqual([429, 80])
    }
    stage.pass(80)
    expect((await post(target, cheap)).status).toBe(200)
  })

  test('a token that is none pays for nobody, and is asked about only when its checksum fits', async () => {
    replica.statements()
    for (const bad of ['', 'x', 'pawl_x', `${target.token.slice(0, -1)}0`]) await post(replica.as(bad), dear)
    expect(replica.statements()).toEqual([])
    expect((await limits(target)).team.remaining).toBe(rates.team.burst - 80)
  })
})
