// JWTs of one OIDC issuer: who a token speaks of, or that it is not good. Every rule is stated here and none is left to a
// default of the library. Who may do what is not decided here; an identity is only a name that the issuer vouches for.
import { decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import { createOidcKeys, type OidcKeyLimits, OidcUnavailable, oidcKeyLimits } from './oidc-keys.ts'

export { OidcUnavailable }

export const oidcTokenLimits = {
  /** Characters; the door takes 16 KB of headers. */
  maxTokenLength: 12_288,
  /** Since `iat`, however late `exp` is. */
  maxAgeSeconds: 86_400,
  /** By which the issuer's clock may differ from ours, for exp, nbf, iat and age. */
  clockToleranceSeconds: 30,
} as const

/** Asymmetric alone. With HMAC in the list, whoever knows the public key could sign; `none` is no algorithm to jose. */
const algorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]
/** ID tokens and access tokens (RFC 9068), in the short form of RFC 7515. Not what is signed for other ends (logout+jwt). */
const types = ['jwt', 'at+jwt']
const shape = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** Who a good token speaks of. `issuer` and `subject` together name one person for ever; the rest may change. */
export interface OidcIdentity {
  readonly issuer: string
  /** 1 to 255 characters of printable ASCII (OpenID Connect Core 1.0, section 2), letter by letter. */
  readonly subject: string
  /** Null unless the issuer says that it has verified it (`email_verified`): else anybody could take another's. */
  readonly email: string | null
  /** For display alone; up to 200 characters. */
  readonly name: string | null
  /** `exp` of the token. */
  readonly expiresAt: Date
}

export interface OidcVerifier {
  /**
   * Who the token speaks of; null, and no more, for everything that is not a good token, text of any kind included. Throws
   * `OidcUnavailable { retryAfterMs }` alone, when its key is not known and the issuer cannot be had: answer 503, not 401.
   *
   * Good is: at most `maxTokenLength` characters; `alg` of the list above; `typ` JWT or at+jwt; signed by a key of the
   * issuer (one that `kid` names, when it has several); `iss` ours and `aud` ours or holding ours, letter by letter; `sub`,
   * `exp` and `iat` there; not expired, not before `nbf`, not issued in the future, not older than `maxAgeSeconds`.
   *
   * A dead issuer does not stop known keys: they work for 24 h from their last fetch (`oidcKeyLimits.staleMs`), so for as
   * long a key that was withdrawn meanwhile works too. While the issuer answers, that is 10 min (`cacheMs`).
   */
  verify(jwt: string): Promise<OidcIdentity | null>
  /** Fetches the keys ahead of the first token; false when they cannot be had, which stops nothing. Never throws. */
  warm(): Promise<boolean>
}

export interface OidcVerifierOptions {
  /** As `iss` says it, letter by letter; an address without fault by `issuerFault`. */
  readonly issuer: string
  readonly audience: string
  /** Told of every fetch of keys that failed, at most one per cooldown: for the log. Must not throw. */
  readonly onFault?: (fault: Error) => void
  /** Milliseconds since 1970. Default: Date.now. */
  readonly now?: () => number
  readonly limits?: Partial<OidcKeyLimits>
}

/** Makes the verifier of one issuer. Asks the issuer nothing before the first token, so one that is down stops no start. */
export function createOidcVerifier({
  issuer,
  audience,
  onFault = () => {},
  now = Date.now,
  limits,
}: OidcVerifierOptions): OidcVerifier {
  const keys = createOidcKeys({ issuer, limits: { ...oidcKeyLimits, ...limits }, now, onFault })
  return {
    warm: keys.fetchNow,
    async verify(jwt) {
      if (jwt.length > oidcTokenLimits.maxTokenLength || !shape.test(jwt)) return null
      try {
        // Read before it is verified, so that noise and tokens of others cost no fetch and are never told "later".
        if (decodeJwt(jwt).iss !== issuer || !isTypeTaken(decodeProtectedHeader(jwt).typ)) return null
        const { payload } = await jwtVerify(jwt, keys.find, {
          algorithms,
          issuer,
          audience,
          requiredClaims: ['sub', 'exp', 'iat'],
          maxTokenAge: oidcTokenLimits.maxAgeSeconds,
          clockTolerance: oidcTokenLimits.clockToleranceSeconds,
          currentDate: new Date(now()),
        })
        return identityOf(issuer, payload)
      } catch (error) {
        if (error instanceof OidcUnavailable) throw error
        return null
      }
    },
  }
}

/** The header that is read here is the one that the signature covers: a compact JWT has no other. */
const isTypeTaken = (typ: unknown): boolean =>
  typeof typ === 'string' && types.includes(typ.toLowerCase().replace(/^application\//, ''))

function identityOf(
  issuer: string,
  { sub, exp, email, email_verified: isVerified, name }: JWTPayload,
): OidcIdentity | null {
  if (typeof sub !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(sub)) return null
  return {
    issuer,
    subject: sub,
    // Some issuers write the word.
    email: isVerified === true || isVerified === 'true' ? textOf(email, 254) : null,
    name: textOf(name, 200),
    expiresAt: new Date(Number(exp) * 1_000),
  }
}

/** Text that can be stored and shown as it is; null for anything else. */
const textOf = (value: unknown, maxLength: number): string | null =>
  typeof value === 'string' && value.length <= maxLength && /^[^\p{Cc}\p{Cs}]+$/u.test(value) ? value : null
