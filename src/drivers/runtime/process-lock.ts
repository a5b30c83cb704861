// One lock per workload between all processes of this machine. Node has no flock; SQLite's file lock is the only
// kernel lock in its standard library. The kernel frees it with its holder, kill -9 included, so there is no stale
// lock to detect and none to steal. Nothing is ever written to the file. It is held for milliseconds only: never
// across a health check or the end of a process, so 256 shared files are enough and none is ever deleted.
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'

const RETRY_MS = 4
const SQLITE_BUSY = 5
const PRIMARY_CODE = 0xff

const isBusy = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && (Number(error.errcode) & PRIMARY_CODE) === SQLITE_BUSY

/**
 * Runs `work` while no other process and no other caller in this one is inside for the same key.
 * Answers `null`, with nothing done, when the lock was not free within `waitMs` or the signal was aborted.
 */
export async function withLock<T>(
  locksDir: string,
  key: string,
  waitMs: number,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | null> {
  const shard = createHash('sha256').update(key).digest('hex').slice(0, 2)
  await mkdir(locksDir, { recursive: true, mode: 0o700 })
  const giveUpAt = performance.now() + waitMs
  const file = new DatabaseSync(join(locksDir, shard), { timeout: 0 })
  try {
    while (!signal.aborted) {
      if (tryLock(file)) return { value: await work() }
      if (performance.now() >= giveUpAt) return null
      await delay(RETRY_MS * (0.5 + Math.random()))
    }
    return null
  } finally {
    file.close()
  }
}

function tryLock(file: DatabaseSync): boolean {
  try {
    // Without a journal no second file appears; asking for that needs the file free already.
    file.exec('PRAGMA journal_mode=OFF; BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (isBusy(error)) return false
    throw error
  }
}
