// What a soak comes to, in figures: for the line that tells how far it is, and for the end.
import { attemptsOf, type Line } from './history.ts'
import type { EventRow } from './judge.ts'

const countOf = (names: readonly string[]) => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)
}
const listed = (counts: readonly (readonly [string, number])[]) => counts.map(([name, n]) => `${name} ${n}`).join(', ')

/** How far it is. */
export function lineOf(lines: readonly Line[], up: number): string {
  const of = (kind: Line['kind']) => lines.reduce((sum, line) => sum + Number(line.kind === kind), 0)
  return `${of('invoke')} calls, ${of('ok')} accepted, ${of('refusal')} refused, ${of('unknown')} open; ${up} replicas up`
}

export interface Seen {
  readonly seed: number
  readonly minutes: number
  readonly replicas: number
  /** How often followers had to come back. */
  readonly returns: number
  readonly restMs: number
  readonly faults: ReadonlyMap<string, number>
  readonly events: readonly EventRow[]
  readonly operations: number
  readonly receipts: number
}

/** By name, in the order in which they are shown. */
export function figuresOf(lines: readonly Line[], seen: Seen): Record<string, number | string> {
  const attempts = attemptsOf(lines)
  const of = (kind: string) => attempts.filter((attempt) => attempt.kind === kind)
  const tookMs = attempts
    .filter(({ toldAtMs }) => Number.isFinite(toldAtMs))
    .map(({ sentAtMs, toldAtMs }) => toldAtMs - sentAtMs)
    .sort((a, b) => a - b)
  const at = (part: number) => Math.round(tookMs[Math.floor(tookMs.length * part)] ?? 0)
  return {
    seed: seen.seed,
    minutes: seen.minutes,
    replicas: seen.replicas,
    calls: attempts.length,
    accepted: of('ok').length,
    'replayed by key': of('ok').filter(({ replayed }) => replayed).length,
    refused: of('refusal').length,
    'refusals by name': listed(countOf(of('refusal').map(({ member }) => member))),
    'outcome unknown': of('unknown').length,
    'unknown by name': listed(countOf(of('unknown').map(({ member }) => member))),
    'answered p50 ms': at(0.5),
    'answered p99 ms': at(0.99),
    faults: [...seen.faults.values()].reduce((sum, n) => sum + n, 0),
    'faults by name': listed([...seen.faults]),
    operations: seen.operations,
    events: seen.events.length,
    restarts: seen.events.filter(({ kind }) => kind === 'restartInstance').length,
    'approvals used': seen.events.filter(
      ({ subjectType, to }) => subjectType === 'PromotionApproval' && to === 'EXECUTED',
    ).length,
    'webhook deliveries heard': seen.receipts,
    'streams taken up again': seen.returns,
    'at rest after ms': Math.round(seen.restMs),
  }
}
