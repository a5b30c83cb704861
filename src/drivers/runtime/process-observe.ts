// What is there, told without changing anything: of a workload, and of one very run with its health.
import { done, type Outcome, unreachable } from '../outcome.ts'
import type { InstanceObservation, Observation, WorkloadRef } from './driver.ts'
import { checkHealth } from './process-health.ts'
import { urlOf } from './process-port.ts'
import { describeExit, type Life, lifeOf, readExit } from './process-run.ts'
import { type RunState, readState } from './process-state.ts'
import { guarded, type ProcessSettings, placeOf } from './process-turn.ts'

/** How many times as long as one that comes up a run that was healthy may take for its answer. */
const PATIENCE = 2

const unknown = (reason: string): InstanceObservation => ({ state: 'unknown', reason })

/** See `RuntimeDriver.observe`. */
export async function observeWorkload(
  settings: ProcessSettings,
  ref: WorkloadRef,
  signal: AbortSignal,
): Promise<Outcome<Observation>> {
  if (signal.aborted) return unreachable('Given up before anything was done')
  const place = placeOf(settings, ref)
  const state = place && (await readState(place.dir, ref))
  if (place === null || !state?.run) return done({ state: 'absent' })
  const { instanceId, generation, port, healthPath } = state.run
  const life = await lifeOf(place.dir, state.run)
  if (life.kind === 'ended') {
    const reason = state.verdict ?? describeExit(life.exit)
    return done({ state: 'exited', instanceId, generation, reason })
  }
  const mute = await whyMute(place.dir, state.run, life)
  const health = mute === null ? await checkHealth(port, healthPath, settings.probeTimeoutMs, signal) : null
  if (health?.kind === 'aborted') return unreachable('Given up while the health check was asked')
  return done({ state: 'running', instanceId, url: urlOf(port), generation, healthy: health?.kind === 'healthy' })
}

/** See `RuntimeDriver.observeInstance`. `check` is there for the test that replaces the run while its health is asked. */
export async function observeRun(
  settings: Pick<ProcessSettings, 'root' | 'probeTimeoutMs'>,
  ref: WorkloadRef,
  instanceId: string,
  signal: AbortSignal,
  check: typeof checkHealth = checkHealth,
): Promise<InstanceObservation> {
  const place = placeOf(settings, ref)
  if (place === null) return unknown('The ids of the workload cannot be part of a file name')
  if (signal.aborted) return unknown('Given up before anything was asked')
  const look = async (): Promise<InstanceObservation | { readonly run: RunState; readonly life: Life }> => {
    const state = await readState(place.dir, ref)
    if (state?.ended.includes(instanceId)) return { state: 'gone', reason: 'The run was ended' }
    if (state?.run?.instanceId !== instanceId) return unknown('Nothing is known of that run')
    const life = await lifeOf(place.dir, state.run)
    if (life.kind !== 'ended') return { run: state.run, life }
    return { state: 'gone', reason: state.verdict ?? describeExit(life.exit) }
  }
  const seen = await guarded(async (): Promise<InstanceObservation> => {
    const before = await look()
    if ('state' in before) return before
    const { run, life } = before
    const mute = await whyMute(place.dir, run, life)
    if (mute !== null) return { state: 'running', healthy: false, detail: mute }
    const health = await check(run.port, run.healthPath, PATIENCE * settings.probeTimeoutMs, signal)
    if (health.kind === 'aborted') return unknown('Given up while the health check was asked')
    // Who answered, or did not, may be the run that has taken its place on the same port.
    const after = await look()
    if ('state' in after) return after
    const detail = health.kind === 'healthy' ? null : health.detail
    return { state: 'running', healthy: detail === null, detail }
  })
  return 'state' in seen ? seen : unknown(seen.reason)
}

/** Why a run that is there is not asked for its health: null when it is. */
async function whyMute(dir: string, { instanceId }: RunState, life: Life): Promise<string | null> {
  if (life.kind === 'launched') return 'The app is starting'
  return (await readExit(dir, instanceId)) === null ? null : 'The app is ending'
}
