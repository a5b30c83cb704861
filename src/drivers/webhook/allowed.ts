// Which addresses a webhook may be sent to: public unicast ones, and what the operator allows besides. An address is judged
// as the one that is reached in the end: IPv4 inside IPv6 (mapped, NAT64) counts as that IPv4, and what tunnels (6to4,
// Teredo) or is not given out yet is no public address.
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js'

/** What may be private: ranges of addresses, and names of hosts, in lower case. */
export interface Allowed {
  readonly ranges: readonly (readonly [IPv4 | IPv6, number])[]
  readonly hosts: ReadonlySet<string>
}
export const nothingAllowed: Allowed = { ranges: [], hosts: new Set() }

/** What is allowed, for messages. */
export const WEBHOOK_ALLOW_FORM = 'CIDR ranges (10.0.0.0/8, fd00::/8) and host names, separated by commas'

/** Reads `10.0.0.0/8, hooks.internal`; null when any of it is neither a range nor a host name. */
export function parseAllowed(text: string): Allowed | null {
  const parts = text.split(',').map((part) => part.trim())
  const ranges = parts.filter((part) => part.includes('/'))
  const hosts = parts.filter((part) => !part.includes('/'))
  if (!ranges.every((range) => strictRange.test(range) && ipaddr.isValidCIDR(range))) return null
  if (!hosts.every((host) => /^(?=.*[a-z])[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?$/i.test(host))) return null
  return {
    ranges: ranges.map((range) => ipaddr.parseCIDR(range)),
    hosts: new Set(hosts.map((host) => host.toLowerCase())),
  }
}

/** The library takes 10/8 for 0.0.0.10/8: four numbers, or an IPv6 address. */
const strictRange = /^(?:\d+\.\d+\.\d+\.\d+|[\da-f:.]*:[\da-f:.]*)\/\d+$/i

/** Whether this address may be dialled. */
export function mayBeDialled(address: string, { ranges }: Allowed): boolean {
  if (!ipaddr.isValid(address)) return false
  const reached = reachedBy(address)
  return isPublic(reached) || ranges.some(([from, bits]) => from.kind() === reached.kind() && reached.match(from, bits))
}

/** Besides what the library knows to be special: of IPv6 only 2000::/3 is given out (IANA), which `::127.0.0.1` is not of. */
const isPublic = (address: IPv4 | IPv6) =>
  address.range() === 'unicast' && (address.kind() === 'ipv4' || address.match(ipaddr.parse('2000::'), 3))

function reachedBy(address: string): IPv4 | IPv6 {
  const plain = ipaddr.process(address)
  // RFC 6052: the last four bytes of the well-known prefix are the IPv4 address that a NAT64 translates to.
  return plain.kind() === 'ipv6' && plain.match(ipaddr.parse('64:ff9b::'), 96)
    ? ipaddr.fromByteArray(plain.toByteArray().slice(12))
    : plain
}
