// The id of this installation, as its database has it.
import { sql } from 'drizzle-orm'
import type { Database } from './transition.ts'

/** The id that goes onto whatever drivers make for this installation; the same for all replicas and after every restore. */
export async function installationOf(db: Database): Promise<string> {
  const [row] = await db.execute<{ id: string }>(sql`/* read:installation */ select id from installation`)
  if (!row) throw new Error('the database has lost the row of the table installation: restore it')
  return row.id
}
