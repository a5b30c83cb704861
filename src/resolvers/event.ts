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
 */
export async function sequenceEvents(db: Database, limit: number): Promise<number> {
  try {
    const rows =
      await db.execute(sql`/* sequenceEvents */ with turn as materialized (select pg_try_advisory_xact_lock(${lockKey}) as mine),
      waiting as materialized (select id from event where position is null and (select mine from turn) order by id limit ${limit}),
      last as materialized (select greatest((select max(position) from event), (select max(trimmed_through) from event_horizon), 0) as position
        from turn where mine),
      numbered as (select id, (select position from last) + row_number() over (order by id) as position from waiting)
      update event set position = numbered.position from numbered where event.id = numbered.id and event.position is null returning event.id`)
    return rows.length
  } catch (error) {
    if (error instanceof DatabaseFault && error.constraint === 'event_position') return 0
    throw error
  }
}
