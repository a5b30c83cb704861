// The hosts of the fake world, and what calls meet there: delay, or silence for a share of them. All chance comes from a seed, so
// that what went wrong can be had again. Knows nothing of workloads.
import type { WorkloadRef } from './driver.ts'

export interface FakeHost {
  /** Every call takes at least so long. */
  readonly delayMs?: number
  /** From 0 to 1: how many of the calls do nothing and are not answered until their signal is aborted. */
  readonly hangShare?: number
}

/** The same numbers from 0 to 1 for the same seed (mulberry32, public domain). */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export class FakeHosts {
  readonly #hosts = new Map<string, FakeHost>()
  readonly #hostOf: (ref: WorkloadRef) => string
  readonly #chance: () => number

  constructor(hostOf: (ref: WorkloadRef) => string, chance: () => number) {
    this.#hostOf = hostOf
    this.#chance = chance
  }

  set(name: string, host: FakeHost): void {
    this.#hosts.set(name, host)
  }

  /** What the next call for that workload meets; one for none in particular meets nothing. */
  meets(ref: WorkloadRef | null): { readonly delayMs: number; readonly hangs: boolean } {
    const host = ref && this.#hosts.size > 0 ? this.#hosts.get(this.#hostOf(ref)) : undefined
    const { delayMs = 0, hangShare = 0 } = host ?? {}
    return { delayMs, hangs: hangShare > 0 && this.#chance() < hangShare }
  }
}
