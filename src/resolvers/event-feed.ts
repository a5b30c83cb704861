// The event log as live readers follow it: from a position on, over all teams for the hub, of one team for a subscriber that
// the hub's memory does not reach back to. Positions have no gap and never go back, so one number says all that was seen.
import { asc, gt, sql } from 'drizzle-orm'
import { event, eventHorizon } from '../db/event.ts'
import { statementOf } from '../db/prepared.ts'
import { cursorAt, type EventView, events } from './event-read.ts'
import { type Page, type PageArgs, pageOf, positionBehind } from './page.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

/** What follows a cursor is gone in part: it is older than what is kept. Its message may be told. */
export class EventsLagged extends Error {
  override readonly name = 'EventsLagged'
  /** What comes after it is all there. */
  readonly oldestCursor: string

  constructor(oldestCursor: string) {
    super('The cursor is older than what is kept of the event log. Read the objects anew, and go on from oldestCursor.')
    this.oldestCursor = oldestCursor
  }
}

/** The first events after a position, of all teams, in order: for the one reader of a process. */
export async function eventsAfter(db: Database, position: number, limit: number): Promise<EventView[]> {
  const statement = statementOf(db, 'read:event.after', () =>
    db
      .select(events.columns)
      .from(event)
      .where(gt(event.position, sql`${textParam('position')}::bigint`))
      .orderBy(asc(event.position))
      .limit(sql.placeholder('limit'))
      .prepare('read:event.after'),
  )
  return (await statement.execute({ position: String(position), limit })) as unknown as EventView[]
}

/** The last position that was given; what gets one from now on comes after it. Also right after all events were trimmed. */
export async function lastPosition(db: Database): Promise<number> {
  const statement = statementOf(db, 'read:event.last', () =>
    db
      .select({ last: sql<string>`greatest((select max(${event.position}) from ${event}), ${trimmedThrough})` })
      .from(sql`(select 1) one`)
      .prepare('read:event.last'),
  )
  const [row] = await statement.execute({})
  return Number(row?.last ?? 0)
}

const trimmedThrough = sql`coalesce((select ${eventHorizon.trimmedThrough} from ${eventHorizon}), 0)`

/** The position behind a cursor of the team's log. Throws `BadUserInput`, and `EventsLagged` where what follows is not all kept. */
export async function positionAfter(db: Database, teamId: string, cursor: string): Promise<number> {
  const position = positionBehind(events, teamId, 'after', cursor)
  await assertKept(db, teamId, position)
  return position
}

/**
 * A page of the team's log. Whether anything of it is gone is asked after it was read: what was trimmed before is in that
 * answer. Throws as `positionAfter` does.
 */
export async function eventPageOf(
  db: Database,
  teamId: string,
  args: PageArgs,
  filter: Readonly<Record<string, string | null>>,
): Promise<Page<EventView>> {
  const page = await pageOf(db, teamId, events, args, filter)
  if (args.after != null) await assertKept(db, teamId, positionBehind(events, teamId, 'after', args.after))
  return page
}

/** Through which position the log was trimmed; 0 when it never was. */
export async function horizonOf(db: Database): Promise<number> {
  const statement = statementOf(db, 'read:event.horizon', () =>
    db
      .select({ through: sql<string>`${trimmedThrough}` })
      .from(sql`(select 1) one`)
      .prepare('read:event.horizon'),
  )
  const [row] = await statement.execute({})
  return Number(row?.through ?? 0)
}

async function assertKept(db: Database, teamId: string, position: number): Promise<void> {
  const through = await horizonOf(db)
  if (position < through) throw new EventsLagged(cursorAt(teamId, through))
}
