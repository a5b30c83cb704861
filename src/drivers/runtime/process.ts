// The process driver: workloads are processes of this machine, apps are folders of the apps folder. It keeps its own
// state on disk, fence included, so that any number of replicas on this machine and any restart of them see the same
// runs. It never starts anything that the apps folder does not name, and never waits long for anything.
import { readdir, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { done, type Fence, type Outcome, refused, stale, unreachable, working } from '../outcome.ts'
import type { OwnedWorkload, RuntimeDriver, WorkloadRef } from './driver.ts'
import { admit } from './fence.ts'
import { reserveAddress } from './process-address.ts'
import { isReserved, resolveApp } from './process-app.ts'
import { ensureWorkload } from './process-ensure.ts'
import { errorCode } from './process-files.ts'
import { readLogTail } from './process-log.ts'
import { observeRun, observeWorkload } from './process-observe.ts'
import { type PortRange, releasePort } from './process-port.ts'
import { lifeOf, pressEnd } from './process-run.ts'
import { admittedState, holdsPort, readState, saveState, tidy, type WorkloadState } from './process-state.ts'
import { guarded, inTurn, type ProcessSettings, placeOf } from './process-turn.ts'

export interface ProcessDriverOptions {
  /** Stands on all that is made: only what carries it is told as owned. */
  readonly installation: string
  /** Folder of the apps that may be run; nothing else is. */
  readonly appsDir: string
  /** Everything is kept under `<dataDir>/runtime`. Must be on a local disk. */
  readonly dataDir: string
  /** PATH of the workloads: by default the folder of this Node and the system's usual ones. */
  readonly path?: string
  /** From SIGTERM to SIGKILL; default 5000. */
  readonly stopGraceMs?: number
  /** Default 20000 to 29999: below the ports that Linux and macOS give to outgoing connections. */
  readonly portRange?: PortRange
  /** Of each of the two log files of a workload; default 1 MiB. */
  readonly logBytes?: number
  /** Of one health check of an app that comes up; default 1000. A run that was healthy has twice as long. */
  readonly probeTimeoutMs?: number
  /** How long a call waits for another one on the same workload; default 2000. */
  readonly lockWaitMs?: number
  /** How long the fence of a removed workload is kept; default 30 days. */
  readonly keepFencesMs?: number
}

const MIB = 1024 * 1024
const DAY_MS = 86_400_000
const ASK_AGAIN_MS = 100

/** Makes the driver; touches nothing until it is called. */
export function createProcessDriver(options: ProcessDriverOptions): RuntimeDriver {
  const settings: ProcessSettings = {
    installation: options.installation,
    appsDir: resolve(options.appsDir),
    root: resolve(options.dataDir, 'runtime'),
    path: options.path ?? `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    stopGraceMs: options.stopGraceMs ?? 5000,
    portRange: options.portRange ?? { from: 20_000, to: 29_999 },
    logBytes: options.logBytes ?? MIB,
    probeTimeoutMs: options.probeTimeoutMs ?? 1000,
    lockWaitMs: options.lockWaitMs ?? 2000,
    keepFencesMs: options.keepFencesMs ?? 30 * DAY_MS,
  }
  return {
    name: 'process',
    reserves: isReserved,
    async resolveImage(image, signal) {
      if (signal.aborted) return unreachable('Given up before anything was done')
      return guarded(async () => {
        const resolved = await resolveApp(settings.appsDir, image)
        return 'app' in resolved ? done({ image: resolved.app.image }) : refused(resolved.reason)
      })
    },
    async reserve(ref, fence, signal) {
      return wrongFence(ref, fence) ?? reserveAddress(settings, ref, fence, signal)
    },
    async ensure(spec, fence, signal) {
      return wrongFence(spec, fence) ?? ensureWorkload(settings, spec, fence, signal)
    },
    async observe(ref, signal) {
      return guarded(() => observeWorkload(settings, ref, signal))
    },
    async observeInstance(ref, instanceId, signal) {
      return observeRun(settings, ref, instanceId, signal)
    },
    async stop(ref, fence, signal) {
      return wrongFence(ref, fence) ?? end(settings, ref, fence, 'stop', signal)
    },
    async remove(ref, fence, signal) {
      return wrongFence(ref, fence) ?? end(settings, ref, fence, 'remove', signal)
    },
    async logs(ref, maxBytes, signal) {
      const place = placeOf(settings, ref)
      if (place === null) return refused('The ids of the workload cannot be part of a file name')
      if (signal.aborted) return unreachable('Given up before anything was done')
      const bounded = Math.max(0, Math.min(Math.trunc(maxBytes), 2 * settings.logBytes))
      return guarded(async () => done(await readLogTail(place.dir, bounded)))
    },
    async listOwned(signal) {
      return guarded(() => listOwned(settings, signal))
    },
  }
}

function wrongFence(ref: WorkloadRef, fence: Fence): Outcome<never> | null {
  return fence.subjectId === ref.subjectId ? null : refused('The fence is that of another subject')
}

/** Stop and remove: the same end of the run, the one keeping what was there, its port too, the other only the fence. */
function end(
  settings: ProcessSettings,
  ref: WorkloadRef,
  fence: Fence,
  call: 'stop' | 'remove',
  signal: AbortSignal,
): Promise<Outcome<null>> {
  return inTurn(settings, ref, signal, async ({ dir, key }): Promise<Outcome<null>> => {
    const before = await readState(dir, ref)
    const admission = admit(before?.fence ?? null, fence, call)
    if (!admission.admitted) return stale(admission.reason)
    const admitted = admittedState(before, ref, admission, settings.installation)
    const state: WorkloadState = { ...admitted, verdict: null, starts: 0 }
    const run = state.run && { ...state.run, stoppingAt: state.run.stoppingAt ?? Date.now() }
    const asked = await saveState(dir, before, { ...state, run })
    const life = run && (await pressEnd(dir, run, settings.stopGraceMs))
    if (life !== null && life.kind !== 'ended') return working(ASK_AGAIN_MS, 'Waiting for the app to end')
    if (call === 'stop') return done(null)
    const ended = run === null ? asked.ended : [...asked.ended, run.instanceId]
    // Given back before it is forgotten: after a crash between the two, the next call still knows which one it was.
    if (asked.port !== null) await releasePort(join(settings.root, '.ports'), key, asked.port)
    const removed = { ...asked, port: null, run: null, ended, fence: { ...asked.fence, removed: true } }
    await tidy(dir, await saveState(dir, asked, removed))
    return done(null)
  })
}

async function listOwned(settings: ProcessSettings, signal: AbortSignal): Promise<Outcome<readonly OwnedWorkload[]>> {
  const owned: OwnedWorkload[] = []
  const names = await namesIn(settings.root)
  if (names === null) return unreachable('The folder of the workloads could not be read')
  for (const name of names.filter((entry) => !entry.startsWith('.'))) {
    if (signal.aborted) return unreachable('Given up while the workloads were listed')
    const dir = join(settings.root, name)
    const state = await readState(dir)
    if (state === null) continue
    const { subjectId, incarnation, run, fence } = state
    if (run === null && !holdsPort(state)) {
      if (isForgettable(settings, state)) await forget(settings, state, signal)
      continue
    }
    if (state.installation !== settings.installation) continue
    const lives = run !== null && (await lifeOf(dir, run)).kind !== 'ended' ? run : null
    const startedAt = lives && new Date(lives.startedAt)
    const { generation } = fence
    owned.push({ subjectId, incarnation, instanceId: lives?.instanceId ?? null, generation, startedAt })
  }
  return done(owned)
}

/** Nothing where there is no folder yet; null where it cannot be read, which says nothing of what is in it. */
const namesIn = (folder: string): Promise<readonly string[] | null> =>
  readdir(folder).catch((error) => (errorCode(error) === 'ENOENT' ? [] : null))

const isForgettable = (settings: ProcessSettings, state: WorkloadState): boolean =>
  state.run === null && !holdsPort(state) && Date.now() - state.changedAt > settings.keepFencesMs

/** Drops the fence of a workload that has had neither run nor port for so long that no late call can be under way. */
async function forget(settings: ProcessSettings, ref: WorkloadRef, signal: AbortSignal): Promise<void> {
  await inTurn(settings, ref, signal, async ({ dir, key }) => {
    const state = await readState(dir, ref)
    if (state === null || !isForgettable(settings, state)) return
    if (state.port !== null) await releasePort(join(settings.root, '.ports'), key, state.port)
    await rm(dir, { recursive: true, force: true })
  })
}
