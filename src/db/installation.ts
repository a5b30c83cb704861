// Who we are: one row with an id that was made with this database and goes with it into every backup. Drivers put it on what
// they make, so that of two installations on one provider neither takes the other's things for its orphans.
import { sql } from 'drizzle-orm'
import { boolean, check, pgTable, text } from 'drizzle-orm/pg-core'

export const installation = pgTable(
  'installation',
  {
    one: boolean('one').primaryKey().default(true),
    id: text('id').notNull(),
  },
  () => [check('installation_one', sql`one`)],
)
