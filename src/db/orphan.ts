// What drivers have and no row owns: since when, so that its time of grace outlives restarts and counts for all replicas.
import { integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { moment } from './columns.ts'

export const orphan = pgTable(
  'orphan',
  {
    /** Which driver has it, e.g. `runtime.process` or `provision.POSTGRES`. */
    driver: text('driver').notNull(),
    subjectId: text('subject_id').notNull(),
    incarnation: text('incarnation').notNull(),
    /** The generation that the driver told. */
    generation: integer('generation').notNull(),
    firstSeenAt: moment('first_seen_at').notNull(),
    lastSeenAt: moment('last_seen_at').notNull(),
    /** A replica is removing it, until then. */
    claimedUntil: moment('claimed_until'),
    /** What the driver last answered, in words. */
    outcome: text('outcome'),
  },
  (table) => [primaryKey({ columns: [table.driver, table.subjectId, table.incarnation] })],
)
