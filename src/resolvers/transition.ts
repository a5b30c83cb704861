// The only writer of state. A rule says which declared move is made, on which rows, for which extra reasons; transition()
// makes it in one statement and one round trip, and answers with what became of it: moved, refused, missing.
// Nothing else in Pawl changes a state column, and the database refuses whoever tries.
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import type { operation } from '../db/operation.ts'
import { statementOf } from '../db/prepared.ts'
import type { LifecycleTable } from '../db/tables.ts'
import type { Machine } from '../lifecycle/machine.ts'
import { answeredBefore, lookUpLost } from './read-back.ts'
import type { Birth, Row, Rule } from './transition-rule.ts'
import { acceptsWork, moveOf, prepareBirth, prepareRule } from './transition-statement.ts'

export type { Birth, Born, Part, Row, Rule, Take } from './transition-rule.ts'
export { defineBirth, defineBorn, defineCarried, defineRule } from './transition-rule.ts'

export type Database = PostgresJsDatabase
export type Operation = typeof operation.$inferSelect
/** Who asks, under which request; every event and operation says so. */
export interface Cause {
  readonly actor: { readonly kind: string; readonly id: string }
  readonly requestId: string
}

/** A caller's right to ask again: unique per actor and mutation. */
export interface Idempotency {
  readonly mutation: string
  readonly key: string
  /** Tells the input, without the key, from another: SHA-256 in hex, or a keyed digest where it holds a secret. */
  readonly inputHash: string
  /** The same input's digests under keys that have sealed before: what was stored by them is the same input, too. */
  readonly otherHashes?: readonly string[]
}

export interface Call extends Cause {
  /** The rule's own parameters, as text; null where absent. Those that every call has are told below, never here. */
  readonly values?: Readonly<Record<string, string | number | null>>
  readonly idempotency?: Idempotency
  readonly expectedVersion?: number
  /** The operation that this call works on or repeats, for the record. */
  readonly operationId?: string
  readonly retryOf?: string
}

export interface Moved<T extends LifecycleTable, U extends LifecycleTable = LifecycleTable> {
  readonly kind: 'moved'
  /** The row as it was under the lock. */
  readonly before: Row<T> | null
  readonly row: Row<T>
  readonly also: Row<U> | null
  readonly operation: Operation | null
  /** The rows that were born with it, in the order of the rule; empty where the answer was lost and had to be read back. */
  readonly born: readonly unknown[]
  /** How many rows each of the rule's `carries` moved and then each of its `bears` made; none where the answer was lost and read back. */
  readonly along?: readonly number[]
  /** The event's facts, where the answer was lost and had to be read back. */
  readonly data?: Record<string, unknown> | null
}
/** The state, the version or an extra reason was against it: the row as it really is. Nothing was changed. */
export interface Refused<T extends LifecycleTable, U extends LifecycleTable = LifecycleTable> {
  readonly kind: 'refused'
  readonly found: Row<T>
  readonly also: Row<U> | null
}
/** There is no such row, or not in this team. */
export interface Missing {
  readonly kind: 'missing'
}
/** The same call won before: this is what it was told. */
export interface Replayed {
  readonly kind: 'replayed'
  readonly subjectId: string
  readonly operationId: string | null
  readonly result: Record<string, unknown> | null
}
/** The key was used for another input. */
export interface KeyReused {
  readonly kind: 'key-reused'
  readonly firstUsedAt: Date
}
export type Answer<T extends LifecycleTable, U extends LifecycleTable = LifecycleTable> =
  | Moved<T, U>
  | Refused<T, U>
  | Missing
  | Replayed
  | KeyReused

interface FoundRow {
  found: unknown
  moved: unknown
  operation?: unknown
  foundAlso?: unknown
  movedAlso?: unknown
  born0?: unknown
  born1?: unknown
  [count: `along${number}`]: number | undefined
}

/**
 * Makes one move of one row (and of the row that goes with it), or says why not. One statement on the way that wins;
 * a loser with a key takes one more, to see whether it is a repeat of a call that won.
 * Throws `DatabaseFault` when the database could not decide, or when what was decided cannot be found out.
 */
export async function transition<T extends LifecycleTable, U extends LifecycleTable>(
  db: Database,
  rule: Rule<T, U>,
  call: Call,
): Promise<Answer<T, U>> {
  const statement = statementOf(db, rule.name, () => prepareRule(db, rule as unknown as Rule))
  const values = parameters(call, 1)
  return decide(db, call, values, String(call.values?.id ?? ''), rule.subject.table, async () => {
    const [row] = (await statement.execute(values)) as FoundRow[]
    if (!row) return { kind: 'missing' }
    if (!row.moved)
      return { kind: 'refused', found: row.found as Row<T>, also: (row.foundAlso ?? null) as Row<U> | null }
    return moved<T, U>(row)
  })
}

/** Makes a row, or says which call made it before. Constraints come out as `DatabaseFault` of kind `constraint`. */
export async function bring<T extends LifecycleTable>(
  db: Database,
  birth: Birth<T>,
  call: Call & { id: string },
): Promise<Answer<T>> {
  const statement = statementOf(db, birth.name, () => prepareBirth(db, birth as unknown as Birth))
  const values = parameters({ ...call, values: { ...call.values, id: call.id } }, 1)
  return decide(db, call, values, call.id, birth.table, async () => {
    const [row] = (await statement.execute(values)) as FoundRow[]
    return row ? moved<T, LifecycleTable>(row) : { kind: 'missing' }
  })
}

/** For loops: makes the move on each row of the batch that it holds for, each on its own; returns those that moved. */
export async function transitionEach<T extends LifecycleTable>(
  db: Database,
  rule: Rule<T>,
  call: Call,
  limit: number,
): Promise<Moved<T>[]> {
  const known = rule as unknown as Rule
  const statement = statementOf(db, rule.name, () => prepareRule(db, known))
  const rows = (await statement.execute({ ...parameters(call, acceptsWork(known) ? limit : 0), limit })) as FoundRow[]
  return rows.filter((row) => row.moved).map((row) => moved<T, LifecycleTable>(row))
}

const moved = <T extends LifecycleTable, U extends LifecycleTable>(row: FoundRow): Moved<T, U> => ({
  kind: 'moved',
  before: (row.found ?? null) as Row<T> | null,
  row: row.moved as Row<T>,
  also: (row.movedAlso ?? null) as Row<U> | null,
  operation: (row.operation ?? null) as Operation | null,
  born: [row.born0, row.born1].filter((born) => born != null),
  along: alongOf(row),
})

function alongOf(row: FoundRow): number[] {
  const counts: number[] = []
  for (let count = row.along0; count !== undefined; count = row[`along${counts.length}`]) counts.push(count)
  return counts
}

function parameters(call: Call, operations: number): Record<string, unknown> {
  return {
    ...call.values,
    actorKind: call.actor.kind,
    actorId: call.actor.id,
    requestId: call.requestId,
    transitionId: crypto.randomUUID(),
    operationIds: Array.from({ length: operations }, () => newId('Operation')).join(','),
    operationId: call.operationId ?? null,
    retryOf: call.retryOf ?? null,
    mutation: call.idempotency?.mutation ?? null,
    key: call.idempotency?.key ?? null,
    inputHash: call.idempotency?.inputHash ?? null,
    expectedVersion: call.expectedVersion ?? null,
  }
}

/** Runs a decision; whatever is not a plain win is checked against what the key may have won before. */
async function decide<T extends LifecycleTable, U extends LifecycleTable>(
  db: Database,
  call: Call,
  values: Record<string, unknown>,
  subjectId: string,
  table: T,
  run: () => Promise<Answer<T, U>>,
): Promise<Answer<T, U>> {
  try {
    const answer = await run()
    if (answer.kind === 'moved') return answer
    return (await answeredBefore(db, call)) ?? answer
  } catch (error) {
    if (!(error instanceof DatabaseFault)) throw error
    if (error.kind === 'constraint') {
      const before = await answeredBefore(db, call)
      if (before) return before
    }
    if (error.kind === 'unknown-outcome') {
      const { transitionId, operationIds } = values
      const lost = { subjectId, operationId: String(operationIds), transitionId: String(transitionId) }
      const happened = await lookUpLost<T, U>(db, lost, table).catch(notFoundOut)
      if (happened) return happened
    }
    if (error.kind === 'unknown-outcome' || error.kind === 'busy') {
      const before = await answeredBefore(db, call).catch(notFoundOut)
      if (before) return before
    }
    throw error
  }
}

/** A look-up that fails, too, decides nothing: what is true is still what the first fault said. */
function notFoundOut(error: unknown): null {
  if (error instanceof DatabaseFault) return null
  throw error
}

/** The states that a rule may start from, for explaining a refusal. */
export const startsFrom = (rule: { subject: { machine: Machine; action: string } }): readonly string[] => {
  const { from } = moveOf(rule.subject)
  return from === 'birth' ? [] : from
}
