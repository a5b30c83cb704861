// Attacks by what is asked: documents and variables that are too much, never end, or are not what they say they are.
import type { Attack } from './attack.ts'
import { ask, post } from './client.ts'

const times = (count: number, part: (i: number) => string) => Array.from({ length: count }, (_, i) => part(i)).join(' ')
const limit = { status: 400, code: 'LIMIT_EXCEEDED' }
const badInput = { status: 400, code: 'BAD_USER_INPUT' }
const badRequest = { status: 400, code: 'BAD_REQUEST' }

/** A document that is refused with a code; under `application/json` the specification has 200 for what is merely invalid. */
const document = (
  name: string,
  answer: { status: number; code: string },
  query: string,
  variables?: unknown,
): Attack => ({
  name,
  answer,
  send: (target) => post(target, query, variables, { headers: { accept: 'application/json' } }),
})
const body = (name: string, answer: { status: number; code: string }, text: string | Buffer): Attack => ({
  name,
  answer,
  send: (target) => ask(target, { body: text }),
})

const size = 1_000_000_000
const listed = 'query ($n: Int) { deployments(first: $n) { totalCount } }'
const deepTypes = 'types { fields { type { fields { name } } } }'

export const documentAttacks: readonly Attack[] = [
  document('100 aliases of one field', limit, `{ ${times(100, (i) => `a${i}: viewer { scopes }`)} }`),
  document('101 aliases of __typename', limit, `query { ${times(101, (i) => `a${i}: __typename`)} }`),
  document(
    'aliases spread by fragments',
    limit,
    `{ ...f ...f ...f } fragment f on Query { ${times(30, (i) => `a${i}: __typename`)} }`,
  ),
  document(
    '100 aliases of a mutation',
    limit,
    `mutation { ${times(100, (i) => `a${i}: deploy(input: { name: "x", image: "hello" }) { __typename }`)} }`,
  ),
  document('500 duplicated fields', limit, `{ ${times(500, () => '__typename')} }`),
  document('200 duplicated fields with fields', limit, `{ ${times(250, () => 'viewer { scopes }')} }`),
  document('60 repeated unknown directives', limit, `{ viewer { scopes ${times(60, () => '@aa')} } }`),
  document('60 repeated known directives', limit, `{ viewer { scopes ${times(60, () => '@include(if: true)')} } }`),
  document('1,000 directives', limit, `{ viewer { scopes ${times(1_000, () => '@aa')} } }`),

  document('a document of 20,000 tokens', limit, `{ ${times(20_000, () => 'a')} }`),
  document('depth 5,000', limit, `${'{ a '.repeat(5_000)}${'}'.repeat(5_000)}`),
  document('depth 5,000, never closed', limit, '{ a '.repeat(5_000)),
  document(
    'depth 20',
    limit,
    `{ node(id: "x") { ... on Operation { ${'retryOf { '.repeat(20)} id ${'} '.repeat(20)} } } }`,
  ),
  document('a list of depth 1,900, never closed', limit, `{ deployments(first: ${'['.repeat(1_900)}`),
  document('a type of depth 900', limit, `query ($v: ${'['.repeat(900)}Int${']'.repeat(900)}) { viewer { scopes } }`),
  document(
    'a list of depth 5,000',
    limit,
    `{ deployments(first: ${'['.repeat(5_000)}${']'.repeat(5_000)}) { totalCount } }`,
  ),
  document(
    'a fragment bomb of 2^20 fields',
    limit,
    `{ ...f20 } ${times(20, (i) => `fragment f${i + 1} on Query { ...f${i} ...f${i} }`)} fragment f0 on Query { viewer { scopes } }`,
  ),
  document(
    'a fragment that spreads itself',
    { status: 400, code: 'GRAPHQL_VALIDATION_FAILED' },
    '{ ...a } fragment a on Query { ...a }',
  ),
  document(
    'fragments that spread each other',
    { status: 400, code: 'GRAPHQL_VALIDATION_FAILED' },
    '{ viewer { scopes } } fragment a on Query { viewer { ...b } } fragment b on Viewer { team { ...c } } fragment c on Team { ...b }',
  ),
  document(
    'circular introspection',
    limit,
    `{ __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } } }`,
  ),
  document(
    'introspection 20 times at once',
    limit,
    `{ ${times(20, (i) => `a${i}: __schema { ${deepTypes} b: ${deepTypes} }`)} }`,
  ),
  document(
    'a cost of 20,001 and more',
    limit,
    '{ deployments(first: 100) { nodes { operations(first: 100) { nodes { id kind } } } } }',
  ),
  document(
    'a cost that only the variables show',
    limit,
    'query ($n: Int) { deployments(first: $n) { nodes { operations(first: $n) { nodes { id kind } } } } }',
    { n: 100 },
  ),
  document('a thousand nodes by id', badInput, 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', {
    ids: Array.from({ length: 1_000 }, (_, i) => `dep_${i}`),
  }),

  document('a page of 10^9 as literal', badInput, `{ deployments(first: ${size}) { totalCount } }`),
  document('a page of 10^9 as variable', badInput, listed, { n: size }),
  document(
    'a page of 10^9 as default',
    badInput,
    `query ($n: Int = ${size}) { deployments(first: $n) { totalCount } }`,
  ),
  document(
    'a page of 10^9 far inside',
    badInput,
    `{ deployments(first: 1) { nodes { operations(last: ${size}) { totalCount } } } }`,
  ),
  document(
    'a page of 10^9 under @skip',
    badInput,
    `{ deployments(first: ${size}) @skip(if: true) { totalCount } viewer { scopes } }`,
  ),
  document('a negative page', badInput, listed, { n: -1 }),
  document('a page of no rows', badInput, listed, { n: 0 }),
  document('a page of 10^30 rows', badInput, listed, { n: 1e30 }),
  document('a page that is half a row', badInput, listed, { n: 0.5 }),
  document('a page that is a text', badInput, listed, { n: '5' }),
  body(
    'a page of more digits than a number has',
    badInput,
    `{"query":"${listed}","variables":{"n":${'9'.repeat(100_000)}}}`,
  ),

  body(
    'a batch of two',
    badRequest,
    JSON.stringify([{ query: '{ viewer { scopes } }' }, { query: '{ viewer { scopes } }' }]),
  ),
  body('a batch of none', badRequest, '[]'),
  body('a batch of 9,000', badRequest, `[${times(8_999, () => '{"query":"{__typename}"},')}{"query":"{__typename}"}]`),
  body(
    'JSON 100,000 deep',
    limit,
    `{"query":"{ __typename }","variables":{"v":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`,
  ),
  body(
    'JSON objects 30,000 deep',
    limit,
    `{"query":"{ __typename }","variables":${'{"v":'.repeat(30_000)}1${'}'.repeat(30_000)}}`,
  ),
  body('a key __proto__', badRequest, '{"query":"{ __typename }","variables":{"v":{"__proto__":{"isAdmin":true}}}}'),
  body('a request that is __proto__', badRequest, '{"__proto__":{"query":"{ __typename }"}}'),
  body('bad JSON', badRequest, '{"query":"{ __typename }"'),
  body('JSON after JSON', badRequest, '{"query":"{ __typename }"}{"query":"{ __typename }"}'),
  body('no body', badRequest, ''),
  body(
    'invalid UTF-8',
    badRequest,
    Buffer.concat([Buffer.from('{"query":"{ __typename } #'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')]),
  ),
  body('UTF-16', badRequest, Buffer.from('{"query":"{ __typename }"}', 'utf16le')),
  body('a null byte in the JSON', badRequest, '{"query":"{ __typename }\u0000"}'),
  document('a null byte in the document', { status: 200, code: 'GRAPHQL_PARSE_FAILED' }, '{ viewer\u0000 { scopes } }'),
  document(
    'half a surrogate in the document',
    { status: 200, code: 'GRAPHQL_PARSE_FAILED' },
    '{ viewer\ud800 { scopes } }',
  ),
  document(
    'control characters in a name',
    { status: 200, code: 'GRAPHQL_PARSE_FAILED' },
    '{ view\u001b[31mer\r\n\u0085 { scopes } }',
  ),
  body('a query that is a number', badRequest, '{"query":1}'),
  body('variables that are a list', badRequest, '{"query":"{ __typename }","variables":[1]}'),
  document(
    'an object for a text',
    badInput,
    'query ($f: DeploymentFilter) { deployments(filter: $f) { totalCount } }',
    { f: { name: { a: 1 } } },
  ),
  document('80,000 wrong values', limit, 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', {
    ids: Array(80_000).fill({}),
  }),
  document('2,000 wrong values', badInput, 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', {
    ids: Array(2_000).fill({}),
  }),
  document(
    'a filter of 25,000 values, 50 times',
    limit,
    `query ($s: [DeploymentState!]) { ${times(50, (i) => `a${i}: deployments(first: 1, filter: { states: $s }) { totalCount }`)} }`,
    { s: Array(25_000).fill('FAILED') },
  ),
  document(
    'an unknown input field',
    badInput,
    'query ($f: DeploymentFilter) { deployments(filter: $f) { totalCount } }',
    { f: { constructor: 1 } },
  ),
]
