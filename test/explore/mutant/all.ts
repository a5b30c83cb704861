// All planted bugs that the explorer must find.
import { deploymentMutants } from './deployment.ts'
import { instanceMutants } from './instance.ts'
import type { Mutant } from './plant.ts'
import { promotionMutants } from './promotion.ts'
import { resourceMutants } from './resource.ts'
import { stackMutants } from './stack.ts'
import { teamMutants } from './team.ts'
import { workMutants } from './work.ts'

export const mutants: readonly Mutant[] = [
  ...deploymentMutants,
  ...resourceMutants,
  ...stackMutants,
  ...promotionMutants,
  ...teamMutants,
  ...workMutants,
  ...instanceMutants,
]
