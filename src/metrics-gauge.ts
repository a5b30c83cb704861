// The gauges that show what the database and its clients have: each asks its source at every scrape, and shows nothing while that
// fails; what is expensive to find out is kept for a minute. What nobody reported is 0, so that an absent gauge always means a
// source that could not be asked.
import { Gauge, type Registry } from 'prom-client'
import { instanceRuntimes, liveInstanceStates } from './lifecycle/instance.ts'
import { machineOf, machines } from './lifecycle/machines.ts'

export const POOL_STATES = ['idle', 'busy', 'waiting', 'retired'] as const
export type PoolState = (typeof POOL_STATES)[number]

/** What the gauges show; each is asked at every scrape, and shows nothing while its source fails. */
export interface GaugeSources {
  operations?: () => Promise<readonly { kind: string; state: string; count: number }[]>
  oldestRows?: () => Promise<readonly { entity: string; state: string; ageMs: number }[]>
  instances?: () => Promise<readonly { runtime: string; state: string; count: number; unheardMs: number | null }[]>
  dbPool?: () => Readonly<Record<PoolState, number>>
}

const COLLECT_TIMEOUT_MS = 2_000
/** How old a figure that is kept gets before it is asked for anew, and how old it may get while the new one is on its way or fails. */
const KEPT_MS = 60_000
const KEPT_AT_MOST_MS = 300_000

/**
 * The source, its answer kept for a minute. It is asked by one at a time, and whoever comes meanwhile is told what was known; only
 * where nothing is known, or nothing of late, its answer is waited for.
 */
export function kept<T>(source: () => Promise<T>, now: () => number = Date.now): () => Promise<T> {
  let known: { readonly value: T; readonly at: number } | null = null
  let asking: Promise<T> | null = null
  const ask = async () => {
    const at = now()
    const value = await source()
    known = { value, at }
    return value
  }
  return async () => {
    const old = known === null ? Number.POSITIVE_INFINITY : now() - known.at
    if (known !== null && old < KEPT_MS) return known.value
    asking ??= ask().finally(() => {
      asking = null
    })
    if (known === null || old >= KEPT_AT_MOST_MS) return asking
    // Shown by its age: as long as it fails, what was known grows old and is gone in the end.
    asking.catch(() => {})
    return known.value
  }
}

/** `ApiToken` → `api_token`: the value of the label `entity`. */
export const entityLabel = (entity: string) => entity.replace(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase()

/** Every effect that a move accepts. */
export const effects = [
  ...new Set(machines.flatMap(({ moves }) => Object.values(moves).flatMap(({ effect }) => effect ?? []))),
]

const passing = machines.flatMap(({ entity, states }) =>
  Object.entries(states).flatMap(([state, { kind }]) => (kind === 'passing' ? { entity, state } : [])),
)
const operationStates = Object.keys(machineOf('Operation').states)
const liveStates = passing.filter(({ entity }) => entity === 'Operation').map(({ state }) => state)

interface Into {
  readonly registers: Registry[]
  /** The value if it is of the closed set. */
  readonly closed: (label: string, allowed: readonly string[], value: string) => string
  readonly sources: () => GaugeSources
}

/** Makes the gauges. */
export function registerGauges({ registers, closed, sources }: Into): void {
  new Gauge({
    name: 'pawl_operations',
    help: 'Operations, by kind and state.',
    labelNames: ['kind', 'state'],
    registers,
    async collect() {
      this.reset()
      const rows = await asked(sources().operations)
      if (rows === undefined) return
      for (const kind of effects) for (const state of liveStates) this.set({ kind, state }, 0)
      for (const { kind, state, count } of rows) {
        this.inc({ kind: closed('kind', effects, kind), state: closed('state', operationStates, state) }, count)
      }
    },
  })
  new Gauge({
    name: 'pawl_oldest_row_age_seconds',
    help: 'For how long the oldest row has been in a passing state; 0 when there is none.',
    labelNames: ['entity', 'state'],
    registers,
    async collect() {
      this.reset()
      const rows = await asked(sources().oldestRows)
      if (rows === undefined) return
      const oldest = new Map(rows.map(({ entity, state, ageMs }) => [`${entity} ${state}`, ageMs / 1000]))
      for (const { entity, state } of passing) {
        this.set({ entity: entityLabel(entity), state }, oldest.get(`${entity} ${state}`) ?? 0)
        oldest.delete(`${entity} ${state}`)
      }
      for (const unknown of oldest.keys()) closed('entity and state', [], unknown)
    },
  })
  new Gauge({
    name: 'pawl_instances',
    help: 'Instances that were not removed, by what runs them and by state.',
    labelNames: ['runtime', 'state'],
    registers,
    async collect() {
      this.reset()
      const rows = await asked(sources().instances)
      if (rows === undefined) return
      for (const runtime of instanceRuntimes) for (const state of liveInstanceStates) this.set({ runtime, state }, 0)
      for (const { runtime, state, count } of rows) {
        const known = closed('state', liveInstanceStates, state)
        this.inc({ runtime: closed('runtime', instanceRuntimes, runtime), state: known }, count)
      }
    },
  })
  new Gauge({
    name: 'pawl_oldest_check_age_seconds',
    help: 'How long ago the instance that was not heard of for longest was, by its runtime; of EXTERNAL how long its heartbeat is overdue; 0 when there is none.',
    labelNames: ['runtime'],
    registers,
    async collect() {
      this.reset()
      const rows = await asked(sources().instances)
      if (rows === undefined) return
      for (const runtime of instanceRuntimes) {
        const ages = rows.flatMap((row) => (row.runtime === runtime ? (row.unheardMs ?? []) : []))
        this.set({ runtime }, Math.max(0, ...ages) / 1000)
      }
    },
  })
  new Gauge({
    name: 'pawl_db_pool',
    help: 'Connections to the database, by state (retired: so far), and statements that wait for one.',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset()
      const counts = sources().dbPool?.()
      if (counts) for (const state of POOL_STATES) this.set({ state }, counts[state])
    },
  })
}

/** A source that fails or hangs must not take the scrape with it: its gauge is absent, which alerts can see. */
async function asked<T>(source: (() => Promise<T>) | undefined): Promise<T | undefined> {
  if (!source) return undefined
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, COLLECT_TIMEOUT_MS, undefined)
  })
  try {
    return await Promise.race([source(), late])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}
