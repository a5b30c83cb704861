// What replicas tell each other of the budgets that callers have used: one statement for both ways, from time to time. Not a
// word of it is written by a request, and nothing waits for it.
import { sql } from 'drizzle-orm'
import type { Heard, Told } from '../rate-limit.ts'
import type { Database } from './transition.ts'

/** What one exchange listens to at most; of more than that, to those who spend most. */
const maxHeard = 10_000
/**
 * Rows are told at the beginning of a statement and seen at its end: this far back they are looked at again. What takes even
 * longer is heard when its counter goes up the next time.
 */
const overlapMs = 2_000
/** After that long nobody looks at a row any more: see `horizonMs` in src/rate-limit.ts, and some more for a late clock. */
const keptMs = 300_000

export interface Exchanged {
  readonly heard: readonly Heard[]
  /** The moment, by the database's clock, from which the next exchange is to listen on. */
  readonly at: string
}

/**
 * Tells what this replica has let through, and hears what others have told since `since`, or within `horizonMs` when that is
 * later or there was no exchange yet. A row belongs to one process, so no two ever write the same one: the upsert hides no
 * race; and because counters only go up, to tell the same twice changes nothing.
 */
export async function exchangeRateUsage(
  db: Database,
  { replica, spent }: Told,
  { since, horizonMs }: { readonly since: string | null; readonly horizonMs: number },
): Promise<Exchanged> {
  const rows = await db.execute<{
    at: string
    bucket: string | null
    replica: string
    spent: number
  }>(sql`/* exchangeRateUsage */
    with told as (
      insert into rate_usage (bucket, replica, spent, told_at)
      select t.bucket, ${replica}::text, t.spent, now()
      from jsonb_to_recordset(${JSON.stringify(spent)}::text::jsonb) as t(bucket text, spent float8)
      on conflict (bucket, replica) do update set spent = greatest(rate_usage.spent, excluded.spent), told_at = excluded.told_at),
    heard as (
      select bucket, replica, spent from rate_usage
      where told_at > greatest(
          ${since}::text::timestamptz - ${overlapMs}::text::float8 * interval '1 millisecond',
          now() - ${horizonMs}::text::float8 * interval '1 millisecond')
        and split_part(replica, '.', 1) <> split_part(${replica}::text, '.', 1)
      order by spent desc limit ${sql.raw(String(maxHeard))})
    select now()::text as at, heard.bucket, heard.replica, heard.spent from (select 1) as once left join heard on true`)
  const heard = rows.flatMap(({ bucket, replica: other, spent: points }) =>
    bucket === null ? [] : [{ bucket, replica: other, spent: points }],
  )
  return { heard, at: rows[0]?.at ?? '' }
}

/** Removes up to `limit` rows that nobody looks at any more; returns how many. */
export async function trimRateUsage(db: Database, limit: number): Promise<number> {
  const rows = await db.execute(sql`/* trimRateUsage */ delete from rate_usage where (bucket, replica) in (
    select bucket, replica from rate_usage where told_at < now() - ${keptMs}::text::float8 * interval '1 millisecond'
    order by told_at limit ${sql.raw(String(limit))} for update skip locked) returning bucket`)
  return rows.length
}
