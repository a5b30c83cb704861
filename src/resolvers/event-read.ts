// Reading the event log: the team's, and those of many subjects. Readers follow the position alone, which has no gap and
// never goes back; an event without one is not shown yet.
import { eq, getTableColumns, type SQL, sql } from 'drizzle-orm'
import { event } from '../db/event.ts'
import { cursorOf, defineList, storable } from './page.ts'
import { textParam } from './transition-statement.ts'

const timeParam = (name: string) => sql`${textParam(name)}::timestamptz`
const [begin, end] = [timeParam('from'), timeParam('to')]

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

/**
 * By how much the order of positions may differ from that of times: a position is given after the commit, so by as much as a
 * transaction stays open after its event. Ours do for 10 s at most.
 */
const strayed = sql.raw(`interval '1 hour'`)
/**
 * The positions around a time: `low` happened before it, `high` not. Found by halves in the index of positions, so that a window
 * of time is a range of it, and no index of times has to be kept up. Where one in the middle is missing the range stays larger.
 */
const edge = (side: 'low' | 'high', time: SQL) => sql`(with recursive half (low, high) as (
    select coalesce((select trimmed_through from event_horizon), 0), coalesce((select max(e.position) from event e), 0) + 1
    union all select case when e.occurred_at < ${time} then e.position else low end, case when e.occurred_at < ${time} then high else e.position end
      from half, lateral (select e.position, e.occurred_at from event e where e.position = (low + high) / 2) e where high - low > 1)
  select ${sql.raw(side)} from half order by high - low limit 1)`

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
    from: sql`${event.occurredAt} >= ${begin} and ${event.position} > ${edge('low', sql`${begin} - ${strayed}`)}`,
    to: sql`${event.occurredAt} < ${end} and ${event.position} < ${edge('high', sql`${end} + ${strayed}`)}`,
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
