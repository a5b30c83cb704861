// Rounds of a bench: who is measured takes turns with the others, so that what else the machine does meets all of them, and what
// is told is the median of their rounds. A ratio is the median of the ratios of rounds that were side by side.
import { fork } from 'node:child_process'
import type { Order, Told } from './asking.ts'
import { cpuSeconds } from './cpu.ts'
import type { Figure } from './figure.ts'

/** What one round has shown. */
export interface Round {
  readonly count: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Cores that each part of it has taken; empty where that cannot be told. */
  readonly cores: Readonly<Record<string, number>>
}

/** Somebody who is measured. */
export interface Contestant {
  readonly name: string
  /** Before its turn, not counted: what a round leaves behind is not the next one's. */
  settle(): Promise<void>
  round(): Promise<Round>
}

export type Rounds = ReadonlyMap<string, readonly Round[]>

/** Fewer say nothing. */
const fewestRounds = 3

/**
 * So many rounds of each, in turns; the first turn of all is not counted. On a machine that has more to do than this no turn is
 * begun when `atMostMs` are over, but three are had.
 */
export async function inTurns(
  contestants: readonly Contestant[],
  rounds: number,
  tell: (line: string) => void,
  atMostMs = Number.POSITIVE_INFINITY,
): Promise<Rounds> {
  const shown = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]))
  const since = performance.now()
  for (let turn = 0; turn <= rounds; turn++) {
    if (turn > fewestRounds && performance.now() - since > atMostMs) break
    for (const { name, settle, round } of contestants) {
      await settle()
      const seen = await round()
      if (turn > 0) shown.get(name)?.push(seen)
      tell(`${turn === 0 ? 'warming up' : `round ${turn} of ${rounds}`}: ${name} ${asText(seen)}`)
    }
  }
  return shown
}

export interface Asker {
  /** One round by an order; `pids` are the processes whose share is told, by their part in it. */
  ask(order: Order, pids?: Readonly<Record<string, number>>): Promise<Round>
  end(): Promise<void>
}

/** Starts the process that asks. */
export async function startAsker(): Promise<Asker> {
  const child = fork(new URL('load.ts', import.meta.url), { stdio: 'inherit' })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const ready = new Promise<void>((resolve) => child.once('message', () => resolve()))
  await Promise.race([ready, ended.then(() => Promise.reject(new Error('load.ts did not start')))])
  return {
    ask: (order, pids = {}) =>
      new Promise<Round>((resolve, reject) => {
        const parts = Object.entries({ ...pids, load: child.pid ?? 0 })
        const spent = () => parts.map(([, pid]) => cpuSeconds(pid))
        let [before, after]: (number | null)[][] = [[], []]
        const seconds = order.countedMs / 1000
        const hear = (told: Told) => {
          if (told.kind === 'counting') before = spent()
          if (told.kind === 'counted') after = spent()
          if (told.kind === 'wrong') done(() => reject(new Error(told.what)))
          if (told.kind !== 'asked') return
          const cores = parts.flatMap(([part], at) => {
            const [from, to] = [before?.[at], after?.[at]]
            return from == null || to == null ? [] : [[part, (to - from) / seconds] as const]
          })
          done(() => resolve({ ...summed(told.tookMs, seconds), cores: Object.fromEntries(cores) }))
        }
        const gone = () => done(() => reject(new Error('load.ts has ended')))
        const done = (say: () => void) => {
          child.off('message', hear).off('exit', gone)
          say()
        }
        child.on('message', hear).on('exit', gone)
        child.send(order)
      }),
    async end() {
      child.kill()
      await ended
    },
  }
}

/** A round from how long each of its answers took. */
export function summed(tookMs: readonly number[], seconds: number): Omit<Round, 'cores'> {
  const sorted = Float64Array.from(tookMs).sort()
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
  return { count: tookMs.length, perSecond: tookMs.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99) }
}

/** The middle one, or the mean of the two in the middle; NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other)
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2
}

/** The rounds of one contestant as one. */
export function medianRound(rounds: readonly Round[]): Round {
  const of = (figure: (round: Round) => number) => median(rounds.map(figure))
  const parts = Object.keys(rounds[0]?.cores ?? {})
  return {
    count: rounds.reduce((sum, { count }) => sum + count, 0),
    perSecond: of((round) => round.perSecond),
    p50Ms: of((round) => round.p50Ms),
    p99Ms: of((round) => round.p99Ms),
    cores: Object.fromEntries(parts.map((part) => [part, of(({ cores }) => cores[part] ?? Number.NaN)])),
  }
}

/** How many times as fast one is as another. Whoever has no round, or was never answered, reaches nothing. */
export function ratioFigure(rounds: Rounds, one: string, other: string, atLeast: number): Figure {
  const [ours, theirs] = [rounds.get(one) ?? [], rounds.get(other) ?? []]
  const ratio = median(ours.map(({ perSecond }, at) => perSecond / (theirs[at]?.perSecond ?? Number.NaN)))
  return {
    what: `${one} / ${other}`,
    measured: `${ratio.toFixed(2)}×`,
    target: `≥ ${atLeast}×`,
    reached: Number.isFinite(ratio) && ratio >= atLeast,
  }
}

/** What each of them has reached, one line for each. */
export const roundFigures = (rounds: Rounds): Figure[] =>
  [...rounds].map(([what, seen]) => ({ what, measured: asText(medianRound(seen)), target: '', reached: null }))

/** With the CPU time that each answer has cost, which a machine that has more to do than this changes least. */
function asText({ perSecond, p50Ms, p99Ms, cores }: Round): string {
  const cost = Object.entries(cores).map(([part, share]) => `${part} ${((share / perSecond) * 1_000).toFixed(2)}`)
  const times = `${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`
  return cost.length === 0 ? times : `${times}; ms of CPU each: ${cost.join(', ')}`
}
