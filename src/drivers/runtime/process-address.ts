// The address of a workload: a port of its own, the same for `reserve` and for every run, until it is removed or a
// stranger takes it. For `reserve`, and for `ensure` when it starts a run; both under the workload's lock.
import { join } from 'node:path'
import { done, type Fence, type Outcome, refused, stale } from '../outcome.ts'
import type { WorkloadAddress, WorkloadRef } from './driver.ts'
import { admit } from './fence.ts'
import { candidatePorts, holdPort, urlOf } from './process-port.ts'
import { lifeOf } from './process-run.ts'
import { admittedState, readState, saveState, type WorkloadState } from './process-state.ts'
import { inTurn, type Place, type ProcessSettings } from './process-turn.ts'

/** See `RuntimeDriver.reserve`. */
export function reserveAddress(
  settings: ProcessSettings,
  ref: WorkloadRef,
  fence: Fence,
  signal: AbortSignal,
): Promise<Outcome<WorkloadAddress>> {
  return inTurn(settings, ref, signal, async (place): Promise<Outcome<WorkloadAddress>> => {
    const before = await readState(place.dir, ref)
    const admission = admit(before?.fence ?? null, fence, 'reserve')
    if (!admission.admitted) return stale(admission.reason)
    const state = admittedState(before, ref, admission, settings.installation)
    const { run } = state
    if (run !== null && (await lifeOf(place.dir, run)).kind !== 'ended') {
      // Whoever listens on the port is the run itself, or soon will be: asking whether it is free would only disturb.
      await saveState(place.dir, before, state)
      return done({ url: urlOf(run.port) })
    }
    const held = await withPort(settings, place, before, state)
    return held.kind === 'done' ? done({ url: urlOf(held.value.port) }) : held
  })
}

/**
 * The workload's own port, or another one when a stranger listens on it; recorded before it is reserved.
 * For a workload of which nothing runs.
 */
export async function withPort(
  settings: ProcessSettings,
  { dir, key }: Place,
  before: WorkloadState | null,
  idle: WorkloadState,
): Promise<Outcome<{ readonly state: WorkloadState; readonly port: number }>> {
  const { from, to } = settings.portRange
  let known = before
  const own = idle.port === null ? [] : [idle.port]
  for (const port of [...own, ...candidatePorts(key, settings.portRange)]) {
    known = await saveState(dir, known, { ...idle, port })
    if (await holdPort(join(settings.root, '.ports'), key, port)) return done({ state: known, port })
  }
  await saveState(dir, known, { ...idle, port: null })
  return refused(`No port is free between ${from} and ${to}`)
}
