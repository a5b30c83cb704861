// Counting moves that nobody called for: those of loops and runners. A caller's are counted with their answer.
import type { Metrics } from '../metrics.ts'
import type { Rule } from '../resolvers/transition.ts'

/** What a loop tells of a rule that has moved so many rows. */
export type Told = (rule: Rule, count: number) => void

/** Counts a rule's moves: of its subject, of the row that goes with it, and of those that moved along or were born, so many for each part. */
export function countMoves(
  metrics: Pick<Metrics, 'transition'>,
  { subject, also, carries = [], bears = [] }: Rule,
  count: number,
  along: readonly number[] = [],
): void {
  const moved = ({ machine, action }: Pick<Rule['subject'], 'machine' | 'action'>, times: number) => {
    for (let i = 0; i < times; i++) metrics.transition(machine.entity, action, 'moved')
  }
  moved(subject, count)
  if (also) moved(also, count)
  for (const [at, part] of [...carries, ...bears].entries()) moved(part, along[at] ?? 0)
}
