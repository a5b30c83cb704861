// All cases, and the pairs that no call can bring about because its input has no place for what they are about: the contract
// promises them of every result, so that one selection handles them all.
import { mutations } from '../../sweep/walk.ts'
import { commonCases, takesNoId, takesNoVersion } from './common.ts'
import { deploymentCases } from './deployment.ts'
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
]
export const allCases: readonly Case[] = [...commonCases, ...ownCases]

/** By what the schema says of their inputs, so that a field that is added takes them out of this list. */
export const promisedAlone: readonly Pair[] = mutations.flatMap(({ name: mutation }) => [
  ...(takesNoVersion(mutation) ? [{ mutation, member: 'VersionConflict' }] : []),
  ...(takesNoId(mutation) ? [{ mutation, member: 'NotFound' }] : []),
])

/** Pairs of the schema that nothing brings about. */
export function missingPairs(): string[] {
  const known = new Set([...allCases, ...promisedAlone].map(nameOf))
  return allPairs.map(nameOf).filter((name) => !known.has(name))
}
