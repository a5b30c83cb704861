// Which addresses an OIDC issuer and its keys may have: https, or http that does not leave this machine. Whoever can write
// on the way to the keys can sign for everybody, so plain http over a network is never taken.

/** What is allowed, for messages. */
export const OIDC_ISSUER_FORM =
  'an https URL without user, query or fragment; http only on loopback (localhost, 127.0.0.1, [::1])'

/** Says what is wrong with the address of an issuer, without a word of it; null when it is good. */
export function issuerFault(text: string): string | null {
  if (text.length > 2_048) return `${text.length} characters`
  // A URL parser forgives spaces and line ends; in tokens the issuer is compared letter by letter.
  if (!URL.canParse(text) || /[\s\p{Cc}]/u.test(text)) return `${text.length} characters that are no URL`
  const url = new URL(text)
  if (url.username || url.password) return 'a URL with a user or password'
  if (/[?#]/.test(text)) return 'a URL with a query or fragment'
  if (url.protocol === 'https:' || isLoopbackHttp(url)) return null
  return url.protocol === 'http:' ? 'an http URL of another machine' : 'a URL of another scheme'
}

/** Where the issuer describes itself (OpenID Connect Discovery 1.0, section 4): a slash at its end is not doubled. */
export const discoveryAddress = (issuer: string): string =>
  `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`

/**
 * Whether the keys may be fetched from there: https on any host (large issuers serve their keys from another one), or
 * loopback http when the issuer itself is on loopback http, so that an outside issuer cannot point us at this machine.
 */
export function isKeyAddress(issuer: string, address: unknown): address is string {
  if (typeof address !== 'string' || address.length > 2_048 || !URL.canParse(address)) return false
  const url = new URL(address)
  if (url.username || url.password) return false
  return url.protocol === 'https:' || (isLoopbackHttp(url) && isLoopbackHttp(new URL(issuer)))
}

/** URL writes every notation of an address (127.1, decimal, hex) as four numbers, so the host can be read as text. */
const isLoopbackHttp = (url: URL): boolean =>
  url.protocol === 'http:' && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
