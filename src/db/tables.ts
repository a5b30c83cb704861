// Every table, for drizzle-kit and for the client's schema.
export { apiToken } from './api-token.ts'
export { deployment } from './deployment.ts'
export { event, eventHorizon } from './event.ts'
export { idempotencyKey } from './idempotency-key.ts'
export { installation } from './installation.ts'
export { instance } from './instance.ts'
export { invitation } from './invitation.ts'
export { member } from './member.ts'
export { operation } from './operation.ts'
export { orphan } from './orphan.ts'
export { promotionApproval } from './promotion-approval.ts'
export { rateUsage } from './rate-usage.ts'
export { resource } from './resource.ts'
export { secret } from './secret.ts'
export { stack } from './stack.ts'
export { planUsage, team } from './team.ts'
export { webhook } from './webhook.ts'
export { webhookDelivery } from './webhook-delivery.ts'

import type { apiToken } from './api-token.ts'
import type { deployment } from './deployment.ts'
import type { instance } from './instance.ts'
import type { invitation } from './invitation.ts'
import type { member } from './member.ts'
import type { operation } from './operation.ts'
import type { promotionApproval } from './promotion-approval.ts'
import type { resource } from './resource.ts'
import type { secret } from './secret.ts'
import type { stack } from './stack.ts'
import type { team } from './team.ts'
import type { webhook } from './webhook.ts'
import type { webhookDelivery } from './webhook-delivery.ts'

/** A table whose rows have a lifecycle. */
export type LifecycleTable = SubjectTable | typeof operation | typeof team
/** A table whose rows belong to a team and are moved by callers. */
export type SubjectTable =
  | typeof apiToken
  | typeof deployment
  | typeof instance
  | typeof invitation
  | typeof member
  | typeof promotionApproval
  | typeof resource
  | typeof secret
  | typeof stack
  | typeof webhook
  | typeof webhookDelivery
