// The object types by name, before their fields: so that files may point at each other's types without importing them.
import type { IdEntity } from '../db/id.ts'
import { entityOfId } from '../db/id.ts'
import type { ApiTokenView } from '../resolvers/api-token-read.ts'
import type { DeploymentView } from '../resolvers/deployment-read.ts'
import type { EventView } from '../resolvers/event-read.ts'
import type { InstanceView } from '../resolvers/instance-read.ts'
import type { Team } from '../resolvers/loader.ts'
import type { InvitationView, MemberView } from '../resolvers/member-read.ts'
import type { OperationView } from '../resolvers/operation-read.ts'
import type { ApprovalView } from '../resolvers/promotion-read.ts'
import type { ResourceView } from '../resolvers/resource-read.ts'
import type { SecretView } from '../resolvers/secret-read.ts'
import type { StackView } from '../resolvers/stack-read.ts'
import type { DeliveryView } from '../resolvers/webhook-delivery-read.ts'
import type { WebhookView } from '../resolvers/webhook-read.ts'
import { builder } from './builder.ts'

export const DeploymentRef = builder.objectRef<DeploymentView>('Deployment')
export const ResourceRef = builder.objectRef<ResourceView>('Resource')
export const StackRef = builder.objectRef<StackView>('Stack')
export const InstanceRef = builder.objectRef<InstanceView>('Instance')
export const SecretRef = builder.objectRef<SecretView>('Secret')
export const ApprovalRef = builder.objectRef<ApprovalView>('PromotionApproval')
export const OperationRef = builder.objectRef<OperationView>('Operation')
export const EventRef = builder.objectRef<EventView>('Event')
export const ApiTokenRef = builder.objectRef<ApiTokenView>('ApiToken')
export const MemberRef = builder.objectRef<MemberView>('Member')
export const InvitationRef = builder.objectRef<InvitationView>('Invitation')
export const WebhookRef = builder.objectRef<WebhookView>('Webhook')
export const WebhookDeliveryRef = builder.objectRef<DeliveryView>('WebhookDelivery')
export const TeamRef = builder.objectRef<Team>('Team')

/** The type of an object follows from its id. */
export const NodeRef = builder.interfaceRef<{ readonly id: string }>('Node').implement({
  description:
    'An object with a global id. The id tells its type (`dep_…`, `res_…`, `stk_…`, `ins_…`, `sec_…`, `apr_…`, `op_…`, `tok_…`, `mem_…`, `inv_…`, `whk_…`, `whd_…`, `team_…`) and is the same in logs.',
  resolveType: (row) => entityOfId(row.id) as IdEntity,
  fields: (t) => ({ id: t.exposeID('id', { description: 'Opaque, global, never used again.' }) }),
})
