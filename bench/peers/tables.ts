// The tables as a user of drizzle declares them: the columns that its mutation needs.
import { bigserial, integer, jsonb, pgTable, text, timestamp } from 'drizzle-orm/pg-core'

const moment = (name: string) => timestamp(name, { withTimezone: true })

export const apiToken = pgTable('api_token', {
  id: text('id').primaryKey(),
  state: text('state').notNull(),
  teamId: text('team_id').notNull(),
  lookupId: text('lookup_id').notNull(),
  secretHash: text('secret_hash').notNull(),
  expiresAt: moment('expires_at').notNull(),
})
export const deployment = pgTable('deployment', {
  id: text('id').primaryKey(),
  state: text('state').notNull(),
  stateReason: text('state_reason'),
  stateChangedAt: moment('state_changed_at').notNull(),
  version: integer('version').notNull(),
  generation: integer('generation').notNull(),
  teamId: text('team_id').notNull(),
  image: text('image').notNull(),
})
export const operation = pgTable('operation', {
  id: text('id').primaryKey(),
  state: text('state').notNull(),
  stateChangedAt: moment('state_changed_at').notNull(),
  generation: integer('generation').notNull(),
  teamId: text('team_id').notNull(),
  kind: text('kind').notNull(),
  subjectType: text('subject_type').notNull(),
  subjectId: text('subject_id').notNull(),
  dueAt: moment('due_at').notNull(),
  actor: jsonb('actor').notNull(),
  requestId: text('request_id').notNull(),
})
export const event = pgTable('event', {
  id: bigserial('id', { mode: 'number' }).primaryKey(),
  occurredAt: moment('occurred_at').notNull(),
  teamId: text('team_id').notNull(),
  subjectType: text('subject_type').notNull(),
  subjectId: text('subject_id').notNull(),
  kind: text('kind').notNull(),
  fromState: text('from_state'),
  toState: text('to_state').notNull(),
  generation: integer('generation').notNull(),
  version: integer('version').notNull(),
  actorKind: text('actor_kind').notNull(),
  actorId: text('actor_id').notNull(),
  requestId: text('request_id').notNull(),
  operationId: text('operation_id'),
  transitionId: text('transition_id').notNull(),
})
export const idempotencyKey = pgTable('idempotency_key', {
  actorId: text('actor_id').notNull(),
  mutation: text('mutation').notNull(),
  key: text('key').notNull(),
  inputHash: text('input_hash').notNull(),
  subjectId: text('subject_id').notNull(),
  operationId: text('operation_id'),
  createdAt: moment('created_at').notNull(),
})
