// The small program around each workload, leader of its process group, which outlives the control plane: it claims
// the run before it starts the app, bounds the log, passes SIGTERM on with a grace, and leaves the exit on disk.
// It is told everything on stdin and nothing by its environment but the mark that it is found by; it loads no
// package, to stay small. Its last act is to kill what is left of its group, itself included.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, unlinkSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { claimFile, claimSync, exitFile, stateFile, writeDurablySync } from './process-files.ts'
import { openBoundedLog } from './process-log.ts'
import type { Claim, Exit, LaunchOrder } from './process-run.ts'
import { closeInheritedFiles, startMark } from './process-table.ts'

const DRAIN_MS = 250
const MIN_SECRET_CHARS = 6

let child: ChildProcess | undefined
let stopping = false
let graceMs = 5000

function stop(): void {
  if (stopping) return
  stopping = true
  if (child === undefined) return
  process.kill(-process.pid, 'SIGTERM')
  setTimeout(() => child?.kill('SIGKILL'), graceMs)
}

/** The run may go on only while the state still names it; the state is always changed before a claim is deleted. */
function isStillWanted(order: LaunchOrder): boolean {
  try {
    const state = JSON.parse(readFileSync(stateFile(order.dir), 'utf8'))
    return state.run?.instanceId === order.instanceId && state.run.stoppingAt === null
  } catch {
    return false
  }
}

function supervise(order: LaunchOrder): void {
  graceMs = order.stopGraceMs
  const claimPath = claimFile(order.dir, order.instanceId)
  const claim: Claim = { kind: 'started', pid: process.pid, mark: startMark(process.pid) ?? '' }
  if (!claimSync(claimPath, JSON.stringify(claim))) return
  if (!isStillWanted(order)) {
    unlinkSync(claimPath)
    return
  }

  const log = openBoundedLog(order.dir, order.logBytes)
  const finish = (end: Pick<Exit, 'code' | 'signal' | 'error'>): void => {
    const secrets = Object.values(order.secrets).filter((value) => value.length >= MIN_SECRET_CHARS)
    const lastLine = secrets.reduce((line, secret) => line.replaceAll(secret, '[redacted]'), log.tellingLine())
    const exit: Exit = { ...end, stopped: stopping, lastLine, at: Date.now() }
    try {
      writeDurablySync(exitFile(order.dir, order.instanceId), JSON.stringify(exit))
    } finally {
      process.kill(-process.pid, 'SIGKILL')
    }
  }
  if (stopping) {
    finish({ code: null, signal: null, error: null })
    return
  }

  const [program = '', ...args] = order.command
  child = spawn(program === 'node' ? process.execPath : program, args, {
    cwd: order.cwd,
    env: order.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout?.on('data', (chunk: Buffer) => log.write(chunk))
  child.stderr?.on('data', (chunk: Buffer) => log.write(chunk))
  child.on('error', (error) => {
    if (child?.pid === undefined) finish({ code: null, signal: null, error: error.message })
  })
  child.on('exit', (code, signal) => {
    // What it wrote last may still be in the pipes; a grandchild that holds them open is not waited for.
    const drained = setTimeout(() => finish({ code, signal, error: null }), DRAIN_MS)
    child?.on('close', () => {
      clearTimeout(drained)
      finish({ code, signal, error: null })
    })
  })
}

closeInheritedFiles()
process.on('SIGTERM', stop)
for (const ignored of ['SIGINT', 'SIGHUP', 'SIGPIPE'] as const) process.on(ignored, () => {})
// A control plane that died while it was sending leaves half an order: it does not parse, and nothing is started.
supervise(JSON.parse(await text(process.stdin)))
