// The loaders of one request: whatever is asked for at one level of a query is read by one statement. They live as long
// as the request, so nothing is ever served from an older one, and they only ever see the caller's own team.
import DataLoader from 'dataloader'
import type { Actor } from '../auth.ts'
import type { Env } from '../db/env.ts'
import { entityOfId, type IdEntity } from '../db/id.ts'
import { type ApiTokenView, apiTokensById } from './api-token-read.ts'
import { type DeploymentView, deploymentsById, envsOf } from './deployment-read.ts'
import { type EventView, events } from './event-read.ts'
import { type InstanceView, instances, instancesById } from './instance-read.ts'
import {
  type InvitationView,
  invitations,
  invitationsById,
  type MemberView,
  members,
  membersById,
} from './member-read.ts'
import { type OperationView, operations, operationsById } from './operation-read.ts'
import { countsOf, type Given, type List, type Page, type PageArgs, pagesOf } from './page.ts'
import { type ApprovalView, approvalsById } from './promotion-read.ts'
import { connectionsOf, type ResourceView, resourcesById } from './resource-read.ts'
import { type SecretView, secretsById } from './secret-read.ts'
import { type SecretUse, usesOf } from './secret-use.ts'
import { type StackView, stackEnvsOf, stacksById } from './stack-read.ts'
import { type Team, teamsById, type Usage, usagesOf } from './team-read.ts'
import type { Database } from './transition.ts'
import { type DeliveryView, deliveries, deliveriesById } from './webhook-delivery-read.ts'
import { type WebhookView, webhooksById } from './webhook-read.ts'

export type { Team }
export type NodeRow =
  | DeploymentView
  | ResourceView
  | StackView
  | InstanceView
  | SecretView
  | OperationView
  | ApprovalView
  | ApiTokenView
  | MemberView
  | InvitationView
  | WebhookView
  | DeliveryView
  | Team

/** Pages of one list for many owners, batched per set of page arguments and filter. */
export interface ChildList<R> {
  page(ownerId: string, args: PageArgs, filter?: Given): Promise<Page<R>>
  count(ownerId: string, filter?: Given): Promise<number>
}

export interface Loaders {
  readonly deployment: DataLoader<string, DeploymentView | null>
  readonly resource: DataLoader<string, ResourceView | null>
  /** The sealed URL of a resource. */
  readonly connection: DataLoader<string, string | null>
  readonly stack: DataLoader<string, StackView | null>
  readonly instance: DataLoader<string, InstanceView | null>
  readonly secret: DataLoader<string, SecretView | null>
  /** Who uses a secret. */
  readonly secretUses: DataLoader<string, SecretUse[]>
  readonly promotionApproval: DataLoader<string, ApprovalView | null>
  readonly operation: DataLoader<string, OperationView | null>
  readonly apiToken: DataLoader<string, ApiTokenView | null>
  readonly member: DataLoader<string, MemberView | null>
  readonly invitation: DataLoader<string, InvitationView | null>
  readonly webhook: DataLoader<string, WebhookView | null>
  readonly webhookDelivery: DataLoader<string, DeliveryView | null>
  readonly team: DataLoader<string, Team | null>
  /** What of a team's plan is in use. */
  readonly usage: DataLoader<string, Usage[]>
  /** The environment of a deployment. */
  readonly env: DataLoader<string, Env>
  readonly stackEnv: DataLoader<string, Env>
  readonly operationsOf: ChildList<OperationView>
  readonly eventsOf: ChildList<EventView>
  readonly membersOf: ChildList<MemberView>
  readonly invitationsOf: ChildList<InvitationView>
  readonly instancesOf: ChildList<InstanceView>
  readonly deliveriesOf: ChildList<DeliveryView>
  /** Any object by its id; null for what is none of ours, not there, or another team's. */
  node(id: string): Promise<NodeRow | null>
}

/** The most ids that one statement is given. */
const maxBatchSize = 500

export function createLoaders(db: Database, actor: Actor): Loaders {
  const { teamId } = actor
  const byId = <R>(read: (db: Database, teamId: string, ids: readonly string[]) => Promise<R[]>) =>
    new DataLoader<string, R>((ids) => read(db, teamId, ids), { maxBatchSize })
  const deployment = byId(deploymentsById)
  const resource = byId(resourcesById)
  const stack = byId(stacksById)
  const instance = byId(instancesById)
  const secret = byId(secretsById)
  const promotionApproval = byId(approvalsById)
  const operation = byId(operationsById)
  const apiToken = byId(apiTokensById)
  const member = byId(membersById)
  const invitation = byId(invitationsById)
  const webhook = byId(webhooksById)
  const webhookDelivery = byId(deliveriesById)
  const teams = byId(teamsById)
  const ofEntity: Record<IdEntity, { load(id: string): Promise<NodeRow | null> }> = {
    Deployment: deployment,
    Resource: resource,
    Stack: stack,
    Instance: instance,
    Secret: secret,
    PromotionApproval: promotionApproval,
    Operation: operation,
    ApiToken: apiToken,
    Member: member,
    Invitation: invitation,
    Webhook: webhook,
    WebhookDelivery: webhookDelivery,
    Team: teams,
  }
  return {
    deployment,
    resource,
    connection: byId(connectionsOf),
    stack,
    instance,
    secret,
    secretUses: byId(usesOf),
    promotionApproval,
    operation,
    apiToken,
    member,
    invitation,
    webhook,
    webhookDelivery,
    team: teams,
    usage: byId(usagesOf),
    env: byId(envsOf),
    stackEnv: byId(stackEnvsOf),
    operationsOf: childList(db, teamId, operations),
    eventsOf: childList(db, teamId, events),
    membersOf: childList(db, teamId, members),
    invitationsOf: childList(db, teamId, invitations),
    instancesOf: childList(db, teamId, instances),
    deliveriesOf: childList(db, teamId, deliveries),
    async node(id) {
      const entity = entityOfId(id)
      return entity === null ? null : await ofEntity[entity].load(id)
    },
  }
}

function childList<R>(db: Database, teamId: string, list: List<R>): ChildList<R> {
  const pages = new Map<string, DataLoader<string, Page<R>>>()
  const counts = new Map<string, DataLoader<string, number>>()
  const kept = <V>(
    loaders: Map<string, DataLoader<string, V>>,
    key: unknown,
    read: (ids: readonly string[]) => Promise<V[]>,
  ) => {
    const text = JSON.stringify(key)
    const loader = loaders.get(text) ?? new DataLoader<string, V>(read, { maxBatchSize })
    loaders.set(text, loader)
    return loader
  }
  return {
    page(ownerId, args, filter = {}) {
      const key = [args.first ?? null, args.after ?? null, args.last ?? null, args.before ?? null, filter]
      return kept(pages, key, (ids) => pagesOf(db, teamId, list, ids, args, filter)).load(ownerId)
    },
    count: (ownerId, filter = {}) =>
      kept(counts, filter, (ids) => countsOf(db, teamId, list, ids, filter)).load(ownerId),
  }
}
