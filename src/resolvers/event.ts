// The sequencer: gives committed events the next positions, so that readers follow one number without gap or inversion.
import { sql } from 'drizzle-orm'
import { DatabaseFault } from '../db/fault.ts'
import type { Database } from './transition.ts'

/** Any number that is ours alone: the advisory lock that one sequencer holds at a time. */
const lockKey = 7_294_002

/**
 * Gives up to `limit` committed events without a position the next ones, in id order; returns how many. One statement,
 * one sequencer at a time by an advisory lock that ends with it. A loser whose snapshot is from before the winner's commit
 * is stopped by the unique index, and has simply nothing to do. Positions go on from the horizon when all is trimmed.
 * The first one is searched for by itself, in the order of the index, which leaves out from then on what it has passed: until
 * they are vacuumed, all that were given their positions are still in there. Each is updated by its id, and not found among all that
 * wait, of which the planner knows nothing: with a backlog of 20,000 a batch took longer than a statement may.
 */
export async function sequenceEvents(db: Database, limit: number): Promise<number> {
  try {
    const rows =
      await db.execute(sql`/* sequenceEvents */ with turn as materialized (select pg_try_advisory_xact_lock(${lockKey}) as mine),
      waiting as materialized (select array(select id from event where position is null and id >= (select min(id) from event where position is null)
        and (select mine from turn) order by id limit ${limit}) as ids),
      last as materialized (select greatest((select max(position) from event), (select max(trimmed_through) from event_horizon), 0) as position
        from turn where mine)
      update event set position = last.position + numbered.place
        from last, waiting, unnest(waiting.ids) with ordinality as numbered (id, place)
        where event.id = numbered.id and coalesce(event.position, 0) = 0 returning event.id`)
    return rows.length
  } catch (error) {
    if (error instanceof DatabaseFault && error.constraint === 'event_position') return 0
    throw error
  }
}
