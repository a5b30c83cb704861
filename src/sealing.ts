// Secrets at rest: AES-256-GCM with a fresh nonce, the key's id and a scheme version in the stored text, and additional
// data that binds a ciphertext to its place, so that it cannot be moved to another row or field. The first key seals; all
// keys open, so that keys can be rotated while everything runs.
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { SecretKey } from './secret-keys.ts'

const scheme = 'v1'
/** NIST SP 800-38D: 96 bits, fresh for every encryption. */
const nonceBytes = 12
const tagBytes = 16

/** The place of a secret: team, object, field. */
export type Place = readonly [teamId: string, objectId: string, field: string]

export interface Sealing {
  /** Ids of all keys that are held; the first one seals. */
  readonly keyIds: readonly [string, ...string[]]
  /** Text that only a holder of the keys can open, and only at this place. */
  seal(plaintext: string, place: Place): string
  /** Throws `UnsealError` for a missing key, another place, or a text that was changed; never tells the content. */
  open(sealed: string, place: Place): string
  /** Whether a stored text was sealed with the key that seals now. */
  isCurrent(sealed: string): boolean
  /**
   * What tells a text from another to holders of the keys alone: nobody else can find it out by trying texts. One digest
   * for each key, that of the key that seals now first.
   */
  digests(text: string): readonly [string, ...string[]]
}

/** A stored secret cannot be opened. The message names the key, never the content. */
export class UnsealError extends Error {
  override readonly name = 'UnsealError'
}

export function createSealing(keys: readonly SecretKey[]): Sealing {
  const [current] = keys
  if (!current) throw new Error('sealing needs at least one key')
  // A key of its own for digests, so that the key that seals does nothing else (RFC 5869).
  const digestKeys = keys.map(({ id, bytes }) => ({
    id,
    bytes: Buffer.from(hkdfSync('sha256', bytes, '', `pawl ${scheme} digest`, 32)),
  }))
  const additional = (place: Place) => Buffer.from([scheme, ...place].join('|'), 'utf8')
  return {
    keyIds: keys.map(({ id }) => id) as unknown as readonly [string, ...string[]],
    seal(plaintext, place) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', current.bytes, nonce, { authTagLength: tagBytes })
      cipher.setAAD(additional(place))
      const content = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return [scheme, current.id, nonce.toString('base64url'), content.toString('base64url')].join('.')
    },
    open(sealed, place) {
      const { keyId, nonce, content } = parse(sealed)
      const key = keys.find(({ id }) => id === keyId)
      if (!key)
        throw new UnsealError(
          `the secret of ${place[1]} was sealed with the key ${keyId}, which PAWL_SECRET_KEYS does not hold`,
        )
      try {
        const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonce, { authTagLength: tagBytes })
        decipher.setAAD(additional(place))
        decipher.setAuthTag(content.subarray(-tagBytes))
        return decipher.update(content.subarray(0, -tagBytes), undefined, 'utf8') + decipher.final('utf8')
      } catch {
        throw new UnsealError(
          `the secret of ${place[1]} cannot be opened: it was changed, moved, or sealed with another key ${keyId}`,
        )
      }
    },
    isCurrent: (sealed) => parse(sealed).keyId === current.id,
    digests: (text) =>
      digestKeys.map(({ id, bytes }) =>
        [scheme, id, createHmac('sha256', bytes).update(text).digest('base64url')].join('.'),
      ) as unknown as readonly [string, ...string[]],
  }
}

function parse(sealed: string): { keyId: string; nonce: Buffer; content: Buffer } {
  // A key id may hold dots; the other parts cannot.
  const [, version, keyId, nonce, content] = /^(v\d+)\.(.+)\.([\w-]+)\.([\w-]+)$/.exec(sealed) ?? []
  if (version !== scheme || !keyId || !nonce || !content) throw new UnsealError('a stored secret has an unknown form')
  return { keyId, nonce: Buffer.from(nonce, 'base64url'), content: Buffer.from(content, 'base64url') }
}
