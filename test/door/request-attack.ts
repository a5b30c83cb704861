// Attacks by how it is asked: from another site, in another form, by another method, with too many bytes, or no HTTP at all.
// Those that are slow are not here: they need a server with short times, or much patience.
import { gzipSync } from 'node:zlib'
import type { Attack } from './attack.ts'
import { type Asked, ask, say, type Target } from './client.ts'

/** Carried out, each of these would leave a deployment behind. */
const mutation = 'mutation { deploy(input: { name: "by-attack", image: "hello" }) { __typename } }'
const body = JSON.stringify({ query: mutation })
const byUrl = `/graphql?query=${encodeURIComponent('{ viewer { scopes } }')}`
const mutationByUrl = `/graphql?query=${encodeURIComponent(mutation)}`

const foreign = { status: 403, code: 'FOREIGN_ORIGIN' }
const unsupported = { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' }
const tooLarge = { status: 413, code: 'LIMIT_EXCEEDED' }
const badRequest = { status: 400, code: 'BAD_REQUEST' }

const attack = (name: string, answer: Attack['answer'], asked: (target: Target) => Asked): Attack => ({
  name,
  answer,
  send: (target) => ask(target, { body, ...asked(target) }),
})
const fromSite = (name: string, headers: (target: Target) => Record<string, string>): Attack[] => [
  attack(`${name}, by POST`, foreign, (target) => ({ headers: headers(target) })),
  attack(`${name}, by GET`, foreign, (target) => ({
    method: 'GET',
    path: byUrl,
    body: '',
    headers: { 'content-type': undefined, 'content-length': undefined, ...headers(target) },
  })),
]
const ofType = (type: string | undefined, content: string = body) =>
  attack(`a body of type ${type}`, unsupported, () => ({ body: content, headers: { 'content-type': type } }))

function* forever(): Generator<Buffer> {
  const chunk = Buffer.alloc(65_536, ' ')
  for (;;) yield chunk
}
function* pieces(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= 65_536) yield Buffer.alloc(Math.min(left, 65_536), 'x')
}

/** Made when it is first needed, once. */
let made: Buffer | undefined
const bomb = () => {
  made ??= gzipSync(Buffer.alloc(50_000_000))
  return made
}
const form = new URLSearchParams({ query: mutation }).toString()
const multipart = `--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n${body}\r\n--x--\r\n`
const hostOf = (target: Target) => new URL(target.url).host
const words = (name: string, answer: Attack['answer'], text: (target: Target) => string): Attack => ({
  name,
  answer,
  send: (target) => say(target, text(target)),
})
const head = (target: Target) =>
  `POST /graphql HTTP/1.1\r\nhost: ${hostOf(target)}\r\nauthorization: Bearer ${target.token}\r\ncontent-type: application/json\r\n`

export const requestAttacks: readonly Attack[] = [
  ...fromSite('a page of another site', () => ({ origin: 'https://evil.example' })),
  ...fromSite('a page of no origin', () => ({ origin: 'null' })),
  ...fromSite('a page of the same host on another port', ({ url }) => ({
    origin: `http://${new URL(url).hostname}:1`,
  })),
  ...fromSite('a page whose host begins like ours', (target) => ({ origin: `http://${hostOf(target)}.evil.example` })),
  ...fromSite('a page with our host as user', (target) => ({ origin: `http://${hostOf(target)}@evil.example` })),
  ...fromSite('a request that the browser calls cross-site', () => ({ 'sec-fetch-site': 'cross-site' })),
  ...fromSite('a request that the browser calls same-site', () => ({ 'sec-fetch-site': 'same-site' })),
  ...fromSite('our origin, and a browser that says otherwise', (target) => ({
    origin: `http://${hostOf(target)}`,
    'sec-fetch-site': 'cross-site',
  })),
  attack('a form of another site', foreign, () => ({
    body: form,
    headers: {
      origin: 'https://evil.example',
      'content-type': 'application/x-www-form-urlencoded',
      'sec-fetch-mode': 'navigate',
    },
  })),
  ofType(undefined),
  ofType(''),
  ofType('application/x-www-form-urlencoded', form),
  ofType('multipart/form-data; boundary=x', multipart),
  ofType('text/plain'),
  ofType('text/plain;charset=UTF-8; x="application/json"'),
  ofType('application/graphql', mutation),
  ofType('application/graphql+json'),
  ofType('application/json, text/plain'),
  ofType('application/json; charset=utf-16'),

  attack('a mutation by GET', { status: 405, code: 'BAD_REQUEST' }, () => ({
    method: 'GET',
    path: mutationByUrl,
    body: '',
  })),
  attack('a mutation by GET, named among queries', { status: 405, code: 'BAD_REQUEST' }, () => ({
    method: 'GET',
    path: `/graphql?operationName=B&query=${encodeURIComponent(`query A { viewer { scopes } } ${mutation.replace('mutation', 'mutation B')}`)}`,
    body: '',
  })),
  ...['OPTIONS', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'].map((method) =>
    attack(`the method ${method}`, { status: 405, code: 'METHOD_NOT_ALLOWED' }, () => ({
      method,
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    })),
  ),
  attack('an answer that could not be read', { status: 406, code: 'NOT_ACCEPTABLE' }, () => ({
    headers: { accept: 'text/plain' },
  })),

  attack('20 MB at once', tooLarge, () => ({ body: Buffer.alloc(20_000_000, 'x') })),
  attack('a text of 10 MB', tooLarge, () => ({
    body: `{"query":"{ __typename }","variables":{"v":"${'x'.repeat(10_000_000)}"}}`,
  })),
  attack('20 MB in chunks', tooLarge, () => ({ body: pieces(20_000_000) })),
  attack('chunks without an end', tooLarge, () => ({ body: forever() })),
  attack('a body that is longer than it said', badRequest, () => ({
    body: `${body}${body}`,
    headers: { 'content-length': String(body.length + 1) },
  })),
  attack('a bomb of 50 MB in gzip', unsupported, () => ({
    body: bomb(),
    headers: { 'content-encoding': 'gzip' },
  })),
  attack('gzip that is none', unsupported, () => ({ headers: { 'content-encoding': 'identity' } })),
  attack('an expectation of ours', { status: 417, code: 'BAD_REQUEST' }, () => ({ headers: { expect: 'obedience' } })),
  attack('20 MB, if they are wanted', tooLarge, () => ({
    body: '',
    headers: { 'content-length': '20000000', expect: '100-continue' },
  })),

  words(
    '500 headers',
    { status: 431, code: 'LIMIT_EXCEEDED' },
    (target) =>
      `${head(target)}${Array.from({ length: 500 }, (_, i) => `x-${i}: y\r\n`).join('')}content-length: 0\r\n\r\n`,
  ),
  words(
    'a header of 20 KB',
    { status: 431, code: 'LIMIT_EXCEEDED' },
    (target) => `${head(target)}x: ${'y'.repeat(20_000)}\r\n\r\n`,
  ),
  words(
    'headers without an end',
    { status: 431, code: 'LIMIT_EXCEEDED' },
    (target) => `${head(target)}${'x: y\r\n'.repeat(100_000)}`,
  ),
  words(
    'an address of 20 KB',
    { status: 431, code: 'LIMIT_EXCEEDED' },
    (target) => `GET /graphql?query=${'x'.repeat(20_000)} HTTP/1.1\r\nhost: ${hostOf(target)}\r\n\r\n`,
  ),
  words('no host', badRequest, () => 'GET /graphql HTTP/1.1\r\n\r\n'),
  words('a host that is none', badRequest, () => 'GET /graphql HTTP/1.1\r\nhost: [evil\r\n\r\n'),
  words('two lengths', badRequest, (target) => `${head(target)}content-length: 5\r\ncontent-length: 6\r\n\r\n`),
  words(
    'a length and chunks',
    badRequest,
    (target) => `${head(target)}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  ),
  words(
    'a chunk that lies',
    badRequest,
    (target) => `${head(target)}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
  ),
  words('a line break in a header', badRequest, (target) => `${head(target)}x-request-id: a\nb\u0000: c\r\n\r\n`),
  words('the words of another protocol', badRequest, () => '\u0016\u0003\u0001\u0002\u0000\u0001\u0000'),
]
