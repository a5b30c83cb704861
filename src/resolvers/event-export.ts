// Reading the whole log, of one team or of all, in the order of positions and in steps of a bounded size: for the program that
// writes it down as JSON lines. The fields are those of an Event in GraphQL, and its team.
import { and, asc, eq, gte, lt, sql } from 'drizzle-orm'
import { event } from '../db/event.ts'
import { team } from '../db/team.ts'
import { horizonOf, lastPosition, positionAfter } from './event-feed.ts'
import { type EventView, events, factsOf } from './event-read.ts'
import { BadUserInput } from './page.ts'
import type { Database } from './transition.ts'

/** How many positions one statement looks at, however few of them are wanted. */
const step = 2_000

export interface Wanted {
  readonly teamId?: string | undefined
  readonly from?: Date | undefined
  /** Only before this time. */
  readonly to?: Date | undefined
}

/** What was trimmed while it was read: what is written so far has a gap at its end. */
export class TrimmedMeanwhile extends Error {
  override readonly name = 'TrimmedMeanwhile'
}

/** All that is wanted after a position and has one by now, page by page. Throws `TrimmedMeanwhile`. */
export async function* eventPages(
  db: Database,
  after: number,
  { teamId, from, to }: Wanted,
): AsyncGenerator<EventView[]> {
  const last = await lastPosition(db)
  for (let place = after; place < last; place += step) {
    const rows = await db
      .select(events.columns)
      .from(event)
      .where(
        and(
          sql`${event.position} > ${place} and ${event.position} <= ${Math.min(place + step, last)}`,
          teamId === undefined ? undefined : eq(event.teamId, teamId),
          from && gte(event.occurredAt, from),
          to && lt(event.occurredAt, to),
        ),
      )
      .orderBy(asc(event.position))
    // Asked after it was read: what was trimmed before is in the answer.
    if ((await horizonOf(db)) > place)
      throw new TrimmedMeanwhile(`what follows position ${place} was trimmed meanwhile`)
    yield rows as unknown as EventView[]
  }
}

/** The position behind a cursor of any team, or of that one. Throws `BadUserInput`, and `EventsLagged` where what follows is gone in part. */
export async function positionOf(db: Database, cursor: string, teamId?: string): Promise<number> {
  if (teamId !== undefined) return positionAfter(db, teamId, cursor)
  const [place] = Buffer.from(cursor, 'base64url').toString().split('.')
  const [found] = /^\d{1,15}$/.test(String(place))
    ? await db
        .select({ teamId: event.teamId })
        .from(event)
        .where(eq(event.position, Number(place)))
    : []
  if (!found)
    throw new BadUserInput(
      'after is not the cursor of an event that is there: with the team, it may be that of a trimmed one.',
    )
  return positionAfter(db, found.teamId, cursor)
}

/** Whether there is such a team. */
export async function isTeam(db: Database, id: string): Promise<boolean> {
  const rows = await db.select({ id: team.id }).from(team).where(eq(team.id, id))
  return rows.length > 0
}

/** One event as one line of JSON. */
export const lineOf = (row: EventView): string => JSON.stringify(factsOf(row))
