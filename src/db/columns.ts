// The columns that every table with a lifecycle has, and how the database is told its states.
import { type SQL, sql } from 'drizzle-orm'
import { bigint, check, integer, text, timestamp } from 'drizzle-orm/pg-core'
import { type Machine, statesOf } from '../lifecycle/machine.ts'

/** A point in time: microseconds in the database, milliseconds in JavaScript. */
export const moment = (name: string) => timestamp(name, { withTimezone: true, mode: 'date', precision: 6 })

/** A whole number that JavaScript holds exactly. */
export const counter = (name: string) => bigint(name, { mode: 'number' })

/**
 * id, state and its facts, version (counts every change of the row) and generation (counts its wishes).
 * The trigger lets neither counter go down.
 */
export function lifecycleColumns<S extends string>(_machine: Machine<S, string>) {
  return {
    id: text('id').primaryKey(),
    state: text('state').$type<S>().notNull(),
    stateReason: text('state_reason'),
    stateChangedAt: moment('state_changed_at').notNull().default(sql`now()`),
    version: integer('version').notNull().default(1),
    generation: integer('generation').notNull().default(1),
    /** Whole milliseconds, so that a cursor made of it in JavaScript finds its place again. */
    createdAt: timestamp('created_at', { withTimezone: true, mode: 'date', precision: 3 })
      .notNull()
      .default(sql`now()`),
  }
}

/** The CHECK constraint on a state column, derived from the machine. */
export const stateCheck = (machine: Machine) =>
  check(`${machine.table}_state`, sql`state in (${sql.raw(quoted(statesOf(machine)))})`)

/** A list of SQL string literals; for declared names only, never for anything that a caller sent. */
export const quoted = (names: readonly string[]): string =>
  names.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ')

/** `state in (…)` for a declared list, for index predicates and guards. */
export const stateIn = (states: readonly string[]): SQL => sql`state in (${sql.raw(quoted(states))})`
