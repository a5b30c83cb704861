// The events of a team as they come, by the filter and the cursors of the list `events`: what is listed there is sent here.
import { eventPageOf, positionAfter } from '../resolvers/event-feed.ts'
import { cursorAt, type EventFilter, type EventView, eventFilter } from '../resolvers/event-read.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Hub } from './hub.ts'
import { pageSize } from './subject.ts'

export interface Events {
  readonly db: Database
  readonly teamId: string
  /** A cursor; null for what happens from now on. */
  readonly after: string | null
  readonly filter: EventFilter | null
  readonly signal: AbortSignal
}

/** Throws `BadUserInput`, `EventsLagged` and `DatabaseFault` before anything is sent; `EventsLagged` also later. */
export async function followEvents(
  hub: Hub,
  { db, teamId, after, filter, signal }: Events,
): Promise<AsyncIterable<EventView>> {
  const given = eventFilter(filter)
  const { subject, subjectType, kind, actor, from, to } = filter ?? {}
  return hub.follow({
    teamId,
    after: after === null ? await hub.position() : await positionAfter(db, teamId, after),
    // The conditions of the list, once more.
    wanted: (event) =>
      (subject == null || event.subjectId === subject) &&
      (subjectType == null || event.subjectType === subjectType) &&
      (kind == null || event.kind === kind) &&
      (actor == null || event.actorId === actor) &&
      (from == null || event.occurredAt >= from) &&
      (to == null || event.occurredAt < to),
    page: (position) => eventPageOf(db, teamId, { first: pageSize, after: cursorAt(teamId, position) }, given),
    signal,
  })
}
