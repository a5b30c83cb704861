// Every machine there is. Whoever needs "all of them" (guards in the database, Query.lifecycles, the page) asks here.
import { apiTokenMachine } from './api-token.ts'
import { deploymentMachine } from './deployment.ts'
import { instanceMachine } from './instance.ts'
import { invitationMachine } from './invitation.ts'
import type { Machine } from './machine.ts'
import { memberMachine } from './member.ts'
import { operationMachine } from './operation.ts'
import { promotionApprovalMachine } from './promotion-approval.ts'
import { resourceMachine } from './resource.ts'
import { secretMachine } from './secret.ts'
import { stackMachine } from './stack.ts'
import { teamMachine } from './team.ts'
import { webhookMachine } from './webhook.ts'
import { webhookDeliveryMachine } from './webhook-delivery.ts'

export const machines: readonly Machine[] = [
  deploymentMachine,
  resourceMachine,
  stackMachine,
  instanceMachine,
  secretMachine,
  promotionApprovalMachine,
  operationMachine,
  teamMachine,
  memberMachine,
  invitationMachine,
  apiTokenMachine,
  webhookMachine,
  webhookDeliveryMachine,
]

const byEntity = new Map(machines.map((machine) => [machine.entity, machine]))

/** The machine of an entity by its name in the schema; throws for a name that has none. */
export function machineOf(entity: string): Machine {
  const machine = byEntity.get(entity)
  if (!machine) throw new Error(`no lifecycle is declared for ${entity}`)
  return machine
}
