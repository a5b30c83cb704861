// All cases, and the pairs that no call can bring about because its input has no place for what they are about: the contract
// promises them of every result, so that one selection handles them all.
import { machines } from '../../../src/lifecycle/machines.ts'
import { callerCases } from './caller.ts'
import { deploymentCases } from './deployment.ts'
import { everyCases, takesNoId, takesNoVersion } from './every.ts'
import { hinderedCases } from './hindered.ts'
import { allPairs, type Case, nameOf, type Pair } from './pair.ts'
import { promotionCases } from './promotion.ts'
import { resourceCases, stackCases } from './stack.ts'
import { teamCases } from './team.ts'

/** What single mutations are refused for. */
export const ownCases: readonly Case[] = [
  ...deploymentCases,
  ...stackCases,
  ...resourceCases,
  ...promotionCases,
  ...teamCases,
  ...hinderedCases,
  ...callerCases,
]
export const allCases: readonly Case[] = [...everyCases, ...ownCases]

const absent: Readonly<Record<string, (mutation: string) => boolean>> = {
  VersionConflict: takesNoVersion,
  NotFound: takesNoId,
  IllegalState: tellsNoState,
}
/** By what the schema says of their inputs, so that a field that is added takes them out of this list. */
export const promisedAlone: readonly Pair[] = allPairs.filter(({ mutation, member }) => absent[member]?.(mutation))

/** A move without a guard whose every wrong state is told by a refusal of its own. */
function tellsNoState(mutation: string): boolean {
  const move = machines.flatMap(({ moves }) => Object.entries(moves)).find(([action]) => action === mutation)?.[1]
  return move !== undefined && move.from !== 'birth' && !move.guard && move.refusal !== 'IllegalState'
}

/** Pairs of the schema that nothing brings about. */
export function missingPairs(): string[] {
  const known = new Set([...allCases, ...promisedAlone].map(nameOf))
  return allPairs.map(nameOf).filter((name) => !known.has(name))
}
