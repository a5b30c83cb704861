// The decision of `ensure`: adopt, replace, start, judge or refuse. Two short turns under the workload's lock with
// the health check between them; every turn records before it acts, so a later turn, in this process or in another,
// goes on from wherever an earlier one was cut off.
import { done, type Fence, type Outcome, refused, stale, unknown, unreachable, working } from '../outcome.ts'
import type { RunningWorkload, WorkloadSpec } from './driver.ts'
import { admit } from './fence.ts'
import { withPort } from './process-address.ts'
import { type App, refuseEnv, resolveApp } from './process-app.ts'
import { checkHealth } from './process-health.ts'
import { isFree, urlOf } from './process-port.ts'
import { describeExit, type Life, launch, newInstanceId, pressEnd, readExit, settleLaunch } from './process-run.ts'
import { admittedState, type RunState, readState, saveState, tidy, type WorkloadState } from './process-state.ts'
import { INSTANCE_MARK, SUBJECT_MARK } from './process-table.ts'
import { inTurn, type Place, type ProcessSettings } from './process-turn.ts'

type Answer = Outcome<RunningWorkload>
interface ToProbe {
  readonly kind: 'probe'
  readonly run: RunState
}

const ASK_AGAIN_MS = 100
/** After a health check that failed: a longer wait, so that the app's log is not full of checks. */
const ASK_UNHEALTHY_MS = 200
/** Runs per operation: one that is lost without a trace, or loses its port, is begun again; one that exits is not. */
const MAX_STARTS = 3

const running = (run: RunState): Answer => done({ instanceId: run.instanceId, url: urlOf(run.port) })
const starting = (): Answer => working(ASK_AGAIN_MS, 'Waiting for the health check')

/** See `RuntimeDriver.ensure`. */
export async function ensureWorkload(
  settings: ProcessSettings,
  spec: WorkloadSpec,
  fence: Fence,
  signal: AbortSignal,
): Promise<Answer> {
  const turn = await inTurn(settings, spec, signal, (place) => decide(settings, place, spec, fence, signal))
  if (turn.kind !== 'probe') return turn
  const { run } = turn
  const health = await checkHealth(run.port, run.healthPath, settings.probeTimeoutMs, signal)
  if (health.kind === 'aborted') return unknown('Given up while the health check was asked')
  const overdue = Date.now() - run.judgedFrom >= run.healthDeadlineMs
  if (health.kind === 'unhealthy' && !overdue) return working(ASK_UNHEALTHY_MS, health.detail)
  return inTurn(settings, spec, signal, async ({ dir }): Promise<Answer> => {
    const before = await readState(dir, spec)
    const admission = admit(before?.fence ?? null, fence, 'ensure')
    if (!admission.admitted) return stale(admission.reason)
    if (before?.run?.instanceId !== run.instanceId || before.run.stoppingAt !== null) return starting()
    const life = await settleLaunch(dir, before.run)
    // A run that ended meanwhile is not what answered: the next call finds it ended and says why.
    if (life.kind !== 'alive' || (await readExit(dir, run.instanceId)) !== null) return starting()
    if (health.kind === 'unhealthy') {
      const reason = `${health.detail} for ${run.healthDeadlineMs / 1000} s`
      return condemn(settings, dir, before, { ...before, fence: admission.next }, reason)
    }
    const healthy = { ...before.run, healthyAt: Date.now() }
    await saveState(dir, before, { ...before, fence: admission.next, run: healthy })
    return running(healthy)
  })
}

async function decide(
  settings: ProcessSettings,
  place: Place,
  spec: WorkloadSpec,
  fence: Fence,
  signal: AbortSignal,
): Promise<Answer | ToProbe> {
  const { dir } = place
  const before = await readState(dir, spec)
  const admission = admit(before?.fence ?? null, fence, 'ensure')
  if (!admission.admitted) return stale(admission.reason)
  let state = admittedState(before, spec, admission, settings.installation)

  if (state.verdict !== null) return condemn(settings, dir, before, state, state.verdict)
  if (state.run !== null) {
    const { run } = state
    let life: Life = await settleLaunch(dir, run)
    const wanted = run.generation === fence.generation && run.stoppingAt === null
    if (wanted && (life.kind === 'launched' || life.kind === 'alive'))
      return adopt(dir, before, state, run, fence, life)
    const own = run.operationId === fence.operationId
    if (wanted && own && life.kind === 'ended' && life.exit !== null) {
      const when = run.healthyAt === null ? ' before its health check passed' : ' after its health check had passed'
      // All of it is gone and its port is taken: a stranger was quicker to listen, so it is tried on another one.
      const lostPort = run.healthyAt === null && state.starts < MAX_STARTS && !(await isFree(run.port))
      if (!lostPort) return condemn(settings, dir, before, state, describeExit(life.exit, when))
    }
    if (life.kind !== 'ended') {
      const ending = { ...run, stoppingAt: run.stoppingAt ?? Date.now() }
      state = await saveState(dir, before, { ...state, run: ending })
      life = await pressEnd(dir, ending, settings.stopGraceMs)
      if (life.kind !== 'ended') return working(ASK_AGAIN_MS, `Stopping the run of generation ${run.generation}`)
    }
    state = { ...state, run: null, ended: [...state.ended, run.instanceId] }
  }
  if (state.starts >= MAX_STARTS) {
    return condemn(settings, dir, before, state, `The app was lost without a trace ${state.starts} times`)
  }
  const bad = refuseEnv(spec.env)
  const resolved = bad === null ? await resolveApp(settings.appsDir, spec.image) : { reason: bad }
  if ('reason' in resolved) return condemn(settings, dir, before, state, resolved.reason)
  if (signal.aborted) return unreachable('Given up before the app was started')
  return start(settings, place, before, state, spec, resolved.app)
}

/** The run is there already. A later operation of its generation takes it over and gives it a deadline of its own. */
async function adopt(
  dir: string,
  before: WorkloadState | null,
  state: WorkloadState,
  run: RunState,
  fence: Fence,
  life: Life,
): Promise<Answer | ToProbe> {
  const own = run.operationId === fence.operationId
  const adopted = own ? run : { ...run, operationId: fence.operationId, judgedFrom: Date.now(), healthyAt: null }
  await saveState(dir, before, { ...state, run: adopted })
  if (life.kind === 'launched') return starting()
  if ((await readExit(dir, run.instanceId)) !== null) return working(ASK_AGAIN_MS, 'The app is ending')
  return adopted.healthyAt === null ? { kind: 'probe', run: adopted } : running(adopted)
}

/** Records why the operation is refused, then ends whatever runs; `refused` is answered when nothing does any more. */
async function condemn(
  settings: ProcessSettings,
  dir: string,
  before: WorkloadState | null,
  state: WorkloadState,
  reason: string,
): Promise<Answer> {
  const run = state.run && { ...state.run, stoppingAt: state.run.stoppingAt ?? Date.now() }
  await saveState(dir, before, { ...state, run, verdict: reason })
  const life = run && (await pressEnd(dir, run, settings.stopGraceMs))
  return life === null || life.kind === 'ended' ? refused(reason) : working(ASK_AGAIN_MS, `Stopping: ${reason}`)
}

async function start(
  settings: ProcessSettings,
  place: Place,
  before: WorkloadState | null,
  idle: WorkloadState,
  spec: WorkloadSpec,
  app: App,
): Promise<Answer> {
  const { dir, key } = place
  const held = await withPort(settings, place, before, idle)
  if (held.kind !== 'done') return held
  const now = Date.now()
  const run: RunState = {
    instanceId: newInstanceId(),
    generation: idle.fence.generation,
    operationId: idle.fence.operationId,
    image: app.image,
    port: held.value.port,
    healthPath: app.healthPath,
    healthDeadlineMs: app.healthDeadlineMs,
    startedAt: now,
    judgedFrom: now,
    healthyAt: null,
    stoppingAt: null,
  }
  const state = await saveState(dir, held.value.state, { ...held.value.state, run, starts: idle.starts + 1 })
  await tidy(dir, state)
  const env = { ...spec.env, ...facts(settings, spec, run) }
  const { logBytes, stopGraceMs } = settings
  const order = { dir, instanceId: run.instanceId, command: app.command, cwd: app.dir, logBytes, stopGraceMs }
  launch({ ...order, env, secrets: spec.env }, `pawl-workload ${key} generation ${run.generation}`)
  return starting()
}

/** All that a workload is told besides the caller's own variables. */
const facts = (settings: ProcessSettings, spec: WorkloadSpec, run: RunState): Record<string, string> => ({
  PATH: settings.path,
  HOST: '127.0.0.1',
  PORT: String(run.port),
  PAWL_NAME: spec.name,
  PAWL_IMAGE: run.image,
  [SUBJECT_MARK]: spec.subjectId,
  PAWL_GENERATION: String(run.generation),
  [INSTANCE_MARK]: run.instanceId,
})
