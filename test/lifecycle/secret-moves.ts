// How each move of a secret is asked for in the matrix: a delete by the mutation; a new value by the rule, because the mutation
// goes by the name and makes a new secret where the former is deleted. Answers with null for a move, else how it is refused.
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/secret.ts'
import * as rules from '../../src/resolvers/secret-rule.ts'
import { transition } from '../../src/resolvers/transition.ts'
import { callOf, type World } from '../races/world.ts'

export const secretMoves: Readonly<Record<string, (world: World, id: string) => Promise<string | null>>> = {
  async setSecret(world, id) {
    const call = callOf(world, { id, revision: 1, sealed: 'sealed' })
    const { kind } = await transition(world.pool.db, rules.setSecret, call)
    return kind === 'moved' ? null : kind
  },
  async deleteSecret(world, id) {
    const result = await mutations.deleteSecret(world.context, { id })
    return isRefusal(result) ? result.refusal : null
  },
}
