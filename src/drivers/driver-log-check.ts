// Whether a log of drivers is one of a control plane that keeps its promises: a pure fold over its lines, in their order. A crash, a
// fault or a lie of a driver is nobody's flaw; what was asked for in the wrong order is.
import type { DriverLogEntry } from './driver-log.ts'

interface Thing {
  /** Of its last effect under a fence. */
  generation: number
  /** When it was removed: nothing of it comes back but by a newer wish. */
  removedAt: number | null
  readonly living: Set<string>
}

/** An operation that had an effect, as the fence named it. */
export interface Named {
  readonly operationId: string
  readonly subjectId: string
  readonly at: string
}

const brings: readonly string[] = ['reserve', 'ensure', 'provision']
/** An answer after which the driver may have done something. */
const acted = (result: string) => result !== 'stale' && result !== 'unreachable' && result !== 'thrown'
/** The fence of whoever removes orphans: no operation. */
const isSweep = (operationId: string) => operationId.startsWith('sweep-')

export interface LogChecked {
  readonly entries: number
  readonly effects: number
  readonly flaws: readonly string[]
  /** Each operation once, with its first effect. */
  readonly operations: readonly Named[]
}

/** Reads all of it; remembers what is told of each thing and each operation, not the lines. */
export async function checkDriverLog(
  log: AsyncIterable<DriverLogEntry> | Iterable<DriverLogEntry>,
): Promise<LogChecked> {
  const things = new Map<string, Thing>()
  const ownerOf = new Map<string, Thing>()
  const operations = new Map<string, Named>()
  const flaws: string[] = []
  let [entries, effects] = [0, 0]
  for await (const { at, driver, call, ref, fence, effects: changed, result } of log) {
    entries += 1
    effects += changed.length
    const name = ref && `${ref.subjectId} ${ref.incarnation}`
    const wrong = (flaw: string) => flaws.push(`${name}: ${call} at ${at}: ${flaw}`)
    const fresh = (): Thing => ({ generation: 0, removedAt: null, living: new Set() })
    const thing = name === null ? fresh() : (things.get(`${driver} ${name}`) ?? fresh())
    if (name !== null) things.set(`${driver} ${name}`, thing)
    // What vanishes while a call comes in is told in the line of that call, which has not done it.
    const own = changed.some(({ effect }) => effect !== 'ended' || result === 'done' || result === 'working')
    if (fence && own && fence.generation < thing.generation)
      wrong(`takes effect for generation ${fence.generation}, after one for ${thing.generation}`)
    // A newer wish for a service of that name: it may be there again, and go again.
    const isBack = fence !== null && brings.includes(call) && acted(result)
    if (isBack && thing.removedAt !== null && fence.generation > thing.removedAt) thing.removedAt = null
    for (const { effect, instanceId } of changed) {
      if (effect === 'ended') {
        const id = String(instanceId)
        const owner = ownerOf.get(id)
        if (owner !== undefined && !owner.living.delete(id)) wrong(`ends ${id} a second time`)
        continue
      }
      if (thing.removedAt !== null)
        wrong(effect === 'removed' ? 'removes it a second time' : `it was removed, and is ${effect} again`)
      if (effect === 'started') {
        const [other] = thing.living
        if (other !== undefined) wrong(`starts ${instanceId} while ${other} runs`)
        thing.living.add(String(instanceId))
        ownerOf.set(String(instanceId), thing)
      }
      if (effect === 'removed') {
        const [left] = thing.living
        if (left !== undefined) wrong(`it is removed, and ${left} runs on`)
        thing.removedAt = fence?.generation ?? thing.generation
      }
    }
    if (fence === null || changed.length === 0) continue
    thing.generation = Math.max(thing.generation, fence.generation)
    const { operationId, subjectId } = fence
    if (!isSweep(operationId) && !operations.has(operationId))
      operations.set(operationId, { operationId, subjectId, at })
  }
  return { entries, effects, flaws, operations: [...operations.values()] }
}
