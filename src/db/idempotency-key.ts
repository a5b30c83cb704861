// What was answered to a call that won, so that its repeat is answered the same. Refusals are not kept.
import { index, jsonb, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

export const idempotencyKey = pgTable(
  'idempotency_key',
  {
    actorId: text('actor_id').notNull(),
    mutation: text('mutation').notNull(),
    key: text('key').notNull(),
    /** SHA-256 of the input without the key, in hex; of an input with a secret in it, a digest under a sealing key. */
    inputHash: text('input_hash').notNull(),
    subjectId: text('subject_id').notNull(),
    operationId: text('operation_id'),
    /** What the payload said beyond its subject and operation, e.g. counts. */
    result: jsonb('result').$type<Record<string, unknown>>(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.actorId, table.mutation, table.key] }),
    index('idempotency_key_age').on(table.createdAt),
  ],
)
