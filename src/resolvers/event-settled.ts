// Until when the past is settled: an event is stamped while its statement runs, seen when that commits, and listed when it has
// its position. What is still on that way decides, exactly, and nothing has to be waited out.
import { sql } from 'drizzle-orm'
import type { Database } from './transition.ts'

/**
 * How far back a writer may have begun whose begin this role is not shown, because the writer has another role: as long as no
 * statement of ours lives, twice over (`statement_timeout` is 10 s at most, `idle_in_transaction_session_timeout` as well).
 */
const unseenWriterMs = 20_000

/**
 * The time before which the log does not change any more, but for what is trimmed: every event that happened earlier has its
 * position, for whoever asks after this has answered. Two statements, because the order matters: first who may still write,
 * then, by a newer snapshot, what was written and has no position.
 *
 * Why it holds: whoever writes an event holds a lock on the table from before it is stamped until after it is committed. A
 * writer that the first statement sees has begun before anything that it stamps; one that it does not see has either
 * committed, so that the second statement sees its events, or begins, and stamps, later. Locks are of the table, so that a
 * long transaction that writes no events, here or in another database, holds nothing up.
 */
export async function settledUntil(db: Database): Promise<Date> {
  const ms = async (query: ReturnType<typeof sql>) => {
    const [row] = await db.execute<{ ms: number | null }>(query)
    return row?.ms ?? Number.POSITIVE_INFINITY
  }
  const writers = await ms(sql`/* read:event.writers */ select floor(extract(epoch from least(statement_timestamp(),
      min(coalesce(a.xact_start, statement_timestamp() - ${unseenWriterMs}::int * interval '1 millisecond')))) * 1000)::float8 as ms
    from pg_locks l left join pg_stat_activity a using (pid)
    where l.locktype = 'relation' and l.relation = 'event'::regclass and l.mode = 'RowExclusiveLock' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())`)
  const waiting =
    await ms(sql`/* read:event.waiting */ select floor(extract(epoch from min(occurred_at)) * 1000)::float8 as ms
    from event where position is null`)
  return new Date(Math.min(writers, waiting))
}
