// What a check of the stored data is: one statement that only reads, sees one moment, and says what it has looked at and what
// does not hold. Nothing is repaired here. So it may run beside everything else, as often as one likes.
import { type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { Database } from './transition.ts'

export interface Check {
  /** One word. */
  readonly name: string
  /** Steps of the statement, by name: what the others read from. */
  readonly steps?: Readonly<Record<string, SQL>>
  /** An expression: what it has looked at, in words with figures. */
  readonly looked: SQL
  /** A query with the one column `line`: a sentence for each thing that is wrong, with the id of what it is about. */
  readonly flaws: SQL
}

export interface Checked {
  readonly looked: string
  /** How many things are wrong. */
  readonly found: number
  /** The first of them. */
  readonly lines: readonly string[]
}

/** At most so many findings of a check are told one by one. */
const toldAtMost = 100

/** Declared names as a list of literals; of none the one that nothing has, because SQL knows no empty list. */
export const names = (list: readonly string[]): SQL => sql.raw(quoted(list.length === 0 ? [''] : list))
/** All that these queries yield. */
export const allOf = (queries: readonly SQL[]): SQL => sql.join([...queries], sql` union all `)

/** What was found by other means than one statement, in the same form. */
export const checkedOf = (looked: string, found: readonly string[]): Checked => ({
  looked,
  found: found.length,
  lines: found.slice(0, toldAtMost),
})

/** Runs a check. The server sorts, on disk where memory is short; what comes back is bounded. */
export async function runCheck(db: Database, { name, steps = {}, looked, flaws }: Check): Promise<Checked> {
  const all = { ...steps, flaw: flaws }
  const ctes = Object.entries(all).map(([step, body]) => sql`${sql.identifier(step)} as materialized (${body})`)
  const [row] = await db.execute<
    Checked & Record<string, unknown>
  >(sql`${sql.raw(`/* read:check.${name} */`)} with ${sql.join(ctes, sql`, `)}
    select (${looked}) as looked, (select count(*)::int from flaw) as found,
      array(select line from flaw limit ${toldAtMost}) as lines`)
  if (!row) throw new Error(`the check ${name} said nothing`)
  return row
}
