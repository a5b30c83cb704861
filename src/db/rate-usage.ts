// What each replica has let through lately, so that all of them share one budget: exchanged from time to time, never written
// by a request.
import { doublePrecision, index, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

export const rateUsage = pgTable(
  'rate_usage',
  {
    /** Whose budget: `actor:` or `team:` and the id. */
    bucket: text('bucket').notNull(),
    /** Which process let it through, in which of its terms, which last about as long as a bucket takes to fill. */
    replica: text('replica').notNull(),
    /** Cost let through, in points, since the term began; only ever goes up. */
    spent: doublePrecision('spent').notNull(),
    toldAt: moment('told_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.bucket, table.replica] }), index('rate_usage_age').on(table.toldAt)],
)
