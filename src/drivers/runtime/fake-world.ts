// The world that fake drivers act on: workloads in memory, with the same fence and the same rules as the real ones
// and nothing that waits. It outlives the driver instances that share it, as processes outlive a control plane.
import { done, type Fence, type Outcome, refused, stale, working } from '../outcome.ts'
import type { Observation, OwnedWorkload, RunningWorkload, WorkloadRef, WorkloadSpec } from './driver.ts'
import { admit, type SeenFence } from './fence.ts'

export type FakeAppKind = 'healthy' | 'unhealthy' | 'crashing' | 'unknown'
export type FakeEffect = 'started' | 'ended' | 'removed'

export interface FakeRun {
  readonly instanceId: string
  readonly generation: number
  readonly image: string
  readonly env: Readonly<Record<string, string>>
  readonly startedAt: Date
}
interface Workload {
  readonly ref: WorkloadRef
  readonly url: string
  fence: SeenFence
  /** The run that is there, or the last one. */
  run: FakeRun | null
  operationId: string
  alive: boolean
  healthy: boolean
  asked: number
  endReason: string
  verdict: string | null
  readonly ended: string[]
}

const ASK_AGAIN_MS = 1
const keyOf = (ref: WorkloadRef): string => `${ref.subjectId}-${ref.incarnation}`

export interface FakeWorldOptions {
  /** What an image does; default: `unhealthy`, `crashing` and `unknown…` do as they say, all others are healthy. */
  readonly kindOf?: (image: string) => FakeAppKind
  /** How often `ensure` answers `working` before a healthy app is `done`; default 1. */
  readonly asksUntilHealthy?: number
}

const kindByName = (image: string): FakeAppKind => {
  if (image === 'unhealthy' || image === 'crashing') return image
  return image.startsWith('unknown') || !/^[a-z0-9][a-z0-9._:/@-]*$/.test(image) ? 'unknown' : 'healthy'
}

export class FakeWorld {
  readonly #workloads = new Map<string, Workload>()
  readonly #kindOf: (image: string) => FakeAppKind
  readonly #asksUntilHealthy: number
  #made = 0
  /** Effects since they were last taken, in order. */
  #effects: { effect: FakeEffect; instanceId: string | null }[] = []

  constructor(options: FakeWorldOptions = {}) {
    this.#kindOf = options.kindOf ?? kindByName
    this.#asksUntilHealthy = options.asksUntilHealthy ?? 1
  }

  takeEffects(): readonly { effect: FakeEffect; instanceId: string | null }[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** The living run of a workload, as a look at the machine would show it. */
  liveRun(ref: WorkloadRef): FakeRun | null {
    const workload = this.#workloads.get(keyOf(ref))
    return workload?.alive ? workload.run : null
  }

  liveRuns(): readonly (WorkloadRef & { readonly run: FakeRun })[] {
    const all = [...this.#workloads.values()]
    return all.flatMap(({ ref, alive, run }) => (alive && run !== null ? [{ ...ref, run }] : []))
  }

  /** Ends the run from outside, as a crash would. */
  crash(ref: WorkloadRef, reason = 'The app exited with code 1'): void {
    const workload = this.#workloads.get(keyOf(ref))
    if (workload) this.#end(workload, reason)
  }

  resolveImage(image: string): Outcome<{ image: string }> {
    if (this.#kindOf(image) !== 'unknown') return done({ image })
    return refused(`There is no app named ${JSON.stringify(image)}; any other name is an app here`)
  }

  ensure(spec: WorkloadSpec, fence: Fence): Outcome<RunningWorkload> {
    const admitted = this.#admit(spec, fence, 'ensure')
    if ('kind' in admitted) return admitted
    const { workload, first } = admitted
    if (first) workload.verdict = null
    if (workload.verdict !== null) return refused(workload.verdict)
    const { run } = workload
    const wanted = run !== null && run.generation === fence.generation
    if (wanted && !workload.alive && workload.operationId === fence.operationId && workload.endReason !== '') {
      return this.#condemn(workload, workload.endReason)
    }
    if (!(wanted && workload.alive)) {
      this.#end(workload, 'The app was stopped on request')
      const resolved = this.resolveImage(spec.image)
      if (resolved.kind === 'refused') return this.#condemn(workload, resolved.reason)
      this.#start(workload, spec, fence)
    }
    workload.operationId = fence.operationId
    return this.#judge(workload, spec.image)
  }

  observe(ref: WorkloadRef): Outcome<Observation> {
    const workload = this.#workloads.get(keyOf(ref))
    if (!workload?.run) return done({ state: 'absent' })
    const { url, healthy, endReason } = workload
    const { instanceId, generation } = workload.run
    if (!workload.alive) return done({ state: 'exited', instanceId, generation, reason: endReason })
    return done({ state: 'running', instanceId, url, generation, healthy })
  }

  observeInstance(ref: WorkloadRef, instanceId: string): 'running' | 'gone' | 'unknown' {
    const workload = this.#workloads.get(keyOf(ref))
    if (workload?.alive && workload.run?.instanceId === instanceId) return 'running'
    return workload?.ended.includes(instanceId) ? 'gone' : 'unknown'
  }

  end(ref: WorkloadRef, fence: Fence, call: 'stop' | 'remove'): Outcome<null> {
    const admitted = this.#admit(ref, fence, call)
    if ('kind' in admitted) return admitted
    const { workload } = admitted
    this.#end(workload, 'The app was stopped on request')
    workload.verdict = null
    workload.operationId = fence.operationId
    if (call === 'stop') return done(null)
    if (!workload.fence.removed) this.#effects.push({ effect: 'removed', instanceId: workload.run?.instanceId ?? null })
    workload.fence = { ...workload.fence, removed: true }
    workload.run = null
    return done(null)
  }

  logs(ref: WorkloadRef, maxBytes: number): Outcome<string> {
    const run = this.#workloads.get(keyOf(ref))?.run
    const text = run ? `${run.image} started as ${run.instanceId}\n` : ''
    return done(maxBytes <= 0 ? '' : text.slice(-maxBytes))
  }

  listOwned(): Outcome<readonly OwnedWorkload[]> {
    const owned = [...this.#workloads.values()].flatMap(({ ref, run, alive }) => {
      if (run === null) return []
      const lives = alive
        ? { instanceId: run.instanceId, startedAt: run.startedAt }
        : { instanceId: null, startedAt: null }
      return [{ ...ref, ...lives, generation: run.generation }]
    })
    return done(owned)
  }

  #admit(ref: WorkloadRef, fence: Fence, call: 'ensure' | 'stop' | 'remove') {
    if (fence.subjectId !== ref.subjectId) return refused('The fence is that of another subject')
    const known = this.#workloads.get(keyOf(ref))
    const admission = admit(known?.fence ?? null, fence, call)
    if (!admission.admitted) return stale(admission.reason)
    const workload = known ?? this.#make(ref, admission.next)
    workload.fence = admission.next
    return { workload, first: admission.firstCallOfOperation }
  }

  #make({ subjectId, incarnation }: WorkloadRef, fence: SeenFence): Workload {
    const ref = { subjectId, incarnation }
    const url = `http://${incarnation.toLowerCase()}.fake.invalid`
    const blank = { run: null, operationId: '', alive: false, healthy: false, asked: 0, endReason: '', verdict: null }
    const workload: Workload = { ref, url, fence, ...blank, ended: [] }
    this.#workloads.set(keyOf(ref), workload)
    return workload
  }

  #start(workload: Workload, spec: WorkloadSpec, fence: Fence): void {
    this.#made += 1
    const instanceId = `run_fake_${this.#made}_${crypto.randomUUID()}`
    const { image, env } = spec
    workload.run = { instanceId, generation: fence.generation, image, env: { ...env }, startedAt: new Date() }
    Object.assign(workload, { alive: true, healthy: false, asked: 0, endReason: '' })
    this.#effects.push({ effect: 'started', instanceId })
  }

  #end(workload: Workload, reason: string): void {
    if (!workload.alive || workload.run === null) return
    Object.assign(workload, { alive: false, healthy: false, endReason: reason })
    workload.ended.push(workload.run.instanceId)
    this.#effects.push({ effect: 'ended', instanceId: workload.run.instanceId })
  }

  #judge(workload: Workload, image: string): Outcome<RunningWorkload> {
    const kind = this.#kindOf(image)
    workload.asked += 1
    if (workload.asked <= this.#asksUntilHealthy) return working(ASK_AGAIN_MS, 'Waiting for the health check')
    if (kind === 'crashing') return this.#condemn(workload, 'The app exited with code 1 before its health check passed')
    if (kind === 'unhealthy') return this.#condemn(workload, 'GET /healthz answered 500 for 10 s')
    workload.healthy = true
    return done({ instanceId: workload.run?.instanceId ?? '', url: workload.url })
  }

  #condemn(workload: Workload, reason: string): Outcome<never> {
    workload.verdict = reason
    this.#end(workload, reason)
    return refused(reason)
  }
}
