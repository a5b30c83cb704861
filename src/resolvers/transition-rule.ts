// What a rule says: which declared move is made, on which rows, for which extra reasons. Data alone; transition-statement.ts
// makes the one statement out of it, and transition.ts runs that.
import type { SQL } from 'drizzle-orm'
import type { LifecycleTable } from '../db/tables.ts'
import type { UsageKind } from '../db/team.ts'
import type { Machine } from '../lifecycle/machine.ts'
import type { Cap } from './transition-counter.ts'

export type Row<T extends LifecycleTable> = T['$inferSelect']
type Values<T extends LifecycleTable> = Partial<Record<keyof Row<T> & string, SQL>>

/** The rows that a rule moves: one, or a batch of them. */
export interface Part<T extends LifecycleTable> {
  readonly table: T
  readonly machine: Machine
  readonly action: string
  /** Which rows: a condition on the table's own columns. */
  readonly where: SQL
  /** For loops: at most so many, in that order, leaving alone what others hold. */
  readonly batch?: { readonly orderBy: SQL; readonly limit: SQL }
  /** Extra reasons beside the state, repeated in full under the lock. */
  readonly guard?: (found: T) => SQL
  /** New values; state, version and generation follow from the move. */
  readonly set?: (found: T) => Values<T>
}

/** A counter of the plan that a row takes one of, or gives back; only where `when` holds for it as it is and as it was. */
export interface Take {
  readonly kind: UsageKind
  readonly when?: (row: LifecycleTable, before: LifecycleTable) => SQL
}

/** A row that is born with a move, in its statement: without the move there is none. */
export interface Born<T extends LifecycleTable = LifecycleTable, F extends LifecycleTable = LifecycleTable> {
  readonly table: T
  readonly machine: Machine
  readonly action: string
  /** May use the parameters, and the row under the lock. */
  readonly values: (found: F) => Values<T>
  /** Where several are born: what they are told from, e.g. `jsonb_to_recordset(…) as s(…)`, one of them for each row of it. */
  readonly each?: SQL
  readonly takes?: readonly Take[]
}

export interface Rule<T extends LifecycleTable = LifecycleTable, U extends LifecycleTable = LifecycleTable> {
  /** Unique: the statement's name in the database and in logs. */
  readonly name: string
  readonly subject: Part<T>
  /** A second row that moves together with the first: both or none. Locked after it. */
  readonly also?: Part<U>
  /** A row that is locked and must be as its `from` and its guard say, and stays as it is. Locked after the subject. */
  readonly reads?: Part<LifecycleTable>
  /**
   * Rows that move along, where there are any and their state and guard allow it; those that stay do not hinder the move. Locked
   * after the subject; of one table several parts may be named when no row is of two. May use the subject's row as `found`.
   */
  readonly carries?: readonly Part<LifecycleTable>[]
  /** When the accepted work may begin; at once when nothing is said. */
  readonly dueAt?: SQL
  /** Rows that are born with the move. Of all moves of a rule one has an effect at most. */
  readonly bears?: readonly Born[]
  /** What the subject takes of the plan by this move. */
  readonly takes?: readonly Take[]
  /** Gives back what the subject took of the plan. */
  readonly releases?: UsageKind | readonly Take[]
  /** For a team: from now on its plan has no room for anything, and none is kept of what it must have. */
  readonly closesPlan?: true
  /** Facts for the event, safe to show: counts and names, never values. */
  readonly data?: (found: T) => SQL
  /** What a repeat under the same key must be told beyond subject and operation. */
  readonly result?: (found: T) => SQL
  /** Callers may pass an idempotency key and an expected version; loops and runners have neither. */
  readonly called?: true
}

/** Makes a row. Nothing is there to lock: what must be free or have room is a constraint that aborts the statement. */
export interface Birth<T extends LifecycleTable = LifecycleTable> {
  readonly name: string
  readonly table: T
  readonly machine: Machine
  readonly action: string
  readonly values: Values<T>
  /** Takes one of the plan; without room the statement aborts by the constraint `plan_cap`. */
  readonly takes?: readonly Take[]
  /** For a team: what its plan lets it have. */
  readonly caps?: Readonly<Record<UsageKind, Cap>>
  /** Further rows that are born with it; they have no row under a lock to look at. */
  readonly bears?: readonly Born[]
  readonly data?: SQL
  readonly result?: SQL
}

/** Declares a row that is born with a move; its own types are kept inside. */
export const defineBorn = <T extends LifecycleTable, F extends LifecycleTable>(born: Born<T, F>) =>
  born as unknown as Born

/** Declares rows that move along with a rule's subject; its own types are kept inside. */
export const defineCarried = <T extends LifecycleTable>(part: Part<T>) => part as unknown as Part<LifecycleTable>

/** Declares a rule; the types of its rows are kept. */
export const defineRule = <T extends LifecycleTable, U extends LifecycleTable = LifecycleTable>(rule: Rule<T, U>) =>
  rule
export const defineBirth = <T extends LifecycleTable>(birth: Birth<T>) => birth
