// All that is stored sealed: where it is, and the place that each was sealed for. Which keys are in use is counted here, and
// what an older key has sealed is sealed anew, by swaps that are guarded by the old text: whoever stores another meanwhile wins.
import { type SQL, sql } from 'drizzle-orm'
import { DatabaseFault } from '../db/fault.ts'
import type { Place, Sealing } from '../sealing.ts'
import { secretPlace } from './reference.ts'
import type { Database } from './transition.ts'
import { signingPlace } from './webhook.ts'

interface SealedRow extends Record<string, unknown> {
  readonly id: string
  readonly team_id: string
  /** Of a secret. */
  readonly revision: number
  readonly sealed: string
}
interface SealedColumn {
  /** `table.column`, for people. */
  readonly name: string
  readonly table: SQL
  readonly column: SQL
  readonly place: (row: SealedRow) => Place
}

const column = (name: string, place: SealedColumn['place']): SealedColumn => {
  const [table = '', field = ''] = name.split('.')
  return {
    name,
    table: sql.identifier(table) as unknown as SQL,
    column: sql.identifier(field) as unknown as SQL,
    place,
  }
}
const ofResource = (field: string) => (row: SealedRow) => [row.team_id, row.id, field] as const

const ofWebhook: SealedColumn['place'] = ({ team_id, id }) => signingPlace(team_id, id)

/** A column that is not here would lose its content with the key that sealed it. */
export const sealedColumns: readonly SealedColumn[] = [
  column('secret.value', ({ team_id, id, revision }) => secretPlace({ teamId: team_id, id, revision })),
  column('resource.password', ofResource('password')),
  column('resource.next_password', ofResource('password')),
  column('resource.connection', ofResource('connection')),
  column('webhook.secret', ofWebhook),
  column('webhook.previous_secret', ofWebhook),
]

/**
 * The key id of a sealed text, `v1.<key id>.<nonce>.<content>`: a key id has at most 32 characters and may hold dots, a nonce
 * has 16, so the first 53 tell it and a long text is not read whole.
 */
const keyIdIn = (text: SQL) => sql`substring(left(${text}, 53) from '^v1\\.(.{1,32})\\.[A-Za-z0-9_-]{16}\\.')`

export interface KeyInUse {
  readonly keyId: string
  readonly count: number
}

/** How much is sealed with each key, by key id. */
export async function keysInUse(db: Database): Promise<KeyInUse[]> {
  const each = sealedColumns.map(
    ({ table, column }) => sql`select ${column} as sealed from ${table} where ${column} is not null`,
  )
  const rows = await db.execute<{ key_id: string | null; count: number }>(sql`/* read:sealed.keys */
    select ${keyIdIn(sql`x.sealed`)} as key_id, count(*)::int as count from (${sql.join(each, sql` union all `)}) x group by 1 order by 1`)
  return rows.map(({ key_id, count }) => ({ keyId: key_id ?? 'of no known form', count }))
}

/** Of the keys in use, those that are not held: what they have sealed cannot be opened here. */
export const missingKeys = async (db: Database, sealing: Sealing): Promise<KeyInUse[]> =>
  (await keysInUse(db)).filter(({ keyId }) => !sealing.keyIds.includes(keyId))

/** What became of a pass over one column. */
export interface Resealed {
  readonly name: string
  resealed: number
  /** Somebody stored another text meanwhile, or held the row: the next pass looks again. */
  overtaken: number
  /** Ids of the rows whose text does not open with the key that it names. */
  readonly unopened: string[]
}

/** One pass over a column: seals anew what another key than the first has sealed, in batches by id. */
export async function reseal(
  db: Database,
  sealing: Sealing,
  of: SealedColumn,
  { batch = 100, told = (_: Resealed) => {} } = {},
): Promise<Resealed> {
  const done: Resealed = { name: of.name, resealed: 0, overtaken: 0, unopened: [] }
  for (let after = ''; ; ) {
    const rows = await sealedPage(db, of, after, batch, sealing.keyIds[0])
    const last = rows.at(-1)
    if (!last) return done
    after = last.id
    const swaps = rows.flatMap((row) => {
      const fresh = sealedAnew(sealing, of.place(row), row.sealed)
      if (fresh === null) done.unopened.push(row.id)
      return fresh === null ? [] : [{ id: row.id, old: row.sealed, fresh }]
    })
    const swapped = await swap(db, of, swaps)
    done.resealed += swapped
    done.overtaken += swaps.length - swapped
    told(done)
  }
}

function sealedAnew(sealing: Sealing, place: Place, sealed: string): string | null {
  try {
    return sealing.seal(sealing.open(sealed, place), place)
  } catch (error) {
    if ((error as Error).name === 'UnsealError') return null
    throw error
  }
}

/** The first `batch` rows after that id which hold something sealed; with `unlike` only what another key than that has sealed. */
export async function sealedPage(
  db: Database,
  { name, table, column }: SealedColumn,
  after: string,
  batch: number,
  unlike: string | null = null,
): Promise<SealedRow[]> {
  const revision = name === 'secret.value' ? sql`t.revision` : sql`0`
  return db.execute<SealedRow>(sql`/* read:sealed.page */ select t.id, t.team_id, ${revision} as revision, t.${column} as sealed
    from ${table} t where t.id > ${after}::text and t.${column} is not null and (${unlike}::text is null
      or ${keyIdIn(sql`t.${column}`)} is distinct from ${unlike}::text) order by t.id limit ${batch}::int`)
}

/** Replaces each old text by the fresh one where it is still there, in the order of ids; a batch that is not had in time is left. */
async function swap(
  db: Database,
  { table, column }: SealedColumn,
  swaps: readonly { id: string; old: string; fresh: string }[],
): Promise<number> {
  if (swaps.length === 0) return 0
  try {
    const rows = await db.execute(sql`/* reseal */ with given as (
        select * from jsonb_to_recordset(${JSON.stringify(swaps)}::text::jsonb) as g(id text, old text, fresh text)),
      held as (select t.id, g.fresh from ${table} t join given g on g.id = t.id where t.${column} = g.old
        order by t.id for no key update of t)
      update ${table} t set ${column} = held.fresh from held where t.id = held.id returning t.id`)
    return rows.length
  } catch (error) {
    if (error instanceof DatabaseFault && ['busy', 'unavailable', 'unknown-outcome'].includes(error.kind)) return 0
    throw error
  }
}
