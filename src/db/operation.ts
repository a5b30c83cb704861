// Operations: accepted work, and the queue itself. A claim is a guarded move like any other.
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { liveOperationStates, operationMachine, soleOperationStates } from '../lifecycle/operation.ts'
import { lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

export const operation = pgTable(
  'operation',
  {
    // Here `generation` is the subject's, as the operation wants it; it never changes.
    ...lifecycleColumns(operationMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    kind: text('kind').notNull(),
    subjectType: text('subject_type').notNull(),
    subjectId: text('subject_id').notNull(),
    /** Counts claims: part of the fence, so it only goes up. */
    attempt: integer('attempt').notNull().default(0),
    /** Counts what went wrong: calls that did not get through, claims whose worker died. Bounded per kind. */
    failures: integer('failures').notNull().default(0),
    /** When a worker may next take it; for RUNNING the end of the lease. */
    dueAt: moment('due_at').notNull(),
    claimToken: text('claim_token'),
    claimedBy: text('claimed_by'),
    startedAt: moment('started_at'),
    finishedAt: moment('finished_at'),
    /** What the driver last answered, in words. */
    outcome: text('outcome'),
    retryOf: text('retry_of'),
    actor: jsonb('actor').$type<{ kind: string; id: string }>().notNull(),
    requestId: text('request_id').notNull(),
  },
  (table) => [
    stateCheck(operationMachine),
    uniqueIndex('operation_one_per_subject').on(table.subjectId).where(stateIn(soleOperationStates)),
    index('operation_due').on(table.kind, table.dueAt).where(stateIn(liveOperationStates)),
    index('operation_live').on(table.subjectId, table.generation).where(stateIn(liveOperationStates)),
    index('operation_subject').on(table.subjectId, table.createdAt, table.id),
    index('operation_list').on(table.teamId, table.createdAt, table.id),
  ],
)
