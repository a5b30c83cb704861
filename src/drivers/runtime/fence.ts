// The rule of the fence, pure and shared by the drivers that keep it themselves (process, fake): which call may
// still act, given what the workload has seen. Only the place where it is kept differs from driver to driver.
import type { Fence } from '../outcome.ts'

/** What a workload remembers of the calls that were let through; outlives the workload itself. */
export interface SeenFence {
  readonly generation: number
  readonly operationId: string
  readonly attempt: number
  /** Operations of this generation that a later one of the same generation has followed; oldest first. */
  readonly past: readonly string[]
  /** Set by remove: nothing of this generation or an older one starts again. */
  readonly removed: boolean
}

/** The calls that are fenced; the first two bring something into being. */
export type FencedCall = 'reserve' | 'ensure' | 'stop' | 'remove'

export type Admission =
  | { readonly admitted: true; readonly next: SeenFence; readonly firstCallOfOperation: boolean }
  | { readonly admitted: false; readonly reason: string }

/** Operations remembered per generation. A generation has one or two operations; a restart loop adds one each. */
const MAX_PAST_OPERATIONS = 64

const no = (reason: string): Admission => ({ admitted: false, reason })

/**
 * Says whether a call may act and what is seen afterwards. Refused as stale are: a lower generation; an operation
 * that another one of the same generation has followed; a lower attempt of the same operation; a `reserve` or `ensure`
 * that is not of a newer generation than the one that was removed.
 */
export function admit(seen: SeenFence | null, fence: Fence, call: FencedCall): Admission {
  const brings = call === 'reserve' || call === 'ensure'
  const { generation, operationId, attempt } = fence
  if (seen === null || generation > seen.generation) {
    const next = { generation, operationId, attempt, past: [], removed: !brings && (seen?.removed ?? false) }
    return { admitted: true, next, firstCallOfOperation: true }
  }
  if (generation < seen.generation) return no(`Generation ${generation} is older than ${seen.generation}, already seen`)
  if (seen.removed) {
    if (brings) return no(`The workload was removed at generation ${seen.generation}`)
    return { admitted: true, next: seen, firstCallOfOperation: false }
  }
  if (operationId === seen.operationId) {
    if (attempt < seen.attempt) return no(`Attempt ${attempt} is older than ${seen.attempt}, already seen`)
    return { admitted: true, next: { ...seen, attempt }, firstCallOfOperation: false }
  }
  if (seen.past.includes(operationId)) return no('A later operation of the same generation has followed this one')
  const past = [...seen.past, seen.operationId].slice(-MAX_PAST_OPERATIONS)
  return {
    admitted: true,
    next: { generation, operationId, attempt, past, removed: false },
    firstCallOfOperation: true,
  }
}
