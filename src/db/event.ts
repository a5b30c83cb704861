// The event log: audit trail, live feed and webhook source in one, append only. Written in the statement of the change.
import { sql } from 'drizzle-orm'
import { bigserial, boolean, check, index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { counter, moment } from './columns.ts'

export const event = pgTable(
  'event',
  {
    /** Taken while the subject is locked: in id order the chain of one subject is unbroken. */
    id: bigserial('id', { mode: 'number' }).primaryKey(),
    /** Given by the sequencer after commit: no gap, never goes back. Readers follow this alone. */
    position: counter('position'),
    occurredAt: moment('occurred_at').notNull(),
    teamId: text('team_id').notNull(),
    subjectType: text('subject_type').notNull(),
    subjectId: text('subject_id').notNull(),
    /** The action: the same word as the mutation. */
    kind: text('kind').notNull(),
    fromState: text('from_state'),
    toState: text('to_state').notNull(),
    generation: integer('generation').notNull(),
    version: integer('version').notNull(),
    actorKind: text('actor_kind').notNull(),
    actorId: text('actor_id').notNull(),
    requestId: text('request_id').notNull(),
    operationId: text('operation_id'),
    /** Made by the client for each statement: how an unknown outcome is looked up. */
    transitionId: text('transition_id').notNull(),
    /** Facts that are safe to show to everybody in the team: counts and key names, never values. */
    data: jsonb('data').$type<Record<string, unknown>>(),
  },
  (table) => [
    uniqueIndex('event_position').on(table.position),
    index('event_unsequenced').on(table.id).where(sql`position is null`),
    index('event_subject').on(table.subjectId, table.id),
    index('event_team').on(table.teamId, table.position),
  ],
)

/** How far the log was trimmed: events through that position are gone. One row, so that positions are never given again. */
export const eventHorizon = pgTable(
  'event_horizon',
  {
    one: boolean('one').primaryKey().default(true),
    trimmedThrough: counter('trimmed_through').notNull().default(0),
  },
  () => [check('event_horizon_one', sql`one`)],
)
