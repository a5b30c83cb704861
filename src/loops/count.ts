// Counting moves that nobody called for: those of loops and runners. A caller's are counted with their answer.
import type { Metrics } from '../metrics.ts'
import type { Rule } from '../resolvers/transition.ts'

/** What a loop tells of a rule that has moved so many rows. */
export type Told = (rule: Rule, count: number) => void

/** Counts a rule's moves: of its subject, and of the row that goes with it. */
export function countMoves(metrics: Pick<Metrics, 'transition'>, { subject, also }: Rule, count: number): void {
  for (let i = 0; i < count; i++) {
    metrics.transition(subject.machine.entity, subject.action, 'moved')
    if (also) metrics.transition(also.machine.entity, also.action, 'moved')
  }
}
