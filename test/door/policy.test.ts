// What an operator may decide about the door: who is told what the schema is, and whether only documents run that were listed.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getIntrospectionQuery } from 'graphql'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { schema } from '../../src/schema/schema.ts'
import { readTrustedDocuments } from '../../src/server-trusted.ts'
import { createToken } from '../fixture.ts'
import { type Api, openApi } from '../schema/api.ts'
import { ask, post, type Seen, type Target } from './client.ts'

const targetOf = (api: Api, token = api.team.token): Target => ({ url: api.url, token })
const codesOf = ({ status, errors }: Seen) => [status, ...errors.map((error) => error.extensions.code)]

/** Each is a near miss: whoever may know the schema is told what was meant. */
const misspelt: [string, string, unknown?][] = [
  ['a field', '{ viewr { scopes } }'],
  ['a field of a type', '{ viewer { scope } }'],
  ['an argument', '{ deployments(frist: 1) { totalCount } }'],
  ['an enum value', '{ deployments(filter: { states: [HEALTHI] }) { totalCount } }'],
  ['an input field', '{ deployments(filter: { nam: "x" }) { totalCount } }'],
  ['a type', '{ node(id: "x") { ... on Deploymen { id } } }'],
  ['a variable’s type', 'query ($f: DeploymentFiltr) { deployments(filter: $f) { totalCount } }'],
  [
    'a variable’s field',
    'query ($f: DeploymentFilter) { deployments(filter: $f) { totalCount } }',
    { f: { nam: 'x' } },
  ],
  [
    'a variable’s enum value',
    'query ($f: DeploymentFilter) { deployments(filter: $f) { totalCount } }',
    { f: { states: ['HEALTHI'] } },
  ],
  ['a mutation', 'mutation { deplo(input: { name: "x" }) { __typename } }'],
]
const introspections: [string, string][] = [
  ['all of it', getIntrospectionQuery()],
  ['__schema', '{ __schema { queryType { name } } }'],
  ['__type', '{ __type(name: "Deployment") { name } }'],
  ['by another name', '{ harmless: __type(name: "Deployment") { name } }'],
  ['in a fragment', '{ viewer { scopes } ...f } fragment f on Query { ... { __schema { queryType { name } } } }'],
]

describe('introspection', () => {
  let on: Api
  let off: Api
  let blind: string
  beforeAll(async () => {
    on = await openApi()
    off = await openApi({ introspection: 'off' })
    blind = (await createToken(on.database.url, on.team.teamId, { scopes: ['deploy'] })).token
  })
  afterAll(() => Promise.all([on.close(), off.close()]))

  test.each(introspections)('%s is told to who may read, and to nobody when it is off', async (_, query) => {
    expect((await post(targetOf(on), query)).errors).toEqual([])
    for (const target of [targetOf(off), targetOf(on, blind)])
      expect(codesOf(await post(target, query))).toEqual([403, 'INTROSPECTION_REFUSED'])
  })

  test.each(misspelt)('%s that is misspelt is corrected for who may read alone', async (_, query, variables) => {
    // In both orders: what was found for one must not be told to the other.
    for (const [target, mayKnow] of [
      [targetOf(on, blind), false],
      [targetOf(on), true],
      [targetOf(on, blind), false],
      [targetOf(off), false],
    ] as const) {
      const { errors, text } = await post(target, query, variables)
      expect(errors).toHaveLength(1)
      expect(/did you mean/i.test(text), text).toBe(mayKnow)
    }
  })

  test('what a type is called is told with every object, also when it is off', async () => {
    expect((await post(targetOf(off), '{ __typename viewer { __typename } }')).data).toEqual({
      __typename: 'Query',
      viewer: { __typename: 'Viewer' },
    })
  })

  test('the page for browsers is there, and not when it is off', async () => {
    const page = (api: Api) => ask(targetOf(api, 'none'), { method: 'GET', headers: { accept: 'text/html' } })
    expect((await page(on)).text).toContain('Welcome to Pawl')
    const none = await page(off)
    expect([none.status, none.text]).toEqual([404, expect.not.stringContaining('Pawl')])
  })

  test('without a token known and unknown names are answered alike', async () => {
    const words = ['viewer', 'deployments', '__schema', 'nothing', 'deploi']
    const answers = await Promise.all(words.map((word) => post(targetOf(on, 'none'), `{ ${word} }`)))
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answers[0]?.status).toBe(401)
  })
})

describe('trusted documents', () => {
  const listed = 'query Look { viewer { team { name } } }'
  const dear = 'query ($n: Int) { deployments(first: $n) { nodes { operations(first: $n) { nodes { id kind } } } } }'
  const make = 'mutation Make { deploy(input: { name: "trusted", image: "hello" }) { __typename } }'
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const folder = mkdtempSync(join(tmpdir(), 'pawl-trusted-'))
  const write = (content: unknown): string => {
    const path = join(folder, 'documents.json')
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  }
  let api: Api
  let target: Target
  beforeAll(async () => {
    const path = write({ [sha256(listed)]: listed, dear, make, [`sha256:${sha256(`${listed} `)}`]: `${listed} ` })
    api = await openApi({ trust: readTrustedDocuments(path, schema, true) })
    target = targetOf(api)
  })
  beforeEach(() => api.forget())
  afterAll(async () => {
    await api.close()
    rmSync(folder, { recursive: true })
  })

  const body = (request: object) => ask(target, { body: JSON.stringify(request) })
  const get = (parameters: Record<string, string>) =>
    ask(target, {
      method: 'GET',
      path: `/graphql?${new URLSearchParams(parameters)}`,
      headers: { 'content-type': undefined },
    })
  const hashed = (query: string, more: object = {}) => ({
    extensions: { persistedQuery: { version: 1, sha256Hash: sha256(query), ...more } },
  })

  test.each<[string, () => Promise<Seen>]>([
    ['by its id', () => body({ documentId: sha256(listed) })],
    ['by its id with the name of the hash', () => body({ documentId: `sha256:${sha256(listed)}` })],
    ['by the hash of persisted queries', () => body(hashed(listed))],
    ['by the hash and the text', () => body({ ...hashed(listed), query: listed })],
    ['by its text', () => body({ query: listed })],
    ['by its id in a GET', () => get({ documentId: sha256(listed) })],
    ['by the hash in a GET', () => get({ extensions: JSON.stringify(hashed(listed).extensions) })],
  ])('one that is listed runs, found %s', async (_, send) => {
    const { status, data } = await send()
    expect([status, data]).toEqual([200, { viewer: { team: { name: 'team' } } }])
  })

  test.each<[string, () => Promise<Seen>]>([
    ['another document', () => body({ query: '{ viewer { scopes } }' })],
    ['a listed one with a space more', () => body({ query: `${listed}  ` })],
    ['a listed one in other words', () => body({ query: listed.replace('Look', 'Look2') })],
    ['an unknown id', () => body({ documentId: 'nothing' })],
    ['the id of another document than the text', () => body({ documentId: 'make', query: listed })],
    ['an id and a hash that differ', () => body({ documentId: 'make', ...hashed(listed) })],
    ['a good id and an altered text', () => body({ documentId: sha256(listed), query: `${listed}#` })],
    [
      'a text registered by its hash',
      () => body({ ...hashed('{ viewer { scopes } }'), query: '{ viewer { scopes } }' }),
    ],
    ['a name that every object has', () => body({ documentId: 'constructor' })],
    ['__proto__', () => body({ documentId: '__proto__' })],
    ['a list of ids', () => body({ documentId: ['make'] })],
    ['a number', () => body({ documentId: 1 })],
    ['introspection', () => body({ query: getIntrospectionQuery() })],
    ['nothing', () => body({})],
    ['another document in a GET', () => get({ query: '{ viewer { scopes } }' })],
  ])('%s is refused, and nothing is run', async (_, send) => {
    expect(codesOf(await send())).toEqual([400, 'UNTRUSTED_DOCUMENT'])
    expect(api.names().filter((name) => !/authenticate|noteTokenUse/.test(name))).toEqual([])
  })

  test('every limit still holds', async () => {
    expect(codesOf(await body({ documentId: 'dear', variables: { n: 100 } }))).toEqual([400, 'LIMIT_EXCEEDED'])
    expect(codesOf(await body({ documentId: 'dear', variables: { n: 101 } }))).toEqual([400, 'BAD_USER_INPUT'])
    expect((await body({ documentId: 'dear', variables: { n: 1 } })).errors).toEqual([])
    expect((await get({ documentId: 'make' })).status).toBe(405)
    expect((await ask({ ...target, token: 'none' }, { body: '{"documentId":"dear"}' })).status).toBe(401)
    const blind = (await createToken(api.database.url, api.team.teamId, { scopes: ['deploy'] })).token
    expect(codesOf(await ask({ ...target, token: blind }, { body: '{"documentId":"dear"}' }))).toEqual([
      403,
      'FORBIDDEN',
    ])
  })

  test('an id means nothing where no document is listed', async () => {
    const open = await openApi()
    const answer = await ask(targetOf(open), { body: JSON.stringify({ documentId: sha256(listed) }) })
    expect(codesOf(answer)).toEqual([400, 'BAD_REQUEST'])
    await open.close()
  })

  test.each<[string, unknown, RegExp]>([
    ['no JSON', 'pawl_secret: { "a"', /which is not JSON in UTF-8/],
    ['a list', [listed], /which holds no object/],
    ['no document', {}, /which holds no document/],
    ['no text', { a: 1 }, /whose document "a" cannot be used: it is no text/],
    ['a syntax error', { a: '{' }, /whose document "a" cannot be used: Syntax Error: Expected Name, found <EOF>/],
    [
      'a field that is not there',
      { a: listed, b: '{ nothing }' },
      /whose document "b" cannot be used: Cannot query field "nothing"/,
    ],
    ['too much', { a: `{ ${'__typename '.repeat(500)} }` }, /"a" cannot be used: The number of fields/],
    ['the hash of another', { [sha256(make)]: listed }, /its id is a SHA-256, and not that of the document/],
    ['a name of many lines', { 'a\nb\u001b[2J': '{' }, /whose document "a\\nb\\u001b\[2J" cannot/],
  ])('a file with %s stops the start with one line', (_, content, line) => {
    const read = () => readTrustedDocuments(write(content), schema, true)
    expect(read).toThrow(line)
    expect(read).toThrow(
      /^PAWL_TRUSTED_DOCUMENTS is ".*documents\.json", [^\n]*; allowed: a JSON file \{ "<id>": "<document>" \}$/,
    )
    expect(read).not.toThrow(/pawl_secret/)
  })

  test('so does a file that is not there, and introspection where that is off', () => {
    expect(() => readTrustedDocuments(join(folder, 'none.json'), schema, true)).toThrow(
      /none\.json", which cannot be read \(ENOENT\)/,
    )
    const path = write({ a: '{ __schema { queryType { name } } }' })
    expect(() => readTrustedDocuments(path, schema, false)).toThrow(/The schema is not told/)
    expect(readTrustedDocuments(path, schema, true)({ documentId: 'a' })).toHaveProperty('query')
  })
})
