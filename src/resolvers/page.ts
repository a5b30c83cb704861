// Pages of a list: the keyset, its cursors, and the statements. A list is declared once; from that come the page of a
// team, the pages of many owners in one lateral statement, and both counts. The team stands in every one of them.
import { createHash } from 'node:crypto'
import { and, asc, desc, eq, getTableColumns, type SQL, sql } from 'drizzle-orm'
import { alias, type PgColumn, type PgTable } from 'drizzle-orm/pg-core'
import { statementOf } from '../db/prepared.ts'
import type { Database } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

/** An argument of a query that breaks a rule; its message names the argument and the rule, and is told as it is. */
export class BadUserInput extends Error {
  override readonly name = 'BadUserInput'
}

export interface PageArgs {
  readonly first?: number | null
  readonly after?: string | null
  readonly last?: number | null
  readonly before?: string | null
}
export interface Page<R> {
  readonly rows: readonly R[]
  readonly hasNextPage: boolean
  readonly hasPreviousPage: boolean
}

export const defaultPageSize = 20
export const maxPageSize = 100

/** How many rows are asked for, and from which end. Throws `BadUserInput`. */
export function sizeOf({ first, last }: PageArgs): { size: number; backward: boolean } {
  if (typeof first === 'number' && typeof last === 'number')
    throw new BadUserInput('Give either first or last, not both.')
  for (const [name, value] of [['first', first] as const, ['last', last] as const]) {
    if (typeof value !== 'number') continue
    if (value < 1 || value > maxPageSize) throw new BadUserInput(`${name} must be 1 to ${maxPageSize}, not ${value}.`)
    return { size: value, backward: name === 'last' }
  }
  return { size: defaultPageSize, backward: false }
}

/** Text that PostgreSQL can be asked about. Throws `BadUserInput` for NUL, lone surrogates and more than 255 characters. */
export function storable(name: string, text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null
  if (text.length > 255) throw new BadUserInput(`${name} may have at most 255 characters.`)
  if (!text.isWellFormed() || text.includes('\0'))
    throw new BadUserInput(`${name} may hold neither NUL nor a lone surrogate.`)
  return text
}

/** Names from a closed list, as one parameter for `listParam`; null for no filter, empty matches nothing. */
export const names = (list: readonly string[] | null | undefined): string | null => list?.join(',') ?? null

interface Created {
  readonly createdAt: Date
  readonly id: string
}
interface Positioned {
  readonly position: number | null
}

/** A list in its one total order. `created`: newest first by (createdAt, id); `position`: oldest first by position. */
export interface List<R> {
  readonly name: string
  readonly table: PgTable & { readonly teamId: PgColumn }
  /** What its rows show, by key. */
  readonly columns: Readonly<Record<string, PgColumn>>
  readonly key: 'created' | 'position'
  /** Conditions that hold where a parameter of that name is given: each set of them is a statement with a plan of its own. */
  readonly filters?: Readonly<Record<string, SQL>>
  /** Whose rows they are when many owners' pages are read at once. */
  readonly owner?: PgColumn
  readonly $row?: R
}
export const defineList = <R>(list: List<R>): List<R> => list

const digest = (text: string) => createHash('sha256').update(text).digest('base64url').slice(0, 10)
const placeOf = (row: unknown): string => {
  const { createdAt, id, position } = row as Partial<Created & Positioned>
  return createdAt && id ? `${createdAt.getTime()}.${id}` : `${position}`
}
const seal = (list: string, teamId: string, place: string) =>
  Buffer.from(`${place}.${digest(`${list}\n${teamId}\n${place}`)}`).toString('base64url')

/** The cursor of a row: opaque, and of no use in another list or another team. */
export const cursorOf = <R>(list: List<R>, teamId: string, row: R): string => seal(list.name, teamId, placeOf(row))

/** The place behind a cursor. Throws `BadUserInput` for anything that this list did not give to this team. */
function placeBehind(list: List<never>, teamId: string, name: string, cursor: string): readonly [string, string] {
  const text = cursor.length > 255 ? '' : Buffer.from(cursor, 'base64url').toString()
  const place = text.slice(0, text.lastIndexOf('.'))
  if (place === '' || seal(list.name, teamId, place) !== cursor) {
    throw new BadUserInput(`${name} is not a cursor that ${list.name} has given out.`)
  }
  if (list.key === 'position') return [place, '']
  const [createdAtMs, id] = place.split('.')
  return [new Date(Number(createdAtMs)).toISOString(), id ?? '']
}

/** The position behind a cursor of a list by position. Throws `BadUserInput` as above. */
export const positionBehind = <R>(list: List<R>, teamId: string, name: string, cursor: string): number =>
  Number(placeBehind(list as List<never>, teamId, name, cursor)[0])

/** The two ends of what is read, in the list's own order; always given, so that the index alone decides. */
function ends(list: List<never>, teamId: string, { after, before }: PageArgs): Record<string, string> {
  const open = list.key === 'created' ? ['infinity', '-infinity'] : ['0', '9223372036854775807']
  const [afterKey, afterId] = after == null ? [open[0], ''] : placeBehind(list, teamId, 'after', after)
  const [beforeKey, beforeId] = before == null ? [open[1], ''] : placeBehind(list, teamId, 'before', before)
  return { afterKey: afterKey ?? '', afterId, beforeKey: beforeKey ?? '', beforeId }
}

function between(list: List<never>): SQL {
  const columns: Record<string, PgColumn> = getTableColumns(list.table)
  if (list.key === 'position') {
    return sql`${columns.position} > ${textParam('afterKey')}::bigint and ${columns.position} < ${textParam('beforeKey')}::bigint`
  }
  const key = sql`(${columns.createdAt}, ${columns.id})`
  return sql`${key} < (${textParam('afterKey')}::timestamptz, ${textParam('afterId')})
    and ${key} > (${textParam('beforeKey')}::timestamptz, ${textParam('beforeId')})`
}

function order(list: List<never>, columns: Record<string, PgColumn>, backward: boolean): SQL[] {
  const down = (list.key === 'created') !== backward ? desc : asc
  const keys = list.key === 'created' ? [columns.createdAt, columns.id] : [columns.position]
  return keys.map((column) => down(column as PgColumn))
}

export type Given = Readonly<Record<string, string | null>>

/** The filters that are in use, as a condition and as a part of the statement's name. */
function inUse<R>(list: List<R>, filter: Given): { name: string; where: SQL | undefined } {
  const used = Object.entries(list.filters ?? {}).filter(([name]) => filter[name] != null)
  const name = used.length === 0 ? '' : `.by-${used.map(([each]) => each).join('-')}`
  return { name, where: and(...used.map(([, condition]) => condition)) }
}

/** A page of the team's list. `filter` holds the parameters of the list's conditions; null is no filter. */
export async function pageOf<R>(
  db: Database,
  teamId: string,
  list: List<R>,
  args: PageArgs,
  filter: Given = {},
): Promise<Page<R>> {
  const { size, backward } = sizeOf(args)
  const used = inUse(list, filter)
  const name = `read:${list.name}.page${backward ? '-back' : ''}${used.name}`
  const statement = statementOf(db, name, () =>
    db
      .select(list.columns as Record<string, PgColumn>)
      .from(list.table as PgTable)
      .where(and(eq(list.table.teamId, textParam('teamId')), used.where, between(list as List<never>)))
      .orderBy(...order(list as List<never>, getTableColumns(list.table), backward))
      .limit(sql.placeholder('limit'))
      .prepare(name),
  )
  const rows = await statement.execute({
    ...filter,
    teamId,
    ...ends(list as List<never>, teamId, args),
    limit: size + 1,
  })
  return cut(rows as R[], args, size, backward)
}

/** One page for each owner, in the order of `ownerIds`, by one statement; `filter` as for the team's list. */
export async function pagesOf<R>(
  db: Database,
  teamId: string,
  list: List<R>,
  ownerIds: readonly string[],
  args: PageArgs,
  filter: Given = {},
): Promise<Page<R>[]> {
  const { size, backward } = sizeOf(args)
  const used = inUse(list, filter)
  const name = `read:${list.name}.pages${backward ? '-back' : ''}${used.name}`
  const statement = statementOf(db, name, () => {
    const own = and(
      eq(list.table.teamId, textParam('teamId')),
      eq(ownerOf(list), sql`o.id`),
      used.where,
      between(list as List<never>),
    )
    const inner = db
      .select()
      .from(list.table as PgTable)
      .where(own)
      .orderBy(...order(list as List<never>, getTableColumns(list.table), backward))
      .limit(sql.placeholder('limit'))
      .as('r')
    const shown: Record<string, PgColumn> = getTableColumns(alias(list.table, 'r'))
    const fields = Object.fromEntries(Object.keys(list.columns).map((key) => [key, shown[key] as PgColumn]))
    return db
      .select({ ...fields, ownerId: sql<string>`o.id` })
      .from(sql`unnest(${listParam('ownerIds')}) as o(id)`)
      .crossJoinLateral(inner)
      .orderBy(...order(list as List<never>, shown, backward))
      .prepare(name)
  })
  const rows = (await statement.execute({
    ...filter,
    teamId,
    ...ends(list as List<never>, teamId, args),
    ownerIds: ownerIds.join(','),
    limit: size + 1,
  })) as (R & { ownerId: string })[]
  const byOwner = Map.groupBy(rows, (row) => row.ownerId)
  return ownerIds.map((id) => cut(byOwner.get(id) ?? [], args, size, backward))
}

function cut<R>(rows: R[], args: PageArgs, size: number, backward: boolean): Page<R> {
  const more = rows.length > size
  const kept = rows.slice(0, size)
  if (backward) return { rows: kept.reverse(), hasPreviousPage: more, hasNextPage: args.before != null }
  return { rows: kept, hasNextPage: more, hasPreviousPage: args.after != null }
}

/** How many rows the team's list has under that filter. Counts them: costs more the more there are. */
export async function countOf<R>(db: Database, teamId: string, list: List<R>, filter: Given = {}): Promise<number> {
  const used = inUse(list, filter)
  const name = `read:${list.name}.count${used.name}`
  const statement = statementOf(db, name, () =>
    db
      .select({ count: sql<number>`count(*)::int` })
      .from(list.table as PgTable)
      .where(and(eq(list.table.teamId, textParam('teamId')), used.where, counted(list)))
      .prepare(name),
  )
  const [row] = await statement.execute({ ...filter, teamId })
  return row?.count ?? 0
}

/** How many rows each owner has, in the order of `ownerIds`, by one statement. */
export async function countsOf<R>(
  db: Database,
  teamId: string,
  list: List<R>,
  ownerIds: readonly string[],
  filter: Given = {},
): Promise<number[]> {
  const used = inUse(list, filter)
  const name = `read:${list.name}.counts${used.name}`
  const statement = statementOf(db, name, () => {
    const owner = ownerOf(list)
    return db
      .select({ ownerId: sql<string>`${owner}`, count: sql<number>`count(*)::int` })
      .from(list.table as PgTable)
      .where(
        and(
          eq(list.table.teamId, textParam('teamId')),
          sql`${owner} = any(${listParam('ownerIds')})`,
          used.where,
          counted(list),
        ),
      )
      .groupBy(owner)
      .prepare(name)
  })
  const rows = await statement.execute({ ...filter, teamId, ownerIds: ownerIds.join(',') })
  const byOwner = new Map(rows.map((row) => [row.ownerId, row.count]))
  return ownerIds.map((id) => byOwner.get(id) ?? 0)
}

/** Only rows that have a place in the list count. */
function counted<R>(list: List<R>): SQL | undefined {
  const columns: Record<string, PgColumn> = getTableColumns(list.table)
  return list.key === 'position' ? sql`${columns.position} is not null` : undefined
}

function ownerOf<R>(list: List<R>): PgColumn {
  if (!list.owner) throw new Error(`the list ${list.name} has no owner`)
  return list.owner
}
