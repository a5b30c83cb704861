// What each replica has let through lately, so that all of them share one budget: exchanged from time to time, never written
// by a request.
import { doublePrecision, index, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

export const rateUsage = pgTable(
  'rate_usage',
  {
    /** Whose budget: an actor's or a team's id. */
    bucket: text('bucket').notNull(),
    /** Which process let it through. */
    replica: text('replica').notNull(),
    /** Cost let through, in points, since the process began to tell; only ever goes up. */
    spent: doublePrecision('spent').notNull(),
    toldAt: moment('told_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.bucket, table.replica] }), index('rate_usage_age').on(table.toldAt)],
)
