// Pieces of operations that are written by hand for planted bugs: the event of a change, the work that it accepts.
import { type SQL, sql } from 'drizzle-orm'
import type { Context } from '../../../src/context.ts'
import type { Operation } from '../../../src/resolvers/transition.ts'

const by = ({ actor, requestId }: Context) =>
  sql`'token', ${actor.id}::text, ${requestId}::text, gen_random_uuid()::text`

export interface Told {
  readonly type: string
  readonly kind: string
  /** Null: the state that a CTE named `found` has. */
  readonly from: string | null
  readonly operationId?: string
}

/** The event of a change, from the CTE that made it. */
export const eventOf = (context: Context, cte: string, { type, kind, from, operationId }: Told): SQL => {
  const before = from === null ? sql`found.state` : sql`${from}::text`
  return sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version,
    operation_id, actor_kind, actor_id, request_id, transition_id)
  select now(), m.team_id, ${type}::text, m.id, ${kind}::text, ${before}, m.state, m.generation, m.version,
    ${operationId ?? null}::text, ${by(context)} from ${sql.identifier(cte)} m${from === null ? sql` join found on found.id = m.id` : sql``} returning 1`
}

/** The operation that a change accepts. */
export const queueOf = (id: string, type: string, kind: string, cte: string): SQL => sql`insert into operation
    (id, state, generation, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
  select ${id}::text, 'PENDING', generation, team_id, ${kind}::text, ${type}::text, id, now(), '{}', 'mutant' from ${sql.identifier(cte)} returning *`

/** The event of that operation. */
export const bornWork = (context: Context): SQL =>
  sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind, actor_id,
    request_id, transition_id) select now(), team_id, 'Operation', id, 'queueOperation', state, generation, version, ${by(context)} from queued`

/** What a caller is told of accepted work. */
export const accepted = (id: string) => ({ operation: { id } as Operation, replayed: false })
