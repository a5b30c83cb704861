// The world that fake provisioners act on: resources in memory, with the same fence and the same rules as the real ones and
// nothing that waits. It outlives the provisioners that share it, as databases outlive a control plane.
import { done, type Fence, type Outcome, refused } from '../outcome.ts'
import { admitCall, type CallKind, foreign, ofAnother, physicalName, type SeenFence, senseless } from './admission.ts'
import type { OwnedResource, ResourceConnection, ResourceObservation, ResourceRef, ResourceSpec } from './driver.ts'

export type FakeEffect = 'made' | 'paused' | 'resumed' | 'rotated' | 'frozen' | 'thawed' | 'removed'

/** A client's session; ends when the resource is paused, rotated or removed. */
export interface FakeSession {
  readonly data: Map<string, string>
  readonly writable: boolean
  alive: boolean
}

interface Resource {
  readonly subjectId: string
  readonly incarnation: string
  seen: SeenFence
  there: boolean
  open: boolean
  writable: boolean
  password: string
  data: Map<string, string>
  sessions: Set<FakeSession>
}

export class FakeWorld {
  readonly #resources = new Map<string, Resource>()
  readonly #foreign = new Set<string>()
  #effects: { effect: FakeEffect; incarnation: string }[] = []

  /** Effects since they were last taken, in order. */
  takeEffects(): readonly { effect: FakeEffect; incarnation: string }[] {
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  provision(spec: ResourceSpec, fence: Fence): Outcome<ResourceConnection> {
    const admitted = this.#admit(spec, fence, 'make', spec.password)
    if ('kind' in admitted) return admitted
    if (!admitted.there) this.#effects.push({ effect: 'made', incarnation: spec.incarnation })
    if (admitted.password !== spec.password) endSessions(admitted)
    Object.assign(admitted, { there: true, open: true, password: spec.password })
    return connection(spec)
  }

  observe(ref: ResourceRef): Outcome<ResourceObservation> {
    const nonsense = senseless(ref, null)
    if (nonsense !== null) return nonsense
    const resource = this.#resources.get(ref.incarnation)
    if (this.#foreign.has(ref.incarnation)) return foreign(ref)
    if (!resource?.there) return done({ state: 'absent' })
    if (resource.subjectId !== ref.subjectId) return ofAnother(ref)
    const sizeBytes = [...resource.data].join('').length
    return done({ state: resource.open ? 'active' : 'paused', generation: resource.seen.generation, sizeBytes })
  }

  /** Pause and resume. */
  turn(ref: ResourceRef, fence: Fence, open: boolean): Outcome<null> {
    const admitted = this.#admit(ref, fence, 'change')
    if ('kind' in admitted) return admitted
    if (!admitted.there) return refused('The resource is not there')
    if (admitted.open !== open) {
      this.#effects.push({ effect: open ? 'resumed' : 'paused', incarnation: ref.incarnation })
    }
    admitted.open = open
    if (!open) endSessions(admitted)
    return done(null)
  }

  rotate(spec: ResourceSpec, fence: Fence): Outcome<ResourceConnection> {
    const admitted = this.#admit(spec, fence, 'change', spec.password)
    if ('kind' in admitted) return admitted
    if (!admitted.there) return refused('The resource is not there')
    if (admitted.password !== spec.password) {
      this.#effects.push({ effect: 'rotated', incarnation: spec.incarnation })
      endSessions(admitted)
    }
    admitted.password = spec.password
    return connection(spec)
  }

  setWritable(ref: ResourceRef, writable: boolean, fence: Fence): Outcome<null> {
    const admitted = this.#admit(ref, fence, 'change')
    if ('kind' in admitted) return admitted
    if (!admitted.there) return refused('The resource is not there')
    if (admitted.writable !== writable) {
      this.#effects.push({ effect: writable ? 'thawed' : 'frozen', incarnation: ref.incarnation })
      endSessions(admitted)
    }
    admitted.writable = writable
    return done(null)
  }

  deprovision(ref: ResourceRef, fence: Fence): Outcome<null> {
    const admitted = this.#admit(ref, fence, 'remove')
    if ('kind' in admitted) return admitted
    if (admitted.there) this.#effects.push({ effect: 'removed', incarnation: ref.incarnation })
    endSessions(admitted)
    Object.assign(admitted, { there: false, open: false, writable: true, password: '', data: new Map() })
    return done(null)
  }

  listOwned(): Outcome<readonly OwnedResource[]> {
    const there = [...this.#resources.values()].filter((resource) => resource.there)
    return done(
      there.map(({ subjectId, incarnation, seen }) => ({ subjectId, incarnation, generation: seen.generation })),
    )
  }

  /** What a client does with a URL; throws when it is refused. */
  connect(url: string): FakeSession {
    const { username, password } = new URL(url)
    const resource = [...this.#resources.values()].find((one) => physicalName(one) === username)
    if (!resource?.there || !resource.open || resource.password !== password) throw new Error('Connection refused')
    const session = { data: resource.data, writable: resource.writable, alive: true }
    resource.sessions.add(session)
    return session
  }

  /** Whether it is there, past the provisioner. */
  exists(ref: ResourceRef): boolean {
    return this.#foreign.has(ref.incarnation) || this.#resources.get(ref.incarnation)?.there === true
  }

  /** Somebody else makes a thing of that name. */
  plantForeign(ref: ResourceRef): void {
    this.#foreign.add(ref.incarnation)
  }

  /** It goes without being asked, as when somebody drops it by hand. */
  vanish(ref: ResourceRef): void {
    const resource = this.#resources.get(ref.incarnation)
    if (!resource) return
    endSessions(resource)
    Object.assign(resource, { there: false, open: false, data: new Map() })
  }

  #admit(ref: ResourceRef, fence: Fence, call: CallKind, password?: string) {
    const nonsense = senseless(ref, fence, password)
    if (nonsense !== null) return nonsense
    if (this.#foreign.has(ref.incarnation)) return foreign(ref)
    const resource = this.#resources.get(ref.incarnation)
    if (resource !== undefined && resource.subjectId !== ref.subjectId) return ofAnother(ref)
    const seen = admitCall(resource?.seen ?? null, fence, call)
    if ('kind' in seen) return seen
    if (resource !== undefined) {
      resource.seen = seen
      return resource
    }
    const { subjectId, incarnation } = ref
    const nothing = {
      there: false,
      open: false,
      writable: true,
      password: '',
      data: new Map(),
      sessions: new Set<FakeSession>(),
    }
    const made: Resource = { subjectId, incarnation, seen, ...nothing }
    this.#resources.set(incarnation, made)
    return made
  }
}

function endSessions(resource: Resource): void {
  for (const session of resource.sessions) session.alive = false
  resource.sessions.clear()
}

const connection = (spec: ResourceSpec): Outcome<ResourceConnection> =>
  done({ url: `fake://${physicalName(spec)}:${spec.password}@127.0.0.1/${physicalName(spec)}` })
