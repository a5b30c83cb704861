// The net under every passing state whose end is an operation's: a row that is past the deadline of its state and has no live
// operation gets it again, at the same generation. In the ordinary course the operation is accepted together with the state.
import { type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { resource } from '../db/resource.ts'
import { stack } from '../db/stack.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import type { Machine } from '../lifecycle/machine.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import { stackMachine } from '../lifecycle/stack.ts'
import { isUnmoved, noLiveOperation } from './runner-rule.ts'
import { defineRule, type Rule } from './transition.ts'
import { intParam } from './transition-sql.ts'
import { moveOf } from './transition-statement.ts'

/** In one of the states that the move starts from for longer than that state's deadline. */
function overdue(machine: Machine, action: string): SQL {
  const { from } = moveOf({ machine, action })
  const each = (from === 'birth' ? [] : from).map((state) => {
    const declared = machine.states[state]
    if (declared?.kind !== 'passing') throw new Error(`${action} starts from ${state}, which is not passing`)
    const deadline = sql.raw(`interval '${declared.deadlineMs} milliseconds'`)
    return sql`(state = ${sql.raw(quoted([state]))} and state_changed_at < now() - ${deadline})`
  })
  return sql`(${sql.join(each, sql` or `)})`
}

function continues<T extends LifecycleTable>(table: T, machine: Machine, action: string): Rule {
  const rule = defineRule<T>({
    name: action,
    subject: {
      table,
      machine,
      action,
      where: sql`${overdue(machine, action)} and ${noLiveOperation(table.id)}`,
      batch: { orderBy: sql`${table.stateChangedAt}`, limit: intParam('limit') },
      guard: isUnmoved(table),
    },
  })
  return rule as unknown as Rule
}

export const continueDeployment = continues(deployment, deploymentMachine, 'continueDeployment')
export const continueDeploymentStop = continues(deployment, deploymentMachine, 'continueDeploymentStop')
export const continueStack = continues(stack, stackMachine, 'continueStack')
export const continueProvision = continues(resource, resourceMachine, 'continueProvision')
export const continueResourcePause = continues(resource, resourceMachine, 'continueResourcePause')
export const continueResourceResume = continues(resource, resourceMachine, 'continueResourceResume')

export const resumeRules: readonly Rule[] = [
  continueDeployment,
  continueDeploymentStop,
  continueStack,
  continueProvision,
  continueResourcePause,
  continueResourceResume,
]
