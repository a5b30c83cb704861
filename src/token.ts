// API tokens and invitation tokens as text: how one is made and read, and what is kept of it. Pure.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 12
/** 30 characters of base62 are 178 bits. */
const secretLength = 30
const crcLength = 6
const shape = new RegExp(`^pawl_([0-9A-Za-z]{${idLength}})_([0-9A-Za-z]{${secretLength}})([0-9A-Za-z]{${crcLength}})$`)

export interface Token {
  /** Found by this. */
  readonly lookupId: string
  /** SHA-256 of the secret, hex: all that is kept. */
  readonly secretHash: string
}

/** Makes a token `pawl_<id>_<secret><crc>`; the plaintext is nowhere else. */
export function mintToken(): Token & { plaintext: string } {
  const lookupId = randomText(idLength)
  const secret = randomText(secretLength)
  const body = `pawl_${lookupId}_${secret}`
  return { plaintext: body + checksum(body), lookupId, secretHash: hash(secret) }
}

/** Reads a token; null for anything that cannot be one, so that noise costs no look-up. */
export function parseToken(text: string): Token | null {
  const [, lookupId, secret, crc] = shape.exec(text) ?? []
  if (!lookupId || !secret || crc !== checksum(`pawl_${lookupId}_${secret}`)) return null
  return { lookupId, secretHash: hash(secret) }
}

/** Compares two hashes in constant time. */
export const sameHash = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'))

const hash = (secret: string) => createHash('sha256').update(secret).digest('hex')

function checksum(body: string): string {
  let rest = crc32(body)
  let text = ''
  for (let i = 0; i < crcLength; i++) {
    text = alphabet[rest % 62] + text
    rest = Math.floor(rest / 62)
  }
  return text
}

/** Uniform over the alphabet: bytes beyond the last whole multiple of 62 are thrown away. */
function randomText(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && text.length < length) text += alphabet[byte % 62]
    }
  }
  return text
}
