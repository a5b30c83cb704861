// Events as they are written, without what they are about: at any time, of any object, and read back by their places.
import type postgres from 'postgres'

export interface EventFacts {
  readonly teamId: string
  readonly subject?: string
  readonly kind?: string
  readonly type?: string
  readonly from?: string | null
  readonly to?: string
  readonly version?: number
  readonly generation?: number
  /** How long ago it happened. */
  readonly daysAgo?: number
}

/** Writes an event; returns its id. It waits for its position like every other. */
export async function tell(sql: postgres.ISql, facts: EventFacts): Promise<number> {
  const { teamId, subject = 'dep_one', type = 'Deployment', kind = 'test', from = null, to = 'HEALTHY' } = facts
  const [row] = await sql<{ id: number }[]>`
    insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version, actor_kind,
      actor_id, request_id, transition_id)
    values (clock_timestamp() - ${facts.daysAgo ?? 0}::float8 * interval '1 day', ${teamId}, ${type}, ${subject}, ${kind}, ${from}, ${to},
      ${facts.generation ?? 1}, ${facts.version ?? 1}, 'system', 'test', 'test', 'test')
    returning id::int`
  if (!row) throw new Error('nothing was written')
  return row.id
}

/** The places of all events that have one, in order, and the horizon. */
export async function places(sql: postgres.Sql): Promise<{ positions: number[]; horizon: number }> {
  const rows = await sql<{ position: number }[]>`
    select position::int from event where position is not null order by position`
  const [row] = await sql<{ horizon: number }[]>`select trimmed_through::int as horizon from event_horizon`
  return { positions: rows.map(({ position }) => position), horizon: row?.horizon ?? -1 }
}
