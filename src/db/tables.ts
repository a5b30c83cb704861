// Every table, for drizzle-kit and for the client's schema.
export { apiToken } from './api-token.ts'
export { deployment } from './deployment.ts'
export { event } from './event.ts'
export { idempotencyKey } from './idempotency-key.ts'
export { operation } from './operation.ts'
export { planUsage, team } from './team.ts'
