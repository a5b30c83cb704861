// One run of a workload as a real process: starting it, telling what became of it, ending it.
// Whether a run ever starts is decided by one file that is made exactly once: either the supervisor claims the run
// and says who it is, or someone voids it. So a crash between spawning and recording leaves no process unseen.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { claimFile, claimSync, exitFile, readIfThere } from './process-files.ts'
import type { RunState } from './process-state.ts'
import { INSTANCE_MARK, isGroupExiting, processesOf, sendSignal, startMark } from './process-table.ts'

/** What the supervisor is told, on its stdin; nothing of it touches the disk. */
export interface LaunchOrder {
  readonly dir: string
  readonly instanceId: string
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The part of `env` that was given by the caller: kept out of every reason that is told. */
  readonly secrets: Readonly<Record<string, string>>
  readonly logBytes: number
  readonly stopGraceMs: number
}
export type Claim =
  | { readonly kind: 'started'; readonly pid: number; readonly mark: string }
  | { readonly kind: 'void' }
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  readonly error: string | null
  /** Its end was asked for. */
  readonly stopped: boolean
  readonly lastLine: string
  readonly at: number
}
export type Life =
  /** Launched, not yet claimed by its supervisor. */
  | { readonly kind: 'launched' }
  | { readonly kind: 'alive'; readonly supervisor: number }
  /** Its supervisor is gone without a trace, these processes of it are not. */
  | { readonly kind: 'orphaned'; readonly pids: readonly number[] }
  /** Nothing of it lives. `exit` is null when it was lost without a trace: kill -9, or the machine restarted. */
  | { readonly kind: 'ended'; readonly exit: Exit | null }

const SUPERVISOR = fileURLToPath(new URL('./process-supervisor.ts', import.meta.url))
const SUPERVISOR_FLAGS = ['--max-old-space-size=32', '--max-semi-space-size=1']
/** A launched run that was not claimed in this time is voided; a supervisor needs about 0.1 s. */
const CLAIM_DEADLINE_MS = 10_000
/** From here on a launched run is voided as soon as it has no process: its supervisor was killed at its start. */
const CLAIM_DOUBT_MS = 1000
/** Time for the supervisor, above the app's grace, before the group is killed over its head. */
const SUPERVISOR_GRACE_MS = 2000

/** A fresh id of a run: 128 random bits, never reused. */
export const newInstanceId = (): string => `run_${randomBytes(16).toString('hex')}`

/** Starts the supervisor in a session of its own, with nothing of this process but what the order says. */
export function launch(order: LaunchOrder, label: string): void {
  const errors = openSync(join(order.dir, 'supervisor.log'), 'w', 0o600)
  try {
    const supervisor = spawn(process.execPath, [...SUPERVISOR_FLAGS, SUPERVISOR, label], {
      detached: true,
      cwd: order.dir,
      env: { [INSTANCE_MARK]: order.instanceId },
      stdio: ['pipe', 'ignore', errors],
    })
    // Both errors mean that the run is never claimed: voided here at once, else when its claim is overdue.
    supervisor.on('error', () => {
      try {
        voidRun(order.dir, order.instanceId)
      } catch {}
    })
    supervisor.stdin?.on('error', () => {})
    supervisor.stdin?.end(JSON.stringify(order))
    supervisor.unref()
  } finally {
    closeSync(errors)
  }
}

/** Sees to it that the run never starts: false when its supervisor was first. */
const voidRun = (dir: string, instanceId: string): boolean => {
  const claim: Claim = { kind: 'void' }
  return claimSync(claimFile(dir, instanceId), JSON.stringify(claim))
}

/** What became of a run. Changes nothing. */
export async function lifeOf(dir: string, run: Pick<RunState, 'instanceId'>): Promise<Life> {
  const text = await readIfThere(claimFile(dir, run.instanceId))
  if (text === null) return { kind: 'launched' }
  const claim: Claim = JSON.parse(text)
  if (claim.kind === 'void') return { kind: 'ended', exit: null }
  if (startMark(claim.pid) === claim.mark) return { kind: 'alive', supervisor: claim.pid }
  const pids = processesOf(run.instanceId)
  if (pids.length > 0 || isGroupExiting(claim.pid)) return { kind: 'orphaned', pids }
  return { kind: 'ended', exit: await readExit(dir, run.instanceId) }
}

/** The exit that the supervisor recorded; it may be there a moment before the last process is gone. */
export async function readExit(dir: string, instanceId: string): Promise<Exit | null> {
  const text = await readIfThere(exitFile(dir, instanceId))
  return text === null ? null : JSON.parse(text)
}

/** Brings a launched run's claim to a head once it is overdue. For the holder of the workload's lock. */
export async function settleLaunch(dir: string, run: RunState): Promise<Life> {
  const life = await lifeOf(dir, run)
  const ageMs = Date.now() - run.startedAt
  if (life.kind !== 'launched' || ageMs < CLAIM_DOUBT_MS) return life
  if (ageMs < CLAIM_DEADLINE_MS && processesOf(run.instanceId).length > 0) return life
  voidRun(dir, run.instanceId)
  return lifeOf(dir, run)
}

/**
 * Asks for the end of a run, more firmly the longer ago `stoppingAt` is: SIGTERM first, SIGKILL to all of it when
 * the grace is over. Answers at once with what is left of it. For the holder of the workload's lock, who has
 * recorded `stoppingAt` before.
 */
export async function pressEnd(dir: string, run: RunState, graceMs: number): Promise<Life> {
  const before = await lifeOf(dir, run)
  if (before.kind === 'launched') voidRun(dir, run.instanceId)
  const life = before.kind === 'launched' ? await lifeOf(dir, run) : before
  const pressedMs = Date.now() - (run.stoppingAt ?? Date.now())
  if (life.kind === 'alive') {
    if (pressedMs > graceMs + SUPERVISOR_GRACE_MS) sendSignal(-life.supervisor, 'SIGKILL')
    else sendSignal(life.supervisor, 'SIGTERM')
  }
  if (life.kind === 'orphaned') {
    for (const pid of life.pids) sendSignal(pid, pressedMs > graceMs ? 'SIGKILL' : 'SIGTERM')
  }
  return life
}

/**
 * One sentence on how a run ended, with the line of its log that tells most; `when` follows the verb.
 * Values of its environment are out already.
 */
export function describeExit(exit: Exit | null, when = ''): string {
  if (exit === null) return `The app was lost without a trace${when}`
  if (exit.error !== null) return `The app could not be started: ${exit.error}`
  if (exit.stopped) return 'The app was stopped on request'
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`
  return `The app ${how}${when}${exit.lastLine === '' ? '' : `; last line: ${exit.lastLine}`}`
}
