// Every table, for drizzle-kit and for the client's schema.
export { apiToken } from './api-token.ts'
export { deployment } from './deployment.ts'
export { event } from './event.ts'
export { idempotencyKey } from './idempotency-key.ts'
export { operation } from './operation.ts'
export { resource } from './resource.ts'
export { planUsage, team } from './team.ts'

import type { apiToken } from './api-token.ts'
import type { deployment } from './deployment.ts'
import type { operation } from './operation.ts'
import type { resource } from './resource.ts'
import type { team } from './team.ts'

/** A table whose rows have a lifecycle. */
export type LifecycleTable = SubjectTable | typeof operation | typeof team
/** A table whose rows belong to a team and are moved by callers. */
export type SubjectTable = typeof apiToken | typeof deployment | typeof resource
