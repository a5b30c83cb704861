// The keys that encrypt stored secrets: how they are written, and where they are kept when nobody gives them.
// With the embedded database they are made on the first start and stay beside it; whoever brings a database
// brings the keys too, because a key that is made on one replica is unknown to the others.

import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What is allowed, for messages. */
export const SECRET_KEYS_FORM = 'keyId:base64 of 32 bytes, more of them after commas; the first one encrypts'

const KEY_BYTES = 32
const MOST_KEYS = 16
const FILE = 'secret-keys'

export interface SecretKey {
  /** Stored with every ciphertext. */
  readonly id: string
  /** 32 bytes, for AES-256-GCM. */
  readonly bytes: Buffer
}

/** Reads `keyId:base64[,keyId:base64]`; for anything else says what is wrong, without a word of the value. */
export function parseSecretKeys(text: string): readonly SecretKey[] | { readonly fault: string } {
  const parts = text.split(',').map((part) => part.trim())
  if (parts.length > MOST_KEYS) return { fault: `${parts.length} keys, more than ${MOST_KEYS}` }
  const keys: SecretKey[] = []
  for (const [index, part] of parts.entries()) {
    const which = `key ${index + 1} of ${parts.length}`
    const [, id, base64] = /^([A-Za-z0-9_.-]{1,32}):([A-Za-z0-9+/]+={0,2})$/.exec(part) ?? []
    if (id === undefined || base64 === undefined)
      return { fault: `${which} (${part.length} characters) has another form` }
    const bytes = Buffer.from(base64, 'base64')
    if (bytes.length !== KEY_BYTES) return { fault: `${which} has ${bytes.length} bytes` }
    if (keys.some((key) => key.id === id)) return { fault: `${which} has the key id of an earlier one` }
    keys.push({ id, bytes })
  }
  return keys
}

/** The keys kept in the data directory (which must exist), made on the first call. Safe for callers at once. */
export function keptSecretKeys(dataDir: string): readonly SecretKey[] {
  const path = keptSecretKeysFile(dataDir)
  const keys = parseSecretKeys(readKept(path) ?? make(path))
  if ('fault' in keys) throw new Error(`${path} does not hold secret keys: ${keys.fault}; allowed: ${SECRET_KEYS_FORM}`)
  return keys
}

/**
 * Puts a new key before those that are kept in the data directory, which the caller must own: from now on it seals. The
 * file is replaced as a whole, and the earlier keys stay in it.
 */
export function addKeptSecretKey(dataDir: string): readonly SecretKey[] {
  const kept = keptSecretKeys(dataDir)
  if (kept.length >= MOST_KEYS)
    throw new Error(`${keptSecretKeysFile(dataDir)} holds ${MOST_KEYS} keys: drop one that seals nothing`)
  const id = newId(kept.map((key) => key.id))
  const keys = [{ id, bytes: randomBytes(KEY_BYTES) }, ...kept]
  const path = keptSecretKeysFile(dataDir)
  const draft = draftOf(path)
  const text = keys.map((key) => `${key.id}:${key.bytes.toString('base64')}`).join(',')
  writeFileSync(draft, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true })
  renameSync(draft, path)
  return keys
}

/** Where keys are kept that nobody gives. */
export const keptSecretKeysFile = (dataDir: string): string => join(dataDir, FILE)

/** `k20300131`, or with `.2`, `.3` … where that is taken. */
function newId(taken: readonly string[]): string {
  const today = `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`
  let id = today
  for (let n = 2; taken.includes(id); n++) id = `${today}.${n}`
  return id
}

const draftOf = (path: string) => `${path}.${process.pid}-${randomBytes(4).toString('hex')}`

function readKept(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Error(`The secret keys in ${path} cannot be read: ${(error as Error).message}`)
  }
}

/** Appears under its name whole or not at all, and never in place of one that another process has made. */
function make(path: string): string {
  const id = newId([])
  const draft = draftOf(path)
  writeFileSync(draft, `${id}:${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true })
  try {
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return readFileSync(path, 'utf8').trim()
}
