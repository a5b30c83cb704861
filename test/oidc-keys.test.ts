// The keys of the issuer: no storm by unknown ones, rotation, and an issuer that is down, hangs or tells what is not so.
// Clock and limits are given; a dead or hanging issuer is a real one on loopback.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createOidcVerifier, OidcUnavailable, type OidcVerifier, type OidcVerifierOptions } from '../src/oidc.ts'
import { oidcKeyLimits } from '../src/oidc-keys.ts'
import { audience, startIssuer, startOfTime, type TestIssuer, type TokenSpec } from './oidc-issuer.ts'

const { cooldownMs, cacheMs, staleMs } = oidcKeyLimits
let issuer: TestIssuer
let now: number
let faults: string[]

beforeEach(async () => {
  issuer = await startIssuer()
  now = startOfTime
  faults = []
})
afterEach(() => issuer.stop())

const create = (limits: OidcVerifierOptions['limits'] = {}): OidcVerifier =>
  createOidcVerifier({
    issuer: issuer.url,
    audience,
    limits,
    now: () => now,
    onFault: ({ message }) => faults.push(message),
  })
const good = (verifier: OidcVerifier, spec: TokenSpec = {}) =>
  issuer.token({ at: now, ...spec }).then((token) => verifier.verify(token))
const ann = { subject: 'ann' }
const down = (verifier: OidcVerifier, spec?: TokenSpec) =>
  good(verifier, spec).then(
    (found) => expect.unreachable(`answered ${JSON.stringify(found)}`),
    (error) => error as OidcUnavailable,
  )

test('the figures are those that were promised', () => {
  expect(oidcKeyLimits).toMatchObject({ cooldownMs: 30_000, cacheMs: 600_000, timeoutMs: 5_000, staleMs: 86_400_000 })
})

test('nothing is asked before the first token, then both documents once, however many come at once', async () => {
  const verifier = create()
  expect(issuer.asked).toEqual({ discovery: 0, jwks: 0, other: 0 })
  const found = await Promise.all(Array.from({ length: 50 }, () => good(verifier)))
  expect(found.every((one) => one?.subject === 'ann')).toBe(true)
  expect(issuer.asked).toEqual({ discovery: 1, jwks: 1, other: 0 })
})

test('200 tokens of unknown keys at once make one more request, and for 30 s no other', async () => {
  const verifier = create()
  await verifier.warm()
  const storm = async (round: number) => {
    const kids = Array.from({ length: 200 }, (_, i) => `unknown-${round}-${i}`)
    const tokens = await Promise.all(kids.map((kid) => issuer.token({ kid, at: now })))
    const found = await Promise.all(tokens.map((token) => verifier.verify(token)))
    expect(found.every((one) => one === null)).toBe(true)
  }
  await storm(1)
  expect(issuer.asked).toEqual({ discovery: 1, jwks: 1, other: 0 })
  now += cooldownMs
  await storm(2)
  expect(issuer.asked).toEqual({ discovery: 1, jwks: 2, other: 0 })
  now += cooldownMs - 1
  await storm(3)
  expect(issuer.asked.jwks).toBe(2)
  expect(faults).toEqual([])
})

test('a new key is picked up, and a withdrawn one ends with the cache', async () => {
  const verifier = create()
  expect(await good(verifier)).toMatchObject(ann)
  issuer.keys = { 'ec-2': 'ec' }
  now += cooldownMs
  expect(await good(verifier)).toMatchObject(ann)
  expect(await good(verifier, { kid: 'ec-2' })).toMatchObject(ann)
  expect(await good(verifier)).toBeNull()
  issuer.keys = {}
  now += cacheMs - 1
  expect(await good(verifier, { kid: 'ec-2' })).toMatchObject(ann)
  now += 1
  expect(await good(verifier, { kid: 'ec-2' })).toBeNull()
})

test('keys are believed for 10 min, then both documents are asked for again: the address may have moved', async () => {
  const verifier = create()
  await good(verifier)
  now += cacheMs
  issuer.discovery = { jwks_uri: `${issuer.url}/moved` }
  await Promise.all(Array.from({ length: 20 }, () => good(verifier)))
  expect(issuer.asked).toEqual({ discovery: 2, jwks: 1, other: 1 })
})

test('an address of keys that fails is asked for again, without waiting for the cache to end', async () => {
  const verifier = create()
  await verifier.warm()
  issuer.status = 404
  now += cooldownMs
  expect(await down(verifier, { kid: 'ec-2' })).toBeInstanceOf(OidcUnavailable)
  Object.assign(issuer, { status: 200, discovery: { jwks_uri: `${issuer.url}/moved` }, keys: { 'ec-2': 'ec' } })
  now += cooldownMs
  expect(await good(verifier, { kid: 'ec-2' })).toMatchObject(ann)
  expect(issuer.asked).toEqual({ discovery: 2, jwks: 2, other: 1 })
})

test('a clock that is set back makes nothing last longer', async () => {
  const verifier = create()
  await good(verifier)
  now -= cacheMs
  expect(await good(verifier)).toMatchObject(ann)
  expect(issuer.asked.jwks).toBe(2)
})

describe('an issuer that is down', () => {
  test('at the start stops no start: unavailable, asked once per cooldown, then all is well', async () => {
    await issuer.stop()
    const verifier = create()
    expect(await verifier.warm()).toBe(false)
    const all = await Promise.all(Array.from({ length: 50 }, () => down(verifier)))
    expect(all.every((error) => error instanceof OidcUnavailable)).toBe(true)
    expect(all[0]).toMatchObject({ name: 'OidcUnavailable', retryAfterMs: cooldownMs })
    expect(faults).toEqual(['The keys of the OIDC issuer cannot be fetched: ECONNREFUSED'])
    await issuer.start()
    now += 20_000
    expect(await down(verifier)).toMatchObject({ retryAfterMs: 10_000 })
    now += 10_000
    expect(await good(verifier)).toMatchObject(ann)
  })

  test('a token that comes while the keys are fetched by hand waits for them, cooldown or not', async () => {
    await issuer.stop()
    const verifier = create()
    expect(await verifier.warm()).toBe(false)
    await issuer.start()
    const token = await issuer.token()
    const [warmed, found] = await Promise.all([verifier.warm(), verifier.verify(token)])
    expect([warmed, found]).toMatchObject([true, ann])
  })

  test('what is no token of ours is null all the same', async () => {
    await issuer.stop()
    const verifier = create()
    for (const claims of [{ iss: 'https://idp.example' }, { iss: undefined }])
      expect(await good(verifier, { claims })).toBeNull()
    expect(await verifier.verify('a.b.c')).toBeNull()
    expect(await good(verifier, { typ: 'logout+jwt' })).toBeNull()
    expect(await good(verifier, { key: new Uint8Array(32), alg: 'HS256' })).toBeNull()
    expect(faults).toEqual([])
  })

  test('does not stop known keys, for a day; unknown ones are unavailable', async () => {
    const verifier = create()
    await verifier.warm()
    await issuer.stop()
    for (const at of [cooldownMs, cacheMs, 5 * cacheMs, staleMs - 1]) {
      now = startOfTime + at
      expect(await good(verifier)).toMatchObject(ann)
      expect(await good(verifier, { claims: { aud: 'another' } })).toBeNull()
      expect(await down(verifier, { kid: 'new' })).toBeInstanceOf(OidcUnavailable)
    }
    expect(faults).toHaveLength(4)
    now = startOfTime + staleMs
    expect(await down(verifier)).toBeInstanceOf(OidcUnavailable)
    await issuer.start()
    now += cooldownMs
    expect(await good(verifier)).toMatchObject(ann)
    expect(await good(verifier, { kid: 'new' })).toBeNull()
  })

  test('200 tokens of unknown keys at once make one attempt', async () => {
    const verifier = create()
    await verifier.warm()
    issuer.status = 503
    now += cooldownMs
    const kids = Array.from({ length: 200 }, (_, i) => `unknown-${i}`)
    const all = await Promise.all(kids.map((kid) => down(verifier, { kid })))
    expect(all.every((error) => error instanceof OidcUnavailable)).toBe(true)
    expect(issuer.asked).toEqual({ discovery: 1, jwks: 2, other: 0 })
    expect(faults).toEqual(['The keys of the OIDC issuer cannot be fetched: it answered 503'])
  })
})

describe('an issuer that hangs', () => {
  test('is given up after the time limit; known keys work then, and unknown ones are unavailable', async () => {
    const verifier = create({ timeoutMs: 500 })
    await verifier.warm()
    issuer.hangs = true
    now += cacheMs
    expect(await good(verifier)).toMatchObject(ann)
    expect(faults).toEqual(['The keys of the OIDC issuer cannot be fetched: it did not answer in time'])
    expect(await down(verifier, { kid: 'new' })).toBeInstanceOf(OidcUnavailable)
    expect(await down(create({ timeoutMs: 500 }))).toBeInstanceOf(OidcUnavailable)
  })

  test('keeps nobody waiting who brings a known key, once it was found down; after a quiet time it is waited for', async () => {
    const verifier = create()
    await verifier.warm()
    issuer.status = 500
    now += cacheMs
    expect(await good(verifier)).toMatchObject(ann)
    issuer.hangs = true
    now += cooldownMs
    const hung = issuer.hung()
    expect(await good(verifier)).toMatchObject(ann)
    await hung
    expect(await good(verifier)).toMatchObject(ann)
    // The fetch under way ends with its connection, and counts as failed.
    await issuer.stop()
    expect(await verifier.warm()).toBe(false)
    expect(faults).toHaveLength(2)
    Object.assign(issuer, { hangs: false, status: 200, keys: {} })
    await issuer.start()
    now += cacheMs
    expect(await good(verifier)).toBeNull()
  })
})

describe('an issuer that tells what is not so has no keys', () => {
  test.each<[string, Partial<TestIssuer>, RegExp]>([
    ['another issuer', { discovery: { issuer: 'https://idp.example' } }, /names another issuer/],
    ['no issuer', { discovery: { issuer: undefined } }, /names another issuer/],
    ['keys over plain http', { discovery: { jwks_uri: 'http://keys.example/jwks' } }, /jwks_uri is not/],
    ['keys in a file', { discovery: { jwks_uri: 'file:///etc/hosts' } }, /jwks_uri is not/],
    ['no address of keys', { discovery: { jwks_uri: undefined } }, /jwks_uri is not/],
    ['a redirect', { status: 302 }, /it answered 302/],
    ['no JSON', { jwksBody: '<html>' }, /JSON/],
    ['no key set', { jwksBody: '{"keys":{}}' }, /malformed/],
    ['null', { jwksBody: 'null' }, /malformed/],
    ['more than may be read', { jwksBody: `{"keys":[],"x":"${'x'.repeat(300_000)}"}` }, /more than 262144 bytes/],
  ])('%s', async (_what, change, reason) => {
    const verifier = create()
    await verifier.warm()
    Object.assign(issuer, change)
    // None at all: unavailable. Some from before: they go on.
    const fresh = create()
    expect(await down(fresh)).toBeInstanceOf(OidcUnavailable)
    expect(faults).toEqual([expect.stringMatching(reason)])
    now += cacheMs
    expect(await good(verifier)).toMatchObject(ann)
    expect(await down(verifier, { kid: 'new' })).toBeInstanceOf(OidcUnavailable)
  })

  test.each([
    ['a secret', { kty: 'oct', k: 'c2VjcmV0', kid: 'ec-1' }],
    ['a broken one', { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'ec-1' }],
    ['one for encryption', { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'ec-1', use: 'enc' }],
  ])('a key that is %s verifies nothing', async (_what, key) => {
    issuer.jwksBody = JSON.stringify({ keys: [key] })
    expect(await good(create())).toBeNull()
  })
})
