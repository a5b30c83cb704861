// What leads out of a passing state now: calls that would be accepted from this caller, and where there is none, whose business
// it is. Told from the same actions as `allowedActions`, so that the two never say different things.
import type { Actor } from '../auth.ts'
import { entityOfId, type IdEntity } from '../db/id.ts'
import { machineOf } from '../lifecycle/machines.ts'
import { advice, callInstead, type Remedy } from '../refusals.ts'
import {
  type AllowedAction,
  approvalActions,
  deploymentActions,
  instanceActions,
  invitationActions,
  operationActions,
  resourceActions,
  type Subject,
  stackActions,
  teamActions,
  webhookActions,
} from './allowed-action.ts'
import type { DeploymentView } from './deployment-read.ts'
import type { InstanceView } from './instance-read.ts'
import type { NodeRow, Team } from './loader.ts'
import type { InvitationView } from './member-read.ts'
import type { OperationView } from './operation-read.ts'
import type { ApprovalView } from './promotion-read.ts'
import type { ResourceView } from './resource-read.ts'
import type { StackView } from './stack-read.ts'
import type { WebhookView } from './webhook-read.ts'

/** A call with the id of the object, and perhaps more, and what it does to what hangs. */
type Way = readonly [mutation: string, explanation: string, more?: Readonly<Record<string, unknown>>]

const again = 'Roll it out again: that supersedes the work that hangs.'
const end = 'Tear it down for good.'
const ways: Readonly<Partial<Record<IdEntity, readonly Way[]>>> = {
  Deployment: [
    ['redeployDeployment', again],
    ['deleteDeployment', end],
  ],
  Stack: [
    ['redeployStack', again],
    ['deleteStack', end],
  ],
  Resource: [['deleteResource', 'Deprovision it for good.']],
  Instance: [['removeInstance', 'Forget it: it runs elsewhere and is not heard of.']],
  PromotionApproval: [
    ['rejectPromotion', 'Decide against it, for good.'],
    ['withdrawPromotion', 'Take it back: nobody can use it then.'],
  ],
  Invitation: [['withdrawInvitation', 'Take it back: its token lets nobody in then.']],
  Operation: [['cancelOperation', 'Take it back: it has not begun.']],
  Team: [['restoreTeam', 'Take the deletion of the team back.']],
  Webhook: [
    ['updateWebhook', 'Switch its webhook off: what waits to be delivered to it is dropped.', { enabled: false }],
    ['deleteWebhook', 'Delete its webhook: what waits to be delivered to it is dropped.'],
  ],
}

function actionsOf(actor: Actor, entity: IdEntity, row: NodeRow, of: NodeRow | null): readonly AllowedAction[] {
  switch (entity) {
    case 'Deployment':
      return deploymentActions(actor, row as DeploymentView)
    case 'Stack':
      return stackActions(actor, row as StackView)
    case 'Resource':
      return resourceActions(actor, row as ResourceView)
    case 'Instance':
      return instanceActions(actor, row as InstanceView)
    case 'PromotionApproval':
      return approvalActions(actor, row as ApprovalView)
    case 'Invitation':
      return invitationActions(actor, row as InvitationView)
    case 'Operation':
      return operationActions(actor, row as OperationView, of as Subject | null)
    case 'Team':
      return teamActions(actor, row as Team)
    case 'Webhook':
      return webhookActions(actor, row as WebhookView)
    default:
      return []
  }
}

function open(actor: Actor, row: NodeRow, of: NodeRow | null): Remedy[] {
  const entity = entityOfId(row.id)
  if (entity === null) return []
  const actions = actionsOf(actor, entity, row, of)
  return (ways[entity] ?? []).flatMap(([mutation, explanation, more]) =>
    actions.some(({ action, allowed }) => action === mutation && allowed)
      ? [callInstead(mutation, { id: row.id, ...more }, explanation)]
      : [],
  )
}

/**
 * The calls that would be accepted now and lead out of the state that the row was found in, its own first and then those of what it
 * is part of (`of`: the subject of an operation or of an instance, the webhook of a delivery); advice where there is none.
 */
export function waysOut(
  actor: Actor,
  { entity, state }: { readonly entity: string; readonly state: string },
  row: NodeRow | null,
  of: NodeRow | null,
): Remedy[] {
  const found = [...(row ? open(actor, row, of) : []), ...(of ? open(actor, of, null) : [])]
  if (found.length > 0) return found
  const declared = machineOf(entity).states[state]
  const owner = declared?.kind === 'passing' ? declared.owner : ''
  return [
    advice(
      `No call of this caller leads out of it, and none is needed: the loop ${owner} sees to it again and again until it is left. ` +
        'Should it stay, look at the log of the workers under its id.',
    ),
  ]
}
