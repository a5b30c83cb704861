// The world that fake drivers act on: workloads in memory, with the same fence and the same rules as the real ones
// and nothing that waits. It outlives the driver instances that share it, as processes outlive a control plane.
import { done, type Fence, type Outcome, refused, stale, working } from '../outcome.ts'
import type {
  InstanceObservation,
  Observation,
  OwnedWorkload,
  RunningWorkload,
  WorkloadAddress,
  WorkloadRef,
  WorkloadSpec,
} from './driver.ts'
import { admit, type FencedCall, type SeenFence } from './fence.ts'

export type FakeAppKind = 'healthy' | 'unhealthy' | 'crashing' | 'unknown'
/** `reserved` is told of a reservation that came before any run; the one that comes with a run is part of it. */
export type FakeEffect = 'reserved' | 'started' | 'ended' | 'removed'

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
  /** The url is held for it: since it was first reserved or started, until it is removed. */
  reserved: boolean
  fence: SeenFence
  /** The run that is there, or the last one. */
  run: FakeRun | null
  operationId: string
  alive: boolean
  /** Its health check has passed, for the first time. */
  healthy: boolean
  /** It was told to fail its health check from then on. */
  sick: boolean
  asked: number
  endReason: string
  verdict: string | null
  readonly ended: string[]
}

const ASK_AGAIN_MS = 1
const MAX_LABEL_CHARS = 63
const keyOf = (ref: WorkloadRef): string => `${ref.subjectId}-${ref.incarnation}`

/** The same for the same workload in every world; an incarnation too long for one label of a host name takes two. */
function urlOf({ incarnation }: WorkloadRef): string {
  const labels = incarnation.toLowerCase().match(new RegExp(`.{1,${MAX_LABEL_CHARS}}`, 'g')) ?? []
  return `http://${[...labels, 'fake', 'invalid'].join('.')}`
}

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

  /** Whether an address is held for the workload. */
  isReserved(ref: WorkloadRef): boolean {
    return this.#workloads.get(keyOf(ref))?.reserved ?? false
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

  /** Whether the health check of the run that is there passes from now on. */
  setHealth(ref: WorkloadRef, healthy: boolean): void {
    const workload = this.#workloads.get(keyOf(ref))
    if (workload) workload.sick = !healthy
  }

  resolveImage(image: string): Outcome<{ image: string }> {
    if (this.#kindOf(image) !== 'unknown') return done({ image })
    return refused(`There is no app named ${JSON.stringify(image)}; any other name is an app here`)
  }

  reserve(ref: WorkloadRef, fence: Fence): Outcome<WorkloadAddress> {
    const admitted = this.#admit(ref, fence, 'reserve')
    if ('kind' in admitted) return admitted
    const { workload } = admitted
    if (!workload.reserved) this.#effects.push({ effect: 'reserved', instanceId: null })
    workload.reserved = true
    return done({ url: workload.url })
  }

  ensure(spec: WorkloadSpec, fence: Fence): Outcome<RunningWorkload> {
    const admitted = this.#admit(spec, fence, 'ensure')
    if ('kind' in admitted) return admitted
    const { workload } = admitted
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
    const { url, endReason } = workload
    const healthy = workload.healthy && !workload.sick
    const { instanceId, generation } = workload.run
    if (!workload.alive) return done({ state: 'exited', instanceId, generation, reason: endReason })
    return done({ state: 'running', instanceId, url, generation, healthy })
  }

  observeInstance(ref: WorkloadRef, instanceId: string): InstanceObservation {
    const workload = this.#workloads.get(keyOf(ref))
    const current = workload?.run?.instanceId === instanceId
    if (workload?.alive && current) {
      const healthy = workload.healthy && !workload.sick
      return { state: 'running', healthy, detail: healthy ? null : 'GET /healthz answered 500' }
    }
    if (!workload?.ended.includes(instanceId)) return { state: 'unknown', reason: 'Nothing is known of that run' }
    return { state: 'gone', reason: current ? workload.endReason : 'The run was ended' }
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
    workload.reserved = false
    return done(null)
  }

  logs(ref: WorkloadRef, maxBytes: number): Outcome<string> {
    const run = this.#workloads.get(keyOf(ref))?.run
    const text = run ? `${run.image} started as ${run.instanceId}\n` : ''
    return done(maxBytes <= 0 ? '' : text.slice(-maxBytes))
  }

  listOwned(): Outcome<readonly OwnedWorkload[]> {
    const there = [...this.#workloads.values()].filter(({ run, reserved }) => run !== null || reserved)
    const owned = there.map(({ ref, run, alive, fence }) => {
      const lives = alive && run !== null ? run : null
      const { generation } = fence
      return { ...ref, instanceId: lives?.instanceId ?? null, generation, startedAt: lives?.startedAt ?? null }
    })
    return done(owned)
  }

  #admit(ref: WorkloadRef, fence: Fence, call: FencedCall) {
    if (fence.subjectId !== ref.subjectId) return refused('The fence is that of another subject')
    const known = this.#workloads.get(keyOf(ref))
    const admission = admit(known?.fence ?? null, fence, call)
    if (!admission.admitted) return stale(admission.reason)
    const workload = known ?? this.#make(ref, admission.next)
    workload.fence = admission.next
    // Whichever call is an operation's first: what was said of the one before does not hold for this one.
    if (admission.firstCallOfOperation) workload.verdict = null
    return { workload }
  }

  #make({ subjectId, incarnation }: WorkloadRef, fence: SeenFence): Workload {
    const ref = { subjectId, incarnation }
    const blank = {
      run: null,
      operationId: '',
      alive: false,
      healthy: false,
      sick: false,
      asked: 0,
      endReason: '',
      verdict: null,
    }
    const workload: Workload = { ref, url: urlOf(ref), reserved: false, fence, ...blank, ended: [] }
    this.#workloads.set(keyOf(ref), workload)
    return workload
  }

  #start(workload: Workload, spec: WorkloadSpec, fence: Fence): void {
    this.#made += 1
    const instanceId = `run_fake_${this.#made}_${crypto.randomUUID()}`
    const { image, env } = spec
    workload.run = { instanceId, generation: fence.generation, image, env: { ...env }, startedAt: new Date() }
    Object.assign(workload, { reserved: true, alive: true, healthy: false, sick: false, asked: 0, endReason: '' })
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
