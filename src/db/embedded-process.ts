// One running postmaster: finding it through the file that it keeps in its cluster, starting it, waiting for
// it, stopping it. It gets a session of its own, so a Ctrl-C in the terminal reaches the control plane only,
// which drains first and stops it last. Run as another user it is handed the open cluster directory instead of
// its path, because that user may have no right on the directories above (a root home is 0700).

import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BINARY_ENVIRONMENT } from './embedded-binaries.ts'
import type { Identity } from './embedded-identity.ts'

const POLL_MS = 10
const READY_TIMEOUT_MS = 120_000
const LOG_LIMIT_BYTES = 10_000_000
const FAST_STOP_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 30_000

/** A cluster on disk and what is needed to run it. */
export interface Cluster {
  readonly folder: string
  readonly binaries: string
  readonly identity: Identity
}

/** A postmaster that accepts connections. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
}

/** The number under which a child finds the open cluster directory. */
export const CLUSTER_HANDLE = 3

/** The path by which a child reaches the cluster, given its open directory as file number CLUSTER_HANDLE. */
export function clusterArgument({ folder, identity }: Pick<Cluster, 'folder' | 'identity'>): string {
  return identity.uid !== undefined && process.platform === 'linux' ? `/proc/self/fd/${CLUSTER_HANDLE}` : folder
}

/** The log that the postmaster writes, beside its cluster. */
export function logFile(folder: string): string {
  return `${folder}.log`
}

/** The postmaster that an earlier owner left running, once it is ready; nothing if there is none. */
export async function findRunning(folder: string): Promise<Postmaster | undefined> {
  const found = readPidFile(folder)
  if (found === undefined) return undefined
  const ready = isRunning(folder, found.pid) ? await waitUntilReady(folder, found.pid) : undefined
  if (ready === undefined && isRunning(folder, found.pid)) {
    throw new Error(`PostgreSQL (pid ${found.pid}) has ${folder} but does not become ready; see ${logFile(folder)}.`)
  }
  return ready
}

/** Starts a postmaster and waits until it accepts connections; throws what PostgreSQL said if it does not. */
export async function startPostmaster(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  onExit: (how: string) => void,
): Promise<Postmaster> {
  disownPidFile(cluster.folder)
  trimLog(cluster.folder)
  const log = openSync(logFile(cluster.folder), 'a', 0o600)
  const logStart = fstatSync(log).size
  const directory = openSync(cluster.folder, 'r')
  const parameters = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(join(cluster.binaries, 'bin/postgres'), ['-D', clusterArgument(cluster), ...parameters], {
    ...cluster.identity,
    cwd: '/',
    env: BINARY_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log, log, directory],
  })
  closeSync(log)
  closeSync(directory)
  child.unref()
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  const ready = await waitUntilReady(cluster.folder, child.pid, exited)
  if (ready === undefined) throw new Error(`PostgreSQL did not start: ${complaint(cluster.folder, logStart)}`)
  exited.then(onExit)
  return ready
}

/** Ends all sessions, writes all to disk, and returns when the postmaster is gone. */
export async function stopPostmaster(folder: string, pid: number): Promise<void> {
  const startedAt = Date.now()
  let sent: NodeJS.Signals | undefined
  while (isRunning(folder, pid)) {
    const elapsedMs = Date.now() - startedAt
    if (elapsedMs > STOP_TIMEOUT_MS) throw new Error(`PostgreSQL (pid ${pid}) in ${folder} does not stop; kill it.`)
    // SIGQUIT gives up the writing, which the next start then makes good from the log.
    const signal = elapsedMs < FAST_STOP_TIMEOUT_MS ? 'SIGINT' : 'SIGQUIT'
    if (sent !== signal) send(pid, signal)
    sent = signal
    await sleep(POLL_MS)
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

interface PidFile extends Postmaster {
  readonly status: string
}

/** Lines by PostgreSQL's miscadmin.h: 1 pid, 4 port, 8 status. */
function readPidFile(folder: string): PidFile | undefined {
  try {
    const lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')
    return { pid: Number(lines[0]), port: Number(lines[3]), status: (lines[7] ?? '').trim() }
  } catch {
    return undefined
  }
}

async function waitUntilReady(
  folder: string,
  pid: number | undefined,
  exited?: Promise<string>,
): Promise<Postmaster | undefined> {
  let gone = pid === undefined
  exited?.then(() => {
    gone = true
  })
  const giveUpAt = Date.now() + READY_TIMEOUT_MS
  while (!gone && Date.now() < giveUpAt) {
    const found = readPidFile(folder)
    if (found?.pid === pid && found?.status === 'ready') return { pid: found.pid, port: found.port }
    await sleep(POLL_MS)
    if (exited === undefined) gone = !isRunning(folder, pid as number)
  }
  return undefined
}

/** Whether that process lives and works in that cluster: after a crash its pid may be another program's. */
export function isRunning(folder: string, pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (process.platform === 'linux') return readlinkSync(`/proc/${pid}/cwd`) === folder
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).includes(folder)
  } catch {
    return false
  }
}

/**
 * After a crash the pid in the file may be another program's, and PostgreSQL would refuse to start for it. The
 * file must stay all the same: PostgreSQL finds in it the shared memory of sessions that outlived their
 * postmaster, and waits for them. PostgreSQL takes its parent's pid for stale, so ours is put there.
 */
function disownPidFile(folder: string): void {
  const path = join(folder, 'postmaster.pid')
  try {
    const [, ...rest] = readFileSync(path, 'utf8').split('\n')
    writeFileSync(path, [process.pid, ...rest].join('\n'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** The first fatal line of this start, or the last line, of what PostgreSQL logged. */
function complaint(folder: string, from: number): string {
  const lines = readFileSync(logFile(folder)).subarray(from).toString('utf8').trim().split('\n')
  const line = lines.find((text) => /FATAL|PANIC/.test(text)) ?? lines.at(-1) ?? ''
  return `${line.trim() || 'it said nothing'} (log: ${logFile(folder)})`
}

/** Keeps one older log beside the current one. */
function trimLog(folder: string): void {
  const size = statSync(logFile(folder), { throwIfNoEntry: false })?.size ?? 0
  if (size > LOG_LIMIT_BYTES) renameSync(logFile(folder), `${logFile(folder)}.1`)
}
