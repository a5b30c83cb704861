// Every mutation of one object by its id: the same steps in the same order for every entity. Scope, input, id, what can be
// refused before anything is asked, then the one statement; each of its answers has exactly one typed form.
import { and, eq } from 'drizzle-orm'
import type { z } from 'zod'
import type { Action } from '../auth.ts'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { entityOfId, type IdEntity } from '../db/id.ts'
import { operation } from '../db/operation.ts'
import type { SubjectTable } from '../db/tables.ts'
import type { team } from '../db/team.ts'
import { notFound, type Refusal } from '../refusals.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  type HashInput,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
  versionConflict,
} from './call.ts'
import { check } from './input.ts'
import { whileNameMoves } from './live-named.ts'
import { answeredBefore } from './read-back.ts'
import { type Call, type Operation, type Replayed, type Row, type Rule, startsFrom, transition } from './transition.ts'

/** What callers move by its id. */
export type MovedTable = SubjectTable | typeof team
export type ById = CallInput & { readonly id: string }

/** What is the same for all mutations of an entity. */
export interface Kind<T extends MovedTable, A extends string> {
  readonly table: T
  readonly entity: IdEntity
  /** Its word in the schema, e.g. `deployment`. */
  readonly word: string
  /** The state is not one that the action may start from. */
  wrongState(context: Context, action: A, row: Row<T>): Promise<Refusal>
}

/** What was accepted, or accepted earlier under the same key. */
export interface Accepted<T extends MovedTable> {
  readonly row: Row<T>
  readonly operation: Operation | null
  readonly replayed: boolean
  /** The row as it was under the lock; null in a replay. */
  readonly before: Row<T> | null
  /** What was stored beyond subject and operation, where the statement's own answer is not at hand. */
  readonly result: Record<string, unknown> | null
}

export interface Particulars<T extends MovedTable, V, P extends Payload> {
  readonly values?: (value: V, context: Context) => Call['values']
  /** What can be told to be wrong before anything is asked; a repeat of a call that won is never refused here. */
  readonly refuseEarly?: (value: V, call: Call) => Promise<Refusal | null>
  /** Explains a refusal when state and version were right. */
  readonly guard?: (found: Row<T>, value: V) => Refusal | Promise<Refusal>
  /** A constraint of that name has stopped the move; null where that is no answer. */
  readonly constrained?: (constraint: string, value: V) => Promise<Refusal | null>
  /** What tells its inputs apart, where they may hold a secret. */
  readonly hash?: HashInput
  readonly payload: (accepted: Accepted<T>, value: V) => P
}

/** Runs the mutation `action` on the object `input.id`. */
export function moveById<T extends MovedTable, A extends string, S extends z.ZodType, P extends Payload>(
  context: Context,
  kind: Kind<T, A>,
  action: A & Action,
  rule: Rule<T>,
  schema: S,
  input: ById,
  particulars: Particulars<T, z.output<S>, P>,
): Promise<Result<P>> {
  const decide = async (): Promise<Result<P>> => {
    const checked = check(schema, input)
    if (faulty(checked)) return refuseFaults(checked)
    const entity = entityOfId(input.id)
    if (entity !== kind.entity) {
      return notFound(kind.word, input.id, entity === null ? '' : ` Its form is that of the id of a ${entity}.`)
    }
    const call: Call = {
      ...causeOf(context),
      values: { id: input.id, teamId: context.actor.teamId, ...particulars.values?.(checked.value, context) },
      ...callOptions(action, input, checked, particulars.hash),
    }
    const early = await particulars.refuseEarly?.(checked.value, call)
    if (early) return early
    const found = await transition(context.db, rule, call).catch(async (error: unknown) => {
      const constraint = error instanceof DatabaseFault && error.kind === 'constraint' ? error.constraint : undefined
      const refusal = constraint ? await particulars.constrained?.(constraint, checked.value) : null
      if (!refusal) throw error
      return refusal
    })
    if ('refusal' in found) return found
    switch (found.kind) {
      case 'moved':
        return particulars.payload({ ...found, replayed: false, result: found.data ?? null }, checked.value)
      case 'replayed':
        return particulars.payload(await replay(context, kind, found), checked.value)
      case 'key-reused':
        return keyReused(action, found)
      case 'missing':
        return notFound(kind.word, input.id)
      case 'refused': {
        const row = found.found as Row<T> & { id: string; state: string; version: number }
        if (!startsFrom(rule).includes(row.state)) return kind.wrongState(context, action, row)
        const expected = checked.expectedVersion
        if (expected !== null && row.version !== expected) return versionConflict(kind.word, row, expected)
        if (particulars.guard) return particulars.guard(row, checked.value)
        throw new Error(`${action} of ${row.id} was refused for no reason that is known`)
      }
    }
  }
  const repeated = async (): Promise<Result<P> | null> => {
    const checked = check(schema, input)
    if (faulty(checked) || entityOfId(input.id) !== kind.entity) return null
    const found = await answeredBefore(context.db, {
      ...causeOf(context),
      ...callOptions(action, input, checked, particulars.hash),
    })
    if (found?.kind !== 'replayed') return null
    return particulars.payload(await replay(context, kind, found), checked.value)
  }
  return answer(context, kind.entity, action, () => whileNameMoves(decide), repeated)
}

/** The answer that an earlier call under the same key was given, with the objects as they are now. */
export async function replay<T extends MovedTable>(
  context: Context,
  { table, word }: Pick<Kind<T, never>, 'table' | 'word'>,
  found: Replayed,
): Promise<Accepted<T>> {
  // A team is its own team.
  const mine = and(eq(table.id, found.subjectId), eq('teamId' in table ? table.teamId : table.id, context.actor.teamId))
  const [row] = (await context.db
    .select()
    .from(table as never)
    .where(mine)) as Row<T>[]
  if (!row) throw new Error(`the replayed ${word} ${found.subjectId} is gone`)
  const [work] = found.operationId
    ? await context.db.select().from(operation).where(eq(operation.id, found.operationId))
    : []
  return { row, operation: work ?? null, replayed: true, before: null, result: found.result }
}
