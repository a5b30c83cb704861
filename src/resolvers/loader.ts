// The loaders of one request: whatever is asked for at one level of a query is read by one statement. They live as long
// as the request, so nothing is ever served from an older one, and they only ever see the caller's own team.
import DataLoader from 'dataloader'
import { getTableColumns } from 'drizzle-orm'
import type { Actor } from '../auth.ts'
import type { Env } from '../db/env.ts'
import { entityOfId, type IdEntity } from '../db/id.ts'
import { team } from '../db/team.ts'
import { type ApiTokenView, apiTokensById } from './api-token-read.ts'
import { type DeploymentView, deploymentsById, envsOf } from './deployment-read.ts'
import { type EventView, events } from './event-read.ts'
import { lookUp } from './look-up.ts'
import { type InvitationView, invitationsById, type MemberView, membersById } from './member-read.ts'
import { type OperationView, operations, operationsById } from './operation-read.ts'
import { countsOf, type List, type Page, type PageArgs, pagesOf } from './page.ts'
import { connectionsOf, type ResourceView, resourcesById } from './resource-read.ts'
import { type SecretView, secretsById } from './secret-read.ts'
import { type StackView, stackEnvsOf, stacksById } from './stack-read.ts'
import type { Database } from './transition.ts'

export type Team = typeof team.$inferSelect
export type NodeRow =
  | DeploymentView
  | ResourceView
  | StackView
  | SecretView
  | OperationView
  | ApiTokenView
  | MemberView
  | InvitationView
  | Team

/** Pages of one list for many owners, batched per set of page arguments. */
export interface ChildList<R> {
  page(ownerId: string, args: PageArgs): Promise<Page<R>>
  count(ownerId: string): Promise<number>
}

export interface Loaders {
  readonly deployment: DataLoader<string, DeploymentView | null>
  readonly resource: DataLoader<string, ResourceView | null>
  /** The sealed URL of a resource. */
  readonly connection: DataLoader<string, string | null>
  readonly stack: DataLoader<string, StackView | null>
  readonly secret: DataLoader<string, SecretView | null>
  readonly operation: DataLoader<string, OperationView | null>
  readonly apiToken: DataLoader<string, ApiTokenView | null>
  readonly member: DataLoader<string, MemberView | null>
  readonly invitation: DataLoader<string, InvitationView | null>
  readonly team: DataLoader<string, Team | null>
  /** The environment of a deployment. */
  readonly env: DataLoader<string, Env>
  readonly stackEnv: DataLoader<string, Env>
  readonly operationsOf: ChildList<OperationView>
  readonly eventsOf: ChildList<EventView>
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
  const secret = byId(secretsById)
  const operation = byId(operationsById)
  const apiToken = byId(apiTokensById)
  const member = byId(membersById)
  const invitation = byId(invitationsById)
  const teams = byId((from, own, ids) =>
    lookUp<Team>(from, 'read:team.byId', { table: team, columns: getTableColumns(team) }, own, ids),
  )
  const ofEntity: Record<IdEntity, { load(id: string): Promise<NodeRow | null> }> = {
    Deployment: deployment,
    Resource: resource,
    Stack: stack,
    Secret: secret,
    Operation: operation,
    ApiToken: apiToken,
    Member: member,
    Invitation: invitation,
    Team: teams,
  }
  return {
    deployment,
    resource,
    connection: byId(connectionsOf),
    stack,
    secret,
    operation,
    apiToken,
    member,
    invitation,
    team: teams,
    env: byId(envsOf),
    stackEnv: byId(stackEnvsOf),
    operationsOf: childList(db, teamId, operations),
    eventsOf: childList(db, teamId, events),
    async node(id) {
      const entity = entityOfId(id)
      return entity === null ? null : await ofEntity[entity].load(id)
    },
  }
}

function childList<R>(db: Database, teamId: string, list: List<R>): ChildList<R> {
  const pages = new Map<string, DataLoader<string, Page<R>>>()
  const counts = new DataLoader<string, number>((ids) => countsOf(db, teamId, list, ids), { maxBatchSize })
  return {
    page(ownerId, args) {
      const key = JSON.stringify([args.first ?? null, args.after ?? null, args.last ?? null, args.before ?? null])
      let loader = pages.get(key)
      if (!loader) {
        loader = new DataLoader<string, Page<R>>((ids) => pagesOf(db, teamId, list, ids, args), { maxBatchSize })
        pages.set(key, loader)
      }
      return loader.load(ownerId)
    },
    count: (ownerId) => counts.load(ownerId),
  }
}
