// Which JWTs are good: every rule met, and each rule broken by itself. A real issuer on loopback, a clock that is given.
import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOidcVerifier, type OidcVerifier, oidcTokenLimits } from '../src/oidc.ts'
import { discoveryAddress, isKeyAddress, issuerFault } from '../src/oidc-address.ts'
import {
  audience,
  kindOf,
  publicPem,
  seconds,
  startIssuer,
  startOfTime,
  type TestIssuer,
  type TokenSpec,
} from './oidc-issuer.ts'

const now = seconds(startOfTime)
const { maxAgeSeconds, clockToleranceSeconds, maxTokenLength } = oidcTokenLimits
let issuer: TestIssuer
let verifier: OidcVerifier

beforeAll(async () => {
  issuer = await startIssuer()
  verifier = createOidcVerifier({ issuer: issuer.url, audience, now: () => startOfTime })
  expect(await verifier.warm()).toBe(true)
})
afterAll(() => issuer.stop())

const verified = async (spec: TokenSpec = {}) => verifier.verify(await issuer.token(spec))
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const goodClaims = () => ({ iss: issuer.url, aud: audience, sub: 'ann', iat: now, exp: now + 60 })

describe('a good token', () => {
  test.each(Object.keys(kindOf))('signed by %s', async (alg) => {
    expect(await verified({ alg })).toEqual({
      issuer: issuer.url,
      subject: 'ann',
      email: null,
      name: null,
      expiresAt: expect.any(Date),
    })
  })

  test.each(['JWT', 'jwt', 'at+jwt', 'application/at+jwt'])('of the typ %s', async (typ) => {
    expect(await verified({ typ })).not.toBeNull()
  })

  test.each<[string, TokenSpec['claims']]>([
    ['an audience among others', { aud: ['another', audience] }],
    ['exp at the end of the tolerance', { exp: now - clockToleranceSeconds + 1 }],
    ['nbf at the end of the tolerance', { nbf: now + clockToleranceSeconds }],
    ['iat at the end of the tolerance', { iat: now + clockToleranceSeconds }],
    ['the greatest age', { iat: now - maxAgeSeconds - clockToleranceSeconds }],
    ['the longest sub', { sub: 'x'.repeat(255) }],
  ])('with %s', async (_what, claims) => {
    expect(await verified({ claims })).not.toBeNull()
  })

  test.each<[string, TokenSpec['claims'], { email?: string | null; name?: string | null }]>([
    ['verified', { email: 'a@b.c', email_verified: true, name: 'Ann \u00c5' }, { email: 'a@b.c', name: 'Ann \u00c5' }],
    ['verified in words', { email: 'a@b.c', email_verified: 'true' }, { email: 'a@b.c' }],
    ['not verified', { email: 'a@b.c', email_verified: false, name: 'Ann' }, { email: null, name: 'Ann' }],
    ['of which nothing is said', { email: 'a@b.c' }, { email: null }],
    [
      'that is no text',
      { email: ['a@b.c'], email_verified: true, name: { first: 'Ann' } },
      { email: null, name: null },
    ],
    ['too long', { email: 'x'.repeat(255), email_verified: true, name: 'x'.repeat(201) }, { email: null, name: null }],
    ['with NUL', { email: 'a\0@b.c', email_verified: true, name: 'a\0' }, { email: null, name: null }],
    ['empty', { email: '', email_verified: true, name: '' }, { email: null, name: null }],
  ])('email and name: %s', async (_what, claims, identity) => {
    expect(await verified({ claims })).toMatchObject(identity)
  })

  test('a lone surrogate in a name is not handed on', async () => {
    // In JSON it is an escape, which passes as UTF-8.
    expect(await verified({ claims: { name: '\ud800' } })).toMatchObject({ subject: 'ann', name: null })
  })
})

describe('everything else is null, and costs no request', () => {
  const untouched = async (work: () => Promise<unknown>) => {
    const before = { ...issuer.asked }
    expect(await work()).toBeNull()
    expect(issuer.asked).toEqual(before)
  }

  test.each<[string, TokenSpec['claims']]>([
    ['another issuer', { iss: 'https://idp.example' }],
    ['an issuer with a slash more', { iss: 'http://127.0.0.1/' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'pawl' }],
    ['an audience in capitals', { aud: audience.toUpperCase() }],
    ['other audiences', { aud: ['one', 'two', `${audience}/`] }],
    ['audiences without any', { aud: [] }],
    ['no audience', { aud: undefined }],
    ['exp in the past', { exp: now - clockToleranceSeconds }],
    ['no exp', { exp: undefined }],
    ['exp as text', { exp: '9999999999' as unknown as number }],
    ['nbf in the future', { nbf: now + clockToleranceSeconds + 1 }],
    ['iat in the future', { iat: now + clockToleranceSeconds + 1 }],
    ['too great an age', { iat: now - maxAgeSeconds - clockToleranceSeconds - 1 }],
    ['no iat', { iat: undefined }],
    ['no sub', { sub: undefined }],
    ['an empty sub', { sub: '' }],
    ['sub as a number', { sub: 7 as unknown as string }],
    ['too long a sub', { sub: 'x'.repeat(256) }],
    ['NUL in sub', { sub: 'ann\0' }],
  ])('%s', async (_what, claims) => {
    await untouched(() => verified({ claims }))
  })

  test.each([null, 'logout+jwt', 'JOSE', 'dpop+jwt'])('typ %s', async (typ) => {
    await untouched(() => verified({ typ }))
  })

  test('alg none, with and without a signature', async () => {
    for (const signature of ['', part('x')]) {
      for (const alg of ['none', 'None', ''])
        await untouched(() => verifier.verify(`${part({ alg, typ: 'JWT' })}.${part(goodClaims())}.${signature}`))
    }
  })

  test('HMAC with the public key as the secret', async () => {
    for (const kid of ['rsa-1', 'ec-1', undefined]) {
      for (const secret of [publicPem('rsa'), publicPem('rsa').trim(), publicPem('ec')]) {
        const signed = `${part({ alg: 'HS256', typ: 'JWT', kid })}.${part(goodClaims())}`
        const mac = createHmac('sha256', secret).update(signed).digest('base64url')
        await untouched(() => verifier.verify(`${signed}.${mac}`))
      }
    }
  })

  test('a changed payload, a changed header, a signature of another token', async () => {
    const [header, payload, signature] = (await issuer.token()).split('.')
    const [, otherPayload, otherSignature] = (await issuer.token({ claims: { sub: 'bob' } })).split('.')
    await untouched(() => verifier.verify(`${header}.${otherPayload}.${signature}`))
    await untouched(() => verifier.verify(`${header}.${payload}.${otherSignature}`))
    const otherHeader = part({ alg: 'ES256', kid: 'ec-1', typ: 'jwt' })
    await untouched(() => verifier.verify(`${otherHeader}.${payload}.${signature}`))
  })

  test('a critical header that nobody here knows', async () => {
    const header = part({ alg: 'ES256', kid: 'ec-1', typ: 'JWT', crit: ['x'], x: 1 })
    await untouched(() => verifier.verify(`${header}.${part(goodClaims())}.${part('x')}`))
  })

  test('a key of another kind under the kid', async () => {
    const token = await issuer.token({ alg: 'ES256' })
    const [, payload, signature] = token.split('.')
    const header = part({ alg: 'RS256', kid: 'rsa-1', typ: 'JWT' })
    await untouched(() => verifier.verify(`${header}.${payload}.${signature}`))
  })

  test('a token that is too long, though its signature is good', async () => {
    const length = (await issuer.token({ claims: { pad: '' } })).length
    const fits = await issuer.token({
      claims: { pad: 'x'.repeat(Math.floor(((maxTokenLength - length) * 3) / 4) - 2) },
    })
    expect(fits.length).toBeLessThanOrEqual(maxTokenLength)
    expect(await verifier.verify(fits)).not.toBeNull()
    await untouched(() => verified({ claims: { pad: 'x'.repeat(maxTokenLength) } }))
  })

  test.each([
    '',
    '.',
    '..',
    'a.b.c',
    'a.b',
    'a.b.c.d',
    'pawl_abcdefghijkl_abcdefghijklmnopqrstuvwxyz0123456789',
    `${part(null)}.${part(null)}.${part(null)}`,
    `${part([])}.${part([])}.x`,
    `${part({})}.${part({})}.x`,
    `${part({ alg: 'ES256', kid: {}, typ: 'JWT' })}.${part({ iss: null })}.x`,
    `${part({ alg: ['ES256'], typ: 'JWT' })}.${part({ iss: 'x' })}.x`,
    '\0'.repeat(100),
    'eyJ\u{1f600}.eyJ.x',
    `${'.'.repeat(5_000)}`,
    `a.b.c\n`,
  ])('garbage %j', async (text) => {
    await untouched(() => verifier.verify(text))
  })

  test('a good token with something around it', async () => {
    const token = await issuer.token()
    for (const text of [` ${token}`, `${token}\n`, `${token}=`, `Bearer ${token}`, `${token}.`])
      await untouched(() => verifier.verify(text))
  })
})

describe('addresses', () => {
  test.each([
    'https://idp.example',
    'https://idp.example/',
    'https://idp.example:8443/realms/one',
    'http://localhost:8080',
    'http://127.0.0.1:9/x',
    'http://127.9.9.9',
    'http://[::1]:80',
  ])('an issuer may be %s', (text) => {
    expect(issuerFault(text)).toBeNull()
  })

  test.each([
    ['idp.example', /no URL/],
    ['https://idp.example/ x', /no URL/],
    ['http://idp.example', /another machine/],
    ['http://localhost.example', /another machine/],
    ['http://127.0.0.1.example', /another machine/],
    ['http://10.0.0.1', /another machine/],
    ['ftp://idp.example', /another scheme/],
    ['https://u:p@idp.example', /user or password/],
    ['https://idp.example?x=1', /query or fragment/],
    ['https://idp.example/#', /query or fragment/],
    [`https://${'x'.repeat(2_050)}`, /2058 characters/],
  ])('and not %s', (text, fault) => {
    expect(issuerFault(text)).toMatch(fault)
  })

  test('keys come over https, or over loopback to an issuer on loopback', () => {
    expect(isKeyAddress('https://idp.example', 'https://keys.example/jwks')).toBe(true)
    expect(isKeyAddress('http://127.0.0.1:1', 'https://keys.example/jwks')).toBe(true)
    expect(isKeyAddress('http://127.0.0.1:1', 'http://localhost:2/jwks')).toBe(true)
    expect(isKeyAddress('https://idp.example', 'http://127.0.0.1:2/jwks')).toBe(false)
    expect(isKeyAddress('https://idp.example', 'http://idp.example/jwks')).toBe(false)
    expect(isKeyAddress('https://idp.example', 'https://u:p@idp.example/jwks')).toBe(false)
    for (const bad of ['file:///etc/passwd', 'data:application/json,{}', '/jwks', '', null, undefined, 7])
      expect(isKeyAddress('http://127.0.0.1:1', bad)).toBe(false)
  })

  test('discovery is below the issuer, with one slash between', () => {
    expect(discoveryAddress('https://a.b')).toBe('https://a.b/.well-known/openid-configuration')
    expect(discoveryAddress('https://a.b/c/')).toBe('https://a.b/c/.well-known/openid-configuration')
  })
})
