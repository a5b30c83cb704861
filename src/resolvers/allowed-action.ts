// What a caller may do with an object now, and for what it may not, why: from the machine, the caller's scopes and the
// guards that can be told from the rows. Advice, never a promise: the swap decides when the call is made.
import {
  type Action,
  type Actor,
  type Lack,
  lacking,
  lackingForOwner,
  lackingScope,
  needOf,
  subjectScope,
  toldLack as toldOf,
} from '../auth.ts'
import type { IdEntity } from '../db/id.ts'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import { machineOf } from '../lifecycle/machines.ts'
import type { ApiTokenView } from './api-token-read.ts'
import type { DeploymentView } from './deployment-read.ts'
import type { InstanceView } from './instance-read.ts'
import type { Team } from './loader.ts'
import type { InvitationView, MemberView } from './member-read.ts'
import { isCancellable, isRetriable } from './operation.ts'
import type { OperationView } from './operation-read.ts'
import type { ApprovalView } from './promotion-read.ts'
import type { ResourceView } from './resource-read.ts'
import type { SecretView } from './secret-read.ts'
import type { StackView } from './stack-read.ts'
import { notRepeatable } from './webhook-delivery.ts'
import type { DeliveryView } from './webhook-delivery-read.ts'
import type { WebhookView } from './webhook-read.ts'

export interface AllowedAction {
  readonly action: string
  readonly allowed: boolean
  /** Why not; null when it is allowed. */
  readonly because: string | null
}

/** A reason that is known from the rows, beside state and scope; null when there is none. */
type Guards = Readonly<Record<string, () => string | null>>

/** The moves of an entity that callers may ask for by a mutation of the same name: births and inner moves left out. */
export const callerActions = (entity: IdEntity): string[] =>
  Object.entries(machineOf(entity).moves)
    .filter(([action, move]) => move.from !== 'birth' && move.by.includes('caller') && needOf(action) !== null)
    .map(([action]) => action)

const told = (action: string, reasons: readonly (string | null)[]): AllowedAction => {
  const because = reasons.filter((reason) => reason !== null).join(' ')
  return { action, allowed: because === '', because: because === '' ? null : because }
}

const toldLack = (lack: Lack | null): string | null => (lack ? toldOf(lack) : null)

function wrongState(entity: IdEntity, action: string, state: string): string | null {
  const from = machineOf(entity).moves[action]?.from ?? []
  if (from === 'birth' || from.includes(state)) return null
  return `It is ${state}; ${action} starts from ${from.join(', ')}.`
}

const answer = (actor: Actor, entity: IdEntity, state: string, guards: Guards = {}): AllowedAction[] =>
  callerActions(entity).map((action) => {
    const state_ = wrongState(entity, action, state)
    return told(action, [
      toldLack(lacking(actor, action as Action)),
      state_,
      state_ === null ? (guards[action]?.() ?? null) : null,
    ])
  })

export const deploymentActions = (actor: Actor, row: DeploymentView): AllowedAction[] =>
  answer(actor, 'Deployment', row.state, {
    setDeploymentTtl: () =>
      row.ttlPolicy === 'TTL' ? null : 'It is permanent: it has no time limit that could be moved.',
  })

export const resourceActions = (actor: Actor, row: ResourceView): AllowedAction[] =>
  answer(actor, 'Resource', row.state)
export const stackActions = (actor: Actor, row: StackView): AllowedAction[] => answer(actor, 'Stack', row.state)
/** What Pawl runs itself, it asks about itself; what was part of a deployment that has ended is on its way out. */
export function instanceActions(actor: Actor, row: InstanceView, of: DeploymentView | null = null): AllowedAction[] {
  const external = () =>
    row.runtime === 'EXTERNAL'
      ? null
      : `It is of the runtime ${row.runtime}: Pawl runs it, asks about it itself, and ends it with what it is part of.`
  return answer(actor, 'Instance', row.state, {
    heartbeatInstance: () =>
      external() ?? (of === null || liveDeploymentStates.includes(of.state) ? null : `Its deployment is ${of.state}.`),
    removeInstance: external,
  })
}
/** Whether its asker may approve it is decided by the team's setting and its members, under the lock. */
export function approvalActions(actor: Actor, row: ApprovalView): AllowedAction[] {
  const inTime = () => (row.expiresAt.getTime() <= Date.now() ? 'Its time is over.' : null)
  const ofKind = (kind: ApprovalView['kind']) => () =>
    row.kind === kind ? inTime() : row.kind === 'TWIN' ? 'It is for a twin of a resource.' : 'It is for a stack.'
  return answer(actor, 'PromotionApproval', row.state, {
    approvePromotion: inTime,
    promoteStack: ofKind('STACK'),
    twinResource: ofKind('TWIN'),
  })
}
export const secretActions = (actor: Actor, row: SecretView): AllowedAction[] => answer(actor, 'Secret', row.state)
/** That a team keeps an owner is decided by the counter alone. */
export function memberActions(actor: Actor, row: MemberView): AllowedAction[] {
  const ofOwner = () => toldLack(lackingForOwner(actor, row.role))
  return answer(actor, 'Member', row.state, { setMemberRole: ofOwner, removeMember: ofOwner })
}
export const invitationActions = (actor: Actor, row: InvitationView): AllowedAction[] =>
  answer(actor, 'Invitation', row.state, {
    acceptInvitation: () =>
      actor.id === row.id
        ? null
        : 'It takes the token of the invitation, and somebody who is no member of the team yet.',
  })
export const webhookActions = (actor: Actor, row: WebhookView): AllowedAction[] => answer(actor, 'Webhook', row.state)
export const deliveryActions = (actor: Actor, row: DeliveryView, of: WebhookView | null): AllowedAction[] => [
  told('redeliverWebhookEvent', [
    toldLack(lacking(actor, 'redeliverWebhookEvent')),
    notRepeatable(row),
    of?.state === 'ACTIVE' ? null : `Its webhook is ${of?.state ?? 'gone'}.`,
  ]),
]
export const apiTokenActions = (actor: Actor, row: ApiTokenView): AllowedAction[] =>
  answer(actor, 'ApiToken', row.state)
export const teamActions = (actor: Actor, row: Team): AllowedAction[] =>
  answer(actor, 'Team', row.state, {
    deleteTeam: () => ofOwnTeam(actor, row),
    setSelfApproval: () => ofOwnTeam(actor, row),
    restoreTeam: () =>
      ofOwnTeam(actor, row) ??
      (row.deletionAt && row.deletionAt.getTime() <= Date.now() ? 'The time to restore it is over.' : null),
  })
const ofOwnTeam = (actor: Actor, row: Team) =>
  row.id === actor.teamId ? null : 'It is another team than the one that the caller acts for.'

/** What an operation works on. */
export type Subject = DeploymentView | ResourceView | StackView

/** Retry and cancel move the subject with the operation, so both are told from the subject too. */
export function operationActions(actor: Actor, row: OperationView, subject: Subject | null): AllowedAction[] {
  const overtaken = subject?.generation === row.generation ? null : 'A newer wish for its subject has taken its place.'
  const never = (may: boolean) => (may ? null : `A ${row.kind} never is.`)
  const scope = subjectScope[row.subjectType as keyof typeof subjectScope]
  const lackOf = (action: Action) => toldLack(lackingScope(actor, scope) ?? lacking(actor, action))
  const retry = told('retryOperation', [
    lackOf('retryOperation'),
    row.state === 'FAILED' ? null : `It is ${row.state}; retryOperation starts from FAILED.`,
    row.state === 'FAILED' ? (never(isRetriable(row.kind)) ?? overtaken ?? subjectFailed(subject)) : null,
  ])
  return [
    ...answer(actor, 'Operation', row.state, {
      cancelOperation: () =>
        toldLack(lackingScope(actor, scope)) ??
        never(isCancellable(row.kind)) ??
        overtaken ??
        (row.attempt === 0 ? null : 'It has begun already.'),
    }),
    retry,
  ]
}

const subjectFailed = (subject: Subject | null) =>
  subject?.state === 'FAILED' ? null : `Its subject is ${subject?.state ?? 'gone'}, not FAILED.`
