// How each move of a stack is asked for in the matrix: by the mutation where a caller may and there is one, by the rule where a
// runner or a loop does. Every way answers with null for a move, or with the name of the refusal.
import { eq } from 'drizzle-orm'
import { stack } from '../../src/db/stack.ts'
import { stackMachine } from '../../src/lifecycle/stack.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/stack.ts'
import * as rules from '../../src/resolvers/stack-rule.ts'
import { defineRule, transition, transitionEach } from '../../src/resolvers/transition.ts'
import { textParam } from '../../src/resolvers/transition-statement.ts'
import { callOf, type World } from '../races/world.ts'
import { putStackOperation } from '../stacks/row.ts'

type Answer = Promise<string | null>
type AnyRule = Parameters<typeof transition>[1]

const refusalOf = async (call: Promise<object>): Answer => {
  const result = await call
  return isRefusal(result) ? result.refusal : null
}
const kindOf = async (world: World, rule: unknown, values: Parameters<typeof callOf>[1]): Answer => {
  const { kind } = await transition(world.pool.db, rule as AnyRule, callOf(world, values))
  return kind === 'moved' ? null : kind
}

/** By a runner that holds the claim of an operation at the stack's generation. */
const byRunner = (rule: unknown) => async (world: World, id: string) => {
  const facts = { subjectId: id, state: 'RUNNING', claimToken: 'mine', attempt: 1 } as const
  const operationId = await putStackOperation(world.stranger, { teamId: world.team.teamId, ...facts })
  const more = {
    claimToken: 'mine',
    generation: 1,
    outcome: 'told',
    placed: '{}',
    removed: '',
    instances: '[]',
    runtime: 'PROCESS',
  }
  return kindOf(world, rule, { id, operationId, ...more })
}

/** By its move alone: what else must hold is played where others ask for it. */
const byMove = (action: keyof typeof stackMachine.moves) => {
  const subject = { table: stack, machine: stackMachine, action, where: eq(stack.id, textParam('id')) }
  const rule = defineRule({ name: `matrix.${action}`, subject })
  return async (world: World, id: string) => {
    const answer = await kindOf(world, rule, { id })
    return answer === 'refused' && stackMachine.moves[action].by.some((who) => who === 'caller')
      ? stackMachine.moves[action].refusal
      : answer
  }
}

export const stackMoves: Readonly<Record<string, (world: World, id: string) => Answer>> = {
  redeployStack: ({ context }, id) => refusalOf(mutations.redeployStack(context, { id })),
  promoteStack: byMove('promoteStack'),
  sendStack: byMove('sendStack'),
  mergeStackEnv: ({ context }, id) =>
    refusalOf(mutations.mergeStackEnv(context, { id, set: [{ key: 'A', value: '' }] } as never)),
  deleteStack: ({ context }, id) => refusalOf(mutations.deleteStack(context, { id })),
  rollOutStack: byRunner(rules.rollOutStack),
  progressStack: byRunner(rules.progressStack),
  markStackHealthy: byRunner(rules.markStackHealthy),
  markStackFailed: byRunner(rules.markStackFailed),
  markStackDeleted: byRunner(rules.markStackDeleted),
  restartStack: byMove('restartStack'),
  beginStackRestart: byMove('beginStackRestart'),
  markStackRestarted: byMove('markStackRestarted'),
  giveUpStack: byMove('giveUpStack'),
  continueStack: byMove('continueStack'),
  tearDownStack: async (world, id) => {
    const moved = await transitionEach(world.pool.db, rules.tearDownStack as never, callOf(world, {}), 200)
    return moved.some(({ row }) => (row as { id: string }).id === id) ? null : 'refused'
  },
}
