// Reading the event log: the team's, and those of many subjects. Readers follow the position alone, which has no gap and
// never goes back; an event without one is not shown yet.
import { eq, getTableColumns, sql } from 'drizzle-orm'
import { event } from '../db/event.ts'
import { cursorOf, defineList, storable } from './page.ts'
import { textParam } from './transition-statement.ts'

const { transitionId: _transitionId, id: _id, ...shown } = getTableColumns(event)
export type EventView = Omit<typeof event.$inferSelect, 'transitionId' | 'id'>

export interface EventFilter {
  readonly subject?: string | null
  readonly subjectType?: string | null
  readonly kind?: string | null
  readonly actor?: string | null
  readonly from?: Date | null
  readonly to?: Date | null
}

export const events = defineList<EventView>({
  name: 'events',
  table: event,
  columns: shown,
  key: 'position',
  owner: event.subjectId,
  filters: {
    subject: eq(event.subjectId, textParam('subject')),
    subjectType: eq(event.subjectType, textParam('subjectType')),
    kind: eq(event.kind, textParam('kind')),
    actor: eq(event.actorId, textParam('actor')),
    from: sql`${event.occurredAt} >= ${textParam('from')}::timestamptz`,
    to: sql`${event.occurredAt} < ${textParam('to')}::timestamptz`,
  },
})

/** The cursor of a team's event at a position. */
export const cursorAt = (teamId: string, position: number): string =>
  cursorOf(events, teamId, { position } as EventView)

/** An event for those outside, as it is exported and as webhooks are told of it: the fields of `Event` in GraphQL, and its team. */
export const factsOf = (event: EventView) => ({
  cursor: cursorAt(event.teamId, Number(event.position)),
  occurredAt: event.occurredAt,
  teamId: event.teamId,
  kind: event.kind,
  subjectType: event.subjectType,
  subjectId: event.subjectId,
  from: event.fromState,
  to: event.toState,
  generation: event.generation,
  version: String(event.version),
  actor: { kind: event.actorKind, id: event.actorId },
  requestId: event.requestId,
  operation: event.operationId === null ? null : { id: event.operationId },
  data: event.data,
})

/** The parameters of the list's filter. Throws `BadUserInput`. */
export const eventFilter = (filter: EventFilter | null | undefined) => ({
  subject: storable('filter.subject', filter?.subject),
  subjectType: storable('filter.subjectType', filter?.subjectType),
  kind: storable('filter.kind', filter?.kind),
  actor: storable('filter.actor', filter?.actor),
  from: filter?.from?.toISOString() ?? null,
  to: filter?.to?.toISOString() ?? null,
})
