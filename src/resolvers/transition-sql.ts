// The small pieces that statements are made of: the values that each call gives, names, lists of columns, inserts by column key.
import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { alias, getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { quoted } from '../db/columns.ts'
import type { LifecycleTable } from '../db/tables.ts'

/** A value that is given at each call. */
const param = (name: string) => sql.placeholder(name)
export const textParam = (name: string): SQL<string> => sql`${param(name)}::text`
export const intParam = (name: string): SQL<number> => sql`${param(name)}::text::int`
export const jsonParam = (name: string): SQL => sql`${param(name)}::text::jsonb`
/** A list of texts that hold no comma: ids, kinds, state names. */
export const listParam = (name: string): SQL<string[]> => sql`string_to_array(${param(name)}::text, ',')`

export const ident = (name: string) => sql.identifier(name)
const nameOf = (table: PgTable) => getTableConfig(table).name
export const comma = sql.raw(', ')
/** A declared name as an SQL literal. */
export const literal = (name: string) => sql.raw(quoted([name]))

export function list(table: PgTable, source?: string): SQL {
  const columns = getTableConfig(table).columns.map((column) => column.name)
  return sql.join(
    columns.map((name) => (source ? sql`${ident(source)}.${ident(name)}` : ident(name))),
    comma,
  )
}

/** `insert into table (…) select … from source`, by column key. */
export function insertFrom(table: PgTable, values: Readonly<Record<string, SQL>>, source: SQL): SQL {
  const columns = getTableColumns(table)
  const names = Object.keys(values).map((key) => ident(columns[key]?.name ?? unknownColumn(table, key)))
  return sql`insert into ${table} (${sql.join(names, comma)}) select ${sql.join(Object.values(values), comma)} from ${source}`
}

/** The columns of a row that a CTE of that name yields, as the table's own. */
export const rowAs = (table: LifecycleTable, cte: string) => alias(table, cte) as unknown as LifecycleTable

export function unknownColumn(table: PgTable, key: string): never {
  throw new Error(`${nameOf(table)} has no column ${key}`)
}
