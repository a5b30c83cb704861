// A real OIDC issuer on loopback for tests: discovery and JWKS over HTTP, keys and tokens made by jose. It counts what it is
// asked, and can be stopped and started on its port, hang, rotate its keys, and serve other documents than it should.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type JWTPayload, SignJWT } from 'jose'

/** Keys of Node rather than of jose: one RSA key serves RS256 and PS256. */
const pairs = {
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed: generateKeyPairSync('ed25519'),
}
export type KeyKind = keyof typeof pairs
export const kindOf: Record<string, KeyKind> = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'ed' }

export const audience = 'pawl-test'
/** The clock that verifiers under test are given; a whole second, so that edges are exact. */
export const startOfTime = Date.UTC(2030, 0, 1)
export const seconds = (ms: number): number => Math.floor(ms / 1_000)

export interface TokenSpec {
  readonly alg?: string
  readonly kid?: string
  readonly typ?: string | null
  /** `undefined` leaves a claim out. */
  readonly claims?: JWTPayload
  readonly key?: KeyObject | Uint8Array
  /** Milliseconds since 1970 that the token is issued at; it lives an hour. */
  readonly at?: number
}

export interface TestIssuer {
  readonly url: string
  /** Requests since the start or since they were last set back. */
  readonly asked: { discovery: number; jwks: number; other: number }
  /** What discovery answers, over what is right. */
  discovery: Record<string, unknown>
  /** What JWKS answers instead of its keys, as it stands. */
  jwksBody: string | null
  /** Of every answer; 302 leads elsewhere. */
  status: number
  /** While true, requests are taken and never answered. */
  hangs: boolean
  /** Key ids served, and what they are keys of. */
  keys: Record<string, KeyKind>
  /** Resolves when a request has been taken that will not be answered. */
  hung(): Promise<void>
  /** A token that is good unless the spec spoils it. */
  token(spec?: TokenSpec): Promise<string>
  /** Ends all connections; the port answers no more until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
}

export const privateKey = (kind: KeyKind): KeyObject => pairs[kind].privateKey
export const publicPem = (kind: KeyKind): string =>
  String(pairs[kind].publicKey.export({ type: 'spki', format: 'pem' }))

/** Starts one; `stop` it with the test. */
export async function startIssuer(): Promise<TestIssuer> {
  let port = 0
  let onHang = () => {}
  const http = createServer(async (req, res) => {
    const what = req.url === '/.well-known/openid-configuration' ? 'discovery' : req.url === '/jwks' ? 'jwks' : 'other'
    issuer.asked[what]++
    if (issuer.hangs) return onHang()
    if (what === 'discovery')
      return answer(res, JSON.stringify({ issuer: url(), jwks_uri: `${url()}/jwks`, ...issuer.discovery }))
    answer(res, issuer.jwksBody ?? JSON.stringify({ keys: await publicKeys(issuer.keys) }))
  })
  const url = () => `http://127.0.0.1:${port}`
  const answer = (res: ServerResponse, body: string) =>
    // Connections are not kept, so that a stopped issuer is not met again on an old one.
    res
      .writeHead(issuer.status, {
        connection: 'close',
        'content-type': 'application/json',
        ...(issuer.status === 302 && { location: `${url()}/elsewhere` }),
      })
      .end(body)
  const issuer = {
    url: '',
    asked: { discovery: 0, jwks: 0, other: 0 },
    discovery: {},
    jwksBody: null as string | null,
    status: 200,
    hangs: false,
    keys: { 'rsa-1': 'rsa', 'ec-1': 'ec', 'ed-1': 'ed' } as Record<string, KeyKind>,
    hung: () =>
      new Promise<void>((resolve) => {
        onHang = resolve
      }),
    token: ({ alg = 'ES256', at = startOfTime, ...spec }: TokenSpec = {}) => {
      const kind = kindOf[alg] ?? 'ec'
      const claims = {
        iss: url(),
        aud: audience,
        sub: 'ann',
        iat: seconds(at),
        exp: seconds(at) + 3_600,
        ...spec.claims,
      }
      const typ = spec.typ === undefined ? 'JWT' : spec.typ
      return new SignJWT(claims)
        .setProtectedHeader({ alg, kid: spec.kid ?? `${kind}-1`, ...(typ === null ? {} : { typ }) })
        .sign(spec.key ?? privateKey(kind))
    },
    stop: () =>
      new Promise<void>((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      }),
    start: () => new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve)),
  }
  await issuer.start()
  port = (http.address() as AddressInfo).port
  issuer.url = url()
  return issuer
}

const publicKeys = (keys: Record<string, KeyKind>) =>
  Promise.all(Object.entries(keys).map(async ([kid, kind]) => ({ kid, ...(await exportJWK(pairs[kind].publicKey)) })))
