// Says which process owns a data directory. The lock is SQLite's file lock, so the kernel frees it when the
// owner dies, however it dies, and two starters can never both win; a pid file would need a guess about
// reused pids and has a gap between "it is stale" and "it is mine". The pid is kept for the message only.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Ownership of one data directory; ends with `release` or with the process. */
export interface Ownership {
  release(): void
}

const SQLITE_BUSY = 5
const PID_TRIES = 20
const PID_RETRY_MS = 10

/** Takes the data directory for this process, or throws one line that names the directory and its owner. */
export function claimOwnership(dataDir: string): Ownership {
  const pidFile = join(dataDir, 'owner.pid')
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(join(dataDir, 'owner.lock'))
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  } catch (error) {
    lock?.close()
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw unusable(dataDir, error as Error)
    throw new Error(
      `The data directory ${dataDir} is in use by another running Pawl process (pid ${readPid(pidFile)}); ` +
        'stop that one, or give this one another PAWL_DATA_DIR.',
    )
  }
  const held = lock
  return { release: () => held.close() }
}

/** One line for a directory that cannot be made, read or written. */
export function unusable(dataDir: string, cause: Error): Error {
  return new Error(
    `The data directory ${dataDir} cannot be used by user id ${process.getuid?.()} (${cause.message}); ` +
      'make it writable for that user, or give another PAWL_DATA_DIR.',
  )
}

/** An owner of this moment may not have written its pid yet: what is there is believed once that process lives. */
function readPid(file: string): string {
  let pid = 'unknown'
  for (let attempt = 1; attempt <= PID_TRIES; attempt++) {
    try {
      pid = readFileSync(file, 'utf8').trim() || 'unknown'
      process.kill(Number(pid), 0)
      return pid
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPERM') return pid
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PID_RETRY_MS)
    }
  }
  return pid
}
