// How long the answer to an idempotency key is kept.
import { sql } from 'drizzle-orm'
import type { Database } from './transition.ts'

const keptDays = 7

/** Removes up to `limit` keys that are older than seven days; returns how many. */
export async function trimIdempotencyKeys(db: Database, limit: number): Promise<number> {
  const rows =
    await db.execute(sql`/* trimIdempotencyKeys */ delete from idempotency_key where (actor_id, mutation, key) in (
    select actor_id, mutation, key from idempotency_key where created_at < now() - ${keptDays}::int * interval '1 day'
    order by created_at limit ${limit} for update skip locked) returning key`)
  return rows.length
}
