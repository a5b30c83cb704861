// How each move of an instance is asked for in the matrix: by the mutation where a caller may, by the rule or the move alone where
// a runner or a loop does. Answers with null for a move, else how it is refused.
import { eq } from 'drizzle-orm'
import { instance } from '../../src/db/instance.ts'
import { instanceMachine } from '../../src/lifecycle/instance.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/instance.ts'
import { defineRule, transition } from '../../src/resolvers/transition.ts'
import { textParam } from '../../src/resolvers/transition-statement.ts'
import { callOf, type World } from '../races/world.ts'

type Answer = Promise<string | null>

const refusalOf = async (call: Promise<object>): Answer => {
  const result = await call
  return isRefusal(result) ? result.refusal : null
}
const byMove = (action: keyof typeof instanceMachine.moves) => {
  const subject = { table: instance, machine: instanceMachine, action, where: eq(instance.id, textParam('id')) }
  const rule = defineRule({ name: `matrix.${action}`, subject })
  return async (world: World, id: string): Answer => {
    const { kind } = await transition(world.pool.db, rule, callOf(world, { id }))
    return kind === 'moved' ? null : kind
  }
}

export const instanceMoves: Readonly<Record<string, (world: World, id: string) => Answer>> = {
  markInstanceOnline: byMove('markInstanceOnline'),
  degradeInstance: byMove('degradeInstance'),
  recoverInstance: byMove('recoverInstance'),
  offlineInstance: byMove('offlineInstance'),
  restartInstance: byMove('restartInstance'),
  heartbeatInstance: ({ context }, id) => refusalOf(mutations.heartbeatInstance(context, { id })),
  reportInstanceDegraded: ({ context }, id) => refusalOf(mutations.heartbeatInstance(context, { id, healthy: false })),
  removeInstance: ({ context }, id) => refusalOf(mutations.removeInstance(context, { id })),
}
