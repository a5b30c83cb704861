// What streams read from: a share of the database for all of them together, with room for as many as a process may have. A
// client that lost its process opens all of its streams at once, and one event may be told to all of them.
import { laneOf } from '../db/lane.ts'
import type { Database } from './transition.ts'

/** The same database, for whatever streams ask. */
export const shareOf = (db: Database): Database => laneOf(db, { atOnce: 16, maxWaiting: 4_000, waitMs: 10_000 })
