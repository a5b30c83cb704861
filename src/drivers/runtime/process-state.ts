// What is known of one workload, on disk: `<dataDir>/runtime/<subjectId>-<incarnation>/state.json`. Written only
// under the workload's lock, and always before the effect that it speaks of; read by anyone at any time.
// The fence outlives the workload: a removed one keeps its state.json alone until its fence is old enough to drop.
import { mkdir, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import type { WorkloadRef } from './driver.ts'
import type { Admission } from './fence.ts'
import { readIfThere, stateFile, writeDurably } from './process-files.ts'

const runSchema = z.strictObject({
  instanceId: z.string(),
  generation: z.int(),
  /** The operation that the run is for now; a later one of the same generation adopts the run. */
  operationId: z.string(),
  image: z.string(),
  port: z.int(),
  healthPath: z.string(),
  healthDeadlineMs: z.int(),
  /** Epoch milliseconds, here and below. */
  startedAt: z.number(),
  /** The health deadline counts from here: the start, or the adoption by a later operation. */
  judgedFrom: z.number(),
  healthyAt: z.number().nullable(),
  /** When its end was first asked for. */
  stoppingAt: z.number().nullable(),
})
const stateSchema = z.strictObject({
  version: z.literal(1),
  subjectId: z.string(),
  incarnation: z.string(),
  /** The one that made it; absent from what was made before there was one: nobody's to sweep, until a call comes. */
  installation: z.string().optional(),
  fence: z.strictObject({
    generation: z.int(),
    operationId: z.string(),
    attempt: z.int(),
    past: z.array(z.string()).readonly(),
    removed: z.boolean(),
  }),
  /** Kept for the incarnation until it is removed; recorded before it is reserved. */
  port: z.int().nullable(),
  run: runSchema.nullable(),
  /** Why the current operation is refused, once it is: the same answer to whoever asks again. */
  verdict: z.string().nullable(),
  /** Runs begun for the current operation; more than one only when a run was lost without a trace. */
  starts: z.int(),
  /** Instance ids of earlier runs, whose end was seen; newest last. */
  ended: z.array(z.string()).readonly(),
  changedAt: z.number(),
})

export type RunState = Readonly<z.infer<typeof runSchema>>
export type WorkloadState = Readonly<z.infer<typeof stateSchema>>

/** The state on disk cannot be made sense of: nothing may be concluded from it. */
export class UnreadableState extends Error {}

const MAX_ENDED = 64
const NAME_PART = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/** A workload's name on disk, or null when its parts could lead anywhere else. */
export const workloadKey = (ref: WorkloadRef): string | null =>
  NAME_PART.test(ref.subjectId) && NAME_PART.test(ref.incarnation) ? `${ref.subjectId}-${ref.incarnation}` : null

/**
 * The state that a call which was let through goes on with. Whichever call is an operation's first, what was said of
 * the operation before does not hold for this one. What was made before there were installations belongs from now on to the one
 * whose call was let through: it holds the claim, and nobody else may sweep it.
 */
export function admittedState(
  before: WorkloadState | null,
  { subjectId, incarnation }: WorkloadRef,
  { next, firstCallOfOperation }: Extract<Admission, { admitted: true }>,
  installation: string,
): WorkloadState {
  const blank = {
    version: 1 as const,
    subjectId,
    incarnation,
    port: null,
    run: null,
    ended: [],
    changedAt: 0,
  }
  const state = before ?? { ...blank, verdict: null, starts: 0 }
  const first = firstCallOfOperation ? { verdict: null, starts: 0 } : {}
  return { ...state, ...first, installation: before?.installation ?? installation, fence: next }
}

/** Whether the workload has a port of its own, used or not. */
export const holdsPort = ({ port, fence }: WorkloadState): boolean => port !== null && !fence.removed

/** Reads a workload's state: null when there never was one. Throws `UnreadableState`. */
export async function readState(dir: string, ref?: WorkloadRef): Promise<WorkloadState | null> {
  const text = await readIfThere(stateFile(dir))
  if (text === null) return null
  let state: WorkloadState
  try {
    state = stateSchema.parse(JSON.parse(text))
  } catch {
    throw new UnreadableState('The state of the workload on disk cannot be read')
  }
  const another = ref && (state.subjectId !== ref.subjectId || state.incarnation !== ref.incarnation)
  if (another) throw new UnreadableState('The state on disk is that of another workload')
  return state
}

/** Records the state unless nothing in it differs from `before`; answers what is recorded now. */
export async function saveState(
  dir: string,
  before: WorkloadState | null,
  next: WorkloadState,
): Promise<WorkloadState> {
  if (before !== null && JSON.stringify(before) === JSON.stringify(next)) return before
  const state = { ...next, ended: next.ended.slice(-MAX_ENDED), changedAt: Date.now() }
  if (before === null) await mkdir(dir, { recursive: true, mode: 0o700 })
  await writeDurably(stateFile(dir), `${JSON.stringify(state, null, 1)}\n`)
  return state
}

/** Deletes what belongs to no current run; of a removed workload, everything but the state. */
export async function tidy(dir: string, state: WorkloadState): Promise<void> {
  const current = state.run?.instanceId
  for (const name of await readdir(dir)) {
    const ofRun = /^(?:claim|exit)-(.+)\.json$/.exec(name)?.[1]
    const kept =
      name === basename(stateFile(dir)) || (!state.fence.removed && (ofRun === undefined || ofRun === current))
    if (!kept) await rm(join(dir, name), { recursive: true, force: true })
  }
}
