// What the calls of the process driver share: its settings, a workload's turn under its lock, and the answer when
// the disk or the lock fails. Errors become outcomes here and nowhere else.
import { join } from 'node:path'
import { type Refused, refused, type Unknown, type Unreachable, unknown, unreachable } from '../outcome.ts'
import type { WorkloadRef } from './driver.ts'
import { errorCode } from './process-files.ts'
import { withLock } from './process-lock.ts'
import type { PortRange } from './process-port.ts'
import { UnreadableState, workloadKey } from './process-state.ts'

export interface ProcessSettings {
  readonly installation: string
  readonly appsDir: string
  /** `<dataDir>/runtime`: one folder per workload, and `.locks` and `.ports`. */
  readonly root: string
  /** PATH of the workloads. */
  readonly path: string
  readonly stopGraceMs: number
  readonly portRange: PortRange
  /** Of each of the two files of a workload's log. */
  readonly logBytes: number
  readonly probeTimeoutMs: number
  readonly lockWaitMs: number
  readonly keepFencesMs: number
}

export interface Place {
  readonly key: string
  readonly dir: string
}

/** Where a workload is on disk; null when its name could lead out of the root. */
export function placeOf(settings: Pick<ProcessSettings, 'root'>, ref: WorkloadRef): Place | null {
  const key = workloadKey(ref)
  return key === null ? null : { key, dir: join(settings.root, key) }
}

export type Failed = Refused | Unreachable | Unknown

/** Runs `work` alone on that workload, between all processes of the machine; never throws. */
export async function inTurn<R>(
  settings: ProcessSettings,
  ref: WorkloadRef,
  signal: AbortSignal,
  work: (place: Place) => Promise<R>,
): Promise<R | Failed> {
  const place = placeOf(settings, ref)
  if (place === null) return refused('The ids of the workload cannot be part of a file name')
  return guarded(async () => {
    const turn = await withLock(join(settings.root, '.locks'), place.key, settings.lockWaitMs, signal, () =>
      work(place),
    )
    if (turn !== null) return turn.value
    return unreachable(signal.aborted ? 'Given up before anything was done' : 'Another call holds the workload')
  })
}

/** Turns an error of the disk into `unknown`, which is true whatever was done before it. */
export async function guarded<R>(work: () => Promise<R>): Promise<R | Unknown> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof UnreadableState) return unknown(error.message)
    return unknown(`The state of the runtime could not be read or written (${errorCode(error) ?? 'unexpected error'})`)
  }
}
