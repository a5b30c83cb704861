// How far each service of a stack is, told from the stack's row: what was wanted, and what is known of the runs.
import type { StackService } from '../db/stack.ts'
import type { StackState } from '../lifecycle/stack.ts'
import type { StackView } from './stack-read.ts'

export interface ShownService extends StackService {
  readonly state: StackState
  readonly stateReason: string | null
  /** Null unless it is exposed and known to answer somewhere. */
  readonly url: string | null
}

/** The services that are wanted, in their order, each with its own state. */
export const servicesOf = (row: Pick<StackView, 'services' | 'placed' | 'state' | 'generation'>): ShownService[] =>
  row.services.map((service) => {
    const placed = row.placed[service.name]
    const settled = placed?.generation === row.generation ? placed : undefined
    const ending = row.state === 'DELETING' || row.state === 'DELETED'
    return {
      ...service,
      state: ending ? row.state : (settled?.state ?? row.state),
      stateReason: ending ? null : (settled?.reason ?? null),
      url: service.exposed && row.state !== 'DELETED' ? (placed?.url ?? null) : null,
    }
  })
