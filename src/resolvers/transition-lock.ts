// How a statement locks the rows that it decides from. The order of locks is the same everywhere: the subject, what is part of
// it (instances), the row that goes with it (operation), counters; rows of one table in the order of their ids, so that no two
// statements ever wait for each other. Batches skip what is locked instead.
import { type SQL, sql } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import type { LifecycleTable } from '../db/tables.ts'
import type { Part } from './transition-rule.ts'

/** A part of a rule, and the name of the CTE that yields its row as it is under the lock. */
export interface Locked {
  readonly cte: string
  readonly part: Part<LifecycleTable>
}

const ident = (name: string) => sql.identifier(name)
const columnsOf = (table: PgTable) =>
  sql.join(
    getTableConfig(table).columns.map(({ name }) => ident(name)),
    sql.raw(', '),
  )

/** The CTEs that lock the parts, in their order; the first one carries the statement's name for logs. */
export function lockSteps(parts: readonly Locked[], name: string): [string, SQL][] {
  const steps: [string, SQL][] = []
  for (const [table, own] of Map.groupBy(parts, ({ part }) => part.table)) {
    const waits = waitFor(steps)
    const [only, ...more] = own
    if (only && more.length === 0) steps.push([only.cte, lock(only.part, waits)])
    else steps.push(...together(table, own, waits))
  }
  const [[first, body] = ['found', sql``], ...rest] = steps
  return [[first, sql`/* ${sql.raw(name)} */ ${body}`], ...rest]
}

/**
 * What makes a lock wait for those before it: without the subject nothing more is locked, and of the step before it, which has
 * waited likewise, all rows are counted first, though it may have none.
 */
function waitFor(steps: readonly [string, SQL][]): SQL {
  const last = steps.at(-1)?.[0]
  if (last === undefined) return sql``
  const subject = sql` and exists (select from found)`
  return last === 'found' ? subject : sql`${subject} and (select count(*) from ${ident(last)}) >= 0`
}

/** FOR NO KEY UPDATE: inserts that reference the row go on. */
function lock(part: Part<LifecycleTable>, waits: SQL): SQL {
  const rows = sql`select ${columnsOf(part.table)} from ${part.table} where ${part.where}${waits}`
  if (!part.batch) return sql`${rows} order by ${part.table.id} for no key update`
  return sql`${rows} order by ${part.batch.orderBy} limit ${part.batch.limit} for no key update skip locked`
}

/** Several rows of one table: locked by one CTE in the order of their ids, then told apart. */
function together(table: LifecycleTable, parts: readonly Locked[], waits: SQL): [string, SQL][] {
  const { name } = getTableConfig(table)
  const any = sql.join(
    parts.map(({ part }) => sql`(${part.where})`),
    sql` or `,
  )
  const all = sql`select ${columnsOf(table)} from ${table} where (${any})${waits} order by ${table.id} for no key update`
  return [
    [`locked_${name}`, all],
    ...parts.map(({ cte, part }): [string, SQL] => [
      cte,
      sql`select ${columnsOf(table)} from ${ident(`locked_${name}`)} as ${ident(name)} where ${part.where}`,
    ]),
  ]
}
