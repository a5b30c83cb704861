// What a move writes beside its row: the operation that it accepts, the events that tell of it, and what a repeat under the
// same key will be told. Each is written from the CTE that yields the moved rows; without them there is nothing to write.
import { type SQL, sql } from 'drizzle-orm'
import { event } from '../db/event.ts'
import { idempotencyKey } from '../db/idempotency-key.ts'
import { operation } from '../db/operation.ts'
import type { Machine, Move } from '../lifecycle/machine.ts'
import { ident, insertFrom, list, listParam, literal, textParam } from './transition-sql.ts'

type Named = { readonly machine: Machine; readonly action: string }

export function moveOf({ machine, action }: Named): Move {
  const move = machine.moves[action]
  if (!move) throw new Error(`${machine.entity} declares no move ${action}`)
  return move
}

/** The move that accepts an effect: the CTE that yields its row, and the effect. */
export interface Accepts {
  readonly cte: string
  readonly entity: string
  readonly effect: string
}
/** Who has called, for events. */
export const caller = sql`${textParam('actorKind')}, ${textParam('actorId')}, ${textParam('requestId')}, ${textParam('transitionId')}`

/** The operation is the queue entry. Ids are made by the caller, so that an unknown outcome can be looked up. */
export function queue(
  { cte, entity, effect }: Accepts,
  dueAt = sql`clock_timestamp()`,
  id = sql`(${listParam('operationIds')})[(row_number() over ())::int]`,
): SQL {
  const w = ident(cte)
  const values = {
    id,
    state: literal('PENDING'),
    stateChangedAt: sql`clock_timestamp()`,
    generation: sql`${w}.generation`,
    teamId: sql`${w}.team_id`,
    kind: literal(effect),
    subjectType: literal(entity),
    subjectId: sql`${w}.id`,
    dueAt,
    retryOf: textParam('retryOf'),
    actor: sql`jsonb_build_object('kind', ${textParam('actorKind')}, 'id', ${textParam('actorId')})`,
    requestId: textParam('requestId'),
  }
  return sql`${insertFrom(operation, values, sql`${w}`)} returning ${list(operation)}`
}

/** The events of all that was moved; `by` ends each of them when they tell themselves who has called. */
export function recordAll(records: readonly (SQL | null)[], by = sql`, ${caller}`): [string, SQL][] {
  const told = records.filter((record) => record !== null)
  if (told.length === 0) return []
  return [
    [
      'recorded',
      sql`insert into ${event} (occurred_at, team_id, subject_type, subject_id, kind, from_state,
  to_state, generation, version, operation_id, data, actor_kind, actor_id, request_id, transition_id)
  select clock_timestamp(), e.*${by}
  from (${sql.join(told, sql` union all `)}) e`,
    ],
  ]
}

/** What goes with the accepted work names its operation, too; the operation's own event names itself. Null: not told. */
export function record(part: Named, moved: string, found: string | null, work: Accepts | null, data?: SQL): SQL | null {
  const { untold } = moveOf(part)
  if (untold === 'always') return null
  const unchanged = untold === 'unchanged' && found !== null
  const { entity, table } = part.machine
  const m = ident(moved)
  const team = table === 'team' ? sql`${m}.id` : sql`${m}.team_id`
  const operationId =
    table === 'operation'
      ? sql`${m}.id`
      : work === null
        ? textParam('operationId')
        : work.cte === moved
          ? sql`(select q.id from queued q where q.subject_id = ${m}.id)`
          : sql`(select min(q.id) from queued q)`
  return sql`select ${team}, ${literal(entity)}, ${m}.id, ${literal(part.action)},
    ${found ? sql`${ident(found)}.state` : sql`null::text`}, ${m}.state, ${m}.generation, ${m}.version, ${operationId}, ${data ?? sql`null::jsonb`}
    from ${m}${found ? sql` join ${ident(found)} on ${ident(found)}.id = ${m}.id` : sql``}${unchanged ? sql` where ${ident(String(found))}.state <> ${m}.state` : sql``}`
}

export const recordQueued = (source = sql`queued q`, data = sql`null::jsonb`): SQL =>
  sql`select q.team_id, 'Operation', q.id, 'queueOperation', null::text, q.state, q.generation, q.version, q.id, ${data} from ${source}`

export function remember(source: SQL, operationId: SQL, result?: SQL): SQL {
  const values = {
    actorId: textParam('actorId'),
    mutation: textParam('mutation'),
    key: textParam('key'),
    inputHash: textParam('inputHash'),
    subjectId: sql`m.id`,
    operationId,
    result: result ?? sql`null::jsonb`,
    createdAt: sql`now()`,
  }
  return insertFrom(idempotencyKey, values, sql`${source} where ${textParam('key')} is not null`)
}
