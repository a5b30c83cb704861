// The public keys of the OIDC issuer: where they are (discovery), what they are (JWKS), and how long they are believed.
// jose picks a key out of a set (createLocalJWKSet). Its createRemoteJWKSet does not fetch for us, because it starts its
// cooldown with a success alone, so that a dead issuer is asked once per token, and it drops keys that it cannot refresh.
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { discoveryAddress, isKeyAddress } from './oidc-address.ts'

/** How the keys are fetched and kept. */
export const oidcKeyLimits = {
  /** After a fetch, good or bad, none follows for so long, however many unknown keys are named. */
  cooldownMs: 30_000,
  /** A set is believed for so long without asking again: as long as a withdrawn key goes on working. */
  cacheMs: 600_000,
  /** While the issuer cannot be had, its last set is believed for so long. */
  staleMs: 86_400_000,
  /** Discovery and JWKS together. */
  timeoutMs: 5_000,
  /** Of one answer of the issuer, unpacked. */
  maxBytes: 262_144,
} as const
export type OidcKeyLimits = { readonly [L in keyof typeof oidcKeyLimits]: number }

/** Whether the token is good cannot be told now: its key is not known, and the issuer cannot be had. */
export class OidcUnavailable extends Error {
  override readonly name = 'OidcUnavailable'
  /** Before that the issuer is not asked again. */
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    super('The OIDC issuer cannot be reached, and the key of the token is not known.')
    this.retryAfterMs = retryAfterMs
  }
}

export interface OidcKeysOptions {
  readonly issuer: string
  readonly limits: OidcKeyLimits
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Told of every fetch that failed; at most one per cooldown. Must not throw. */
  readonly onFault: (fault: Error) => void
}

export interface OidcKeys {
  /**
   * The key that a token names, for jwtVerify. Keys older than `cacheMs` are fetched anew first, and so is a set that lacks
   * the key, but neither within `cooldownMs` of the last fetch; callers at once share one fetch. While the issuer is down,
   * known keys go on working up to `staleMs` after they were fetched, and only the caller who finds it down waits for it.
   * Throws OidcUnavailable when the key is not known and the last fetch failed; else jose's errors, e.g. JWKSNoMatchingKey.
   */
  readonly find: JWTVerifyGetKey
  /** Fetches the keys now, or joins the fetch under way; false when it failed, which `onFault` is told. Never throws. */
  fetchNow(): Promise<boolean>
}

interface Held<T> {
  readonly value: T
  readonly at: number
}

/** Keeps the keys of one issuer; asks nothing before it must. */
export function createOidcKeys({ issuer, limits, now, onFault }: OidcKeysOptions): OidcKeys {
  const { cooldownMs, cacheMs, staleMs, timeoutMs, maxBytes } = limits
  let keySet: Held<ReturnType<typeof createLocalJWKSet>> | null = null
  let keyAddress: Held<string> | null = null
  let lastFetch: Held<'good' | 'failed'> | null = null
  let underWay: Promise<boolean> | null = null

  // A clock that was set back counts as time gone by: else keys were believed, or the issuer not asked, for too long.
  const isWithin = (held: Held<unknown> | null, ms: number) => held !== null && Math.abs(now() - held.at) < ms
  const isDown = () => lastFetch?.value === 'failed'
  const mayFetch = () => underWay !== null || !isWithin(lastFetch, cooldownMs)

  const fetchNow = (): Promise<boolean> => {
    underWay ??= fetchKeys().finally(() => {
      underWay = null
    })
    return underWay
  }

  async function fetchKeys(): Promise<boolean> {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      // After a failure the address is asked for again: it may be the address that has changed.
      if (!keyAddress || isDown() || !isWithin(keyAddress, cacheMs))
        keyAddress = { value: await discover(issuer, signal, maxBytes), at: now() }
      const jwks = (await fetchJson(keyAddress.value, signal, maxBytes)) as JSONWebKeySet
      keySet = { value: createLocalJWKSet(jwks), at: now() }
      lastFetch = { value: 'good', at: now() }
      return true
    } catch (cause) {
      lastFetch = { value: 'failed', at: now() }
      onFault(new Error(`The keys of the OIDC issuer cannot be fetched: ${reasonOf(cause)}`, { cause }))
      return false
    }
  }

  /** Undefined when it is in no set that may still be believed. */
  const findHeld = async (...named: Parameters<JWTVerifyGetKey>) => {
    if (!keySet || !isWithin(keySet, staleMs)) return undefined
    try {
      return await keySet.value(...named)
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined
      throw error
    }
  }

  return {
    fetchNow,
    async find(...named) {
      if (!isWithin(keySet, cacheMs) && mayFetch()) {
        const fetched = fetchNow()
        // Once it was found down, nobody who brings a known key waits for it; after a quiet time that must be found anew.
        if (!isDown() || !isWithin(lastFetch, cacheMs)) await fetched
      }
      const held = await findHeld(...named)
      if (held) return held
      if (mayFetch()) await fetchNow()
      // Looked up again in any case: the fetch of another caller may have ended since.
      const key = await findHeld(...named)
      if (key) return key
      if (isDown()) throw new OidcUnavailable(Math.max(1_000, cooldownMs - Math.abs(now() - (lastFetch?.at ?? 0))))
      throw new errors.JWKSNoMatchingKey()
    },
  }
}

async function discover(issuer: string, signal: AbortSignal, maxBytes: number): Promise<string> {
  const found = (await fetchJson(discoveryAddress(issuer), signal, maxBytes)) as Record<string, unknown> | null
  if (found?.issuer !== issuer) throw new Error('its discovery document names another issuer')
  if (!isKeyAddress(issuer, found.jwks_uri)) throw new Error('its jwks_uri is not an https URL')
  return found.jwks_uri
}

/** No redirects: they would lead past the rules for addresses. Throws for anything but a 200 with JSON within the bound. */
async function fetchJson(address: string, signal: AbortSignal, maxBytes: number): Promise<unknown> {
  const response = await fetch(address, { redirect: 'manual', signal, headers: { accept: 'application/json' } })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`it answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop early ends the connection.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error(`its answer has more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

/** What fetch tells stands in the cause of its error, e.g. ECONNREFUSED. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { cause?: { code?: string } }
  if (name === 'TimeoutError') return 'it did not answer in time'
  return cause?.code ?? message
}
