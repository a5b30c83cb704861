// Secrets: values that workloads are given and nobody reads back. Only the sealed value is kept, and none after the end.
import { sql } from 'drizzle-orm'
import { check, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { secretMachine } from '../lifecycle/secret.ts'
import { lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

export const secret = pgTable(
  'secret',
  {
    ...lifecycleColumns(secretMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    environment: text('environment').notNull(),
    name: text('name').notNull(),
    /** Sealed for this row and this revision; null once it is deleted. */
    value: text('value'),
    /** Counts values, from 1; part of what the value is sealed for. */
    revision: integer('revision').notNull().default(1),
    changedAt: moment('changed_at').notNull(),
    changedBy: text('changed_by').notNull(),
  },
  (table) => [
    stateCheck(secretMachine),
    check('secret_erased', sql`state = 'ACTIVE' or value is null`),
    uniqueIndex('secret_name')
      .on(table.teamId, table.environment, table.name)
      .where(stateIn(['ACTIVE'])),
    index('secret_list').on(table.teamId, table.createdAt, table.id),
  ],
)
