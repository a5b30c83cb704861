// Ports on loopback, one per incarnation, kept until it is removed so that its url stays the same. A reservation is
// a file that only one can make. The caller records a port before it holds it, so no reservation is ever lost.
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { claimSync, readIfThere } from './process-files.ts'

export interface PortRange {
  readonly from: number
  /** Inclusive. */
  readonly to: number
}

/** Where whoever listens on that port is reached. */
export const urlOf = (port: number): string => `http://127.0.0.1:${port}`

/** Every port of the range once, in an order of the owner's own so that owners seldom meet. */
export function* candidatePorts(owner: string, range: PortRange): Generator<number> {
  const count = range.to - range.from + 1
  const first = createHash('sha256').update(owner).digest().readUInt32BE() % count
  for (let step = 0; step < count; step += 1) yield range.from + ((first + step) % count)
}

/**
 * Reserves the port for `owner`, again if need be. False, and not reserved by this owner any more, when another
 * owner has it or something listens there.
 */
export async function holdPort(dir: string, owner: string, port: number): Promise<boolean> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const path = join(dir, String(port))
  const holder = (await readIfThere(path)) ?? (claimSync(path, owner) ? owner : null)
  if (holder !== owner) return false
  if (await isFree(port)) return true
  await rm(path, { force: true })
  return false
}

/** Gives a port back; someone else's reservation is left alone. */
export async function releasePort(dir: string, owner: string, port: number): Promise<void> {
  const path = join(dir, String(port))
  if ((await readIfThere(path)) === owner) await rm(path, { force: true })
}

/** True when nothing listens on that loopback port now. */
export function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)))
  return promise
}
