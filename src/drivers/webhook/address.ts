// Where a webhook may be sent: a URL is looked at, its host is resolved, and every address of it must be one that may be
// dialled. What was checked is what is dialled, and it is checked anew before each delivery: a name may mean another address
// by then. A fault never names an address that was found: it would tell what is inside the network.
import { lookup, Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { type Allowed, mayBeDialled } from './allowed.ts'

/** Longest URL, in characters. */
export const urlLimit = 2_000
/** More addresses than that are not tried. */
const addressLimit = 8

/** Says what is wrong with a URL as it is written, in words that follow "the URL"; null when nothing is. */
export function urlFault(text: string): string | null {
  if (text.length > urlLimit) return `has more than ${urlLimit} characters`
  // A URL parser forgives spaces and line ends, and reads a backslash as a slash.
  if (!URL.canParse(text) || /[\s\\\p{Cc}]/u.test(text)) return 'cannot be read'
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'is neither http nor https'
  if (url.username || url.password) return 'holds a user or password'
  if (text.includes('#')) return 'has a fragment, which is never sent'
  return null
}

/** Finds all addresses of a host, or throws what Node's DNS functions throw. */
export type Resolve = (host: string, signal: AbortSignal) => Promise<readonly string[]>

/** Asks the name servers in a way that occupies no thread and can be given up. */
export const resolveByDns: Resolve = async (host, signal) => {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 })
  const giveUp = () => resolver.cancel()
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const faults = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
    if (found.length === 0 && faults.length > 0) throw faults.find(({ code }) => !isMissing(code)) ?? faults[0]
    return found
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

const isMissing = (code: unknown) => code === 'ENOTFOUND' || code === 'ENODATA'

/** What may be dialled for a URL, or why nothing may. */
export type Checked =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  /** Will not do: the words follow "the host". */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Could not be found out now. */
  | { readonly kind: 'unresolved'; readonly reason: string }

export interface Checking {
  readonly allowed: Allowed
  readonly resolve?: Resolve
}

/** The same for a name that is nowhere as for one that is inside: it does not tell which names there are inside. */
const refused: Checked = { kind: 'refused', reason: 'has no address, or one that is not public' }

/** Resolves the host of a URL and checks every address of it. Never throws; ends when the signal does. */
export async function checkedAddresses(
  url: URL,
  { allowed, resolve = resolveByDns }: Checking,
  signal: AbortSignal,
): Promise<Checked> {
  // URL writes every notation of an address (127.1, decimal, octal, hex) as four numbers.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isNamed = allowed.hosts.has(host.replace(/\.$/, ''))
  const find: Resolve = isIP(host) ? async () => [host] : isNamed ? resolveByMachine : resolve
  const given = Promise.withResolvers<never>()
  const giveUp = () => given.reject(signal.reason)
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    signal.throwIfAborted()
    const addresses = await Promise.race([find(host, signal), given.promise])
    const mayBe = isNamed || addresses.every((address) => mayBeDialled(address, allowed))
    if (addresses.length === 0 || !mayBe) return refused
    return { kind: 'addresses', addresses: addresses.slice(0, addressLimit) }
  } catch (error) {
    return isMissing((error as { code?: unknown }).code)
      ? refused
      : { kind: 'unresolved', reason: 'could not be resolved' }
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}

/** As every program of this machine does, with its hosts file: for the few names that the operator has given. */
const resolveByMachine: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

/** How long a caller waits for name servers. */
const faultLimitMs = 2_000

/**
 * Why a webhook may not be sent there, in one sentence; null when it may. A name that nobody can tell of now is taken: it is
 * asked for again before each delivery.
 */
export async function addressFault(text: string, checking: Checking): Promise<string | null> {
  const written = urlFault(text)
  if (written !== null) return `The URL ${written}.`
  const checked = await checkedAddresses(new URL(text), checking, AbortSignal.timeout(faultLimitMs))
  return checked.kind === 'refused' ? `The host ${checked.reason}.` : null
}
