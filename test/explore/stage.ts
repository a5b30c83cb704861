// Where schedules are played: a database, a seat for each task, and a control connection beside them that puts the rows of a
// play in place, looks at them afterwards, and takes them away again. Every play has a team and ids of its own.
import postgres from 'postgres'
import type { Channel } from '../../src/db/client.ts'
import { createTestDatabase } from '../database.ts'
import { type Receiver, startReceiver } from '../webhooks/receiver.ts'
import { openSeat, type Seat } from './gate.ts'

export type Row = Readonly<Record<string, unknown>>
/** All that is stored of a team, by table, in the order of ids. */
export type Snapshot = Readonly<Record<string, readonly Row[]>>

/** Rows that are to be put in place, by table. */
export type Rows = readonly (readonly [table: string, row: Row])[]

export interface Stage {
  readonly control: postgres.Sql
  readonly seats: readonly Seat[]
  /** Answers what is sent to `/<team>/<status>` with that status. */
  readonly receiver: Receiver
  put(rows: Rows): Promise<void>
  snapshot(teamId: string): Promise<Snapshot>
  /** Removes all rows of the team, so that the passes of later plays do not meet them. */
  clear(teamId: string): Promise<void>
  close(): Promise<void>
}

export interface StageOptions {
  readonly seats?: number
  /** False: nothing but the statements themselves keeps states right. */
  readonly guards?: boolean
  /** Statements to run first, e.g. one that drops an index. */
  readonly before?: readonly string[]
  /** Rewrites statements on their way: a mutant. */
  readonly wrap?: (channel: Channel) => Channel
}

export async function openStage({ seats = 3, guards = true, before = [], wrap }: StageOptions = {}): Promise<Stage> {
  const database = await createTestDatabase()
  const control = postgres(database.url, {
    max: 1,
    onnotice: () => {},
    connection: { plan_cache_mode: 'force_generic_plan' } as object,
  })
  // Fixtures need rows in any state; only the seats are held by triggers and foreign keys.
  await control`set session_replication_role = replica`
  const owned = await control<{ table: string }[]>`
    select c.table_name as table from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where c.table_schema = 'public' and c.column_name = 'team_id' and t.table_type = 'BASE TABLE' order by 1`
  const tables = owned.map(({ table }) => table)
  if (!guards)
    for (const table of ['team', ...tables]) await control.unsafe(`alter table "${table}" disable trigger user`)
  for (const statement of before) await control.unsafe(statement)
  const deletions = ['team', ...tables].map(
    (table) => `delete from "${table}" where ${table === 'team' ? 'id' : 'team_id'} = mine;`,
  )
  await control.unsafe(`create function clear_play(mine text) returns void language plpgsql as
    $$ begin ${deletions.join(' ')} delete from idempotency_key; end $$`)
  const receiver = await startReceiver()
  receiver.answer = ({ path }) => Number(path.split('/')[2])
  const opened = await Promise.all(Array.from({ length: seats }, () => openSeat(database.url, control, wrap)))

  /** Statements with one parameter each, planned once and sent together. */
  const piped = (statements: (readonly [text: string, value: string])[]) =>
    Promise.all(statements.map(([text, value]) => control.unsafe(text, [value], { prepare: true })))
  const shown = ['team', ...tables]
    .map((table) => {
      const mine = table === 'team' ? 'id' : 'team_id'
      const key = table === 'plan_usage' ? 'kind' : 'id'
      return `'${table}', (select coalesce(json_agg(t order by t.${key}), '[]') from "${table}" t where ${mine} = $1)`
    })
    .join(', ')
  return {
    control,
    seats: opened,
    receiver,
    async put(rows) {
      receiver.received.length = 0
      const alike = Map.groupBy(rows, ([table, row]) => insertion(table, row))
      await piped([...alike].map(([text, some]) => [text, JSON.stringify(some.map(([, row]) => row))]))
    },
    async snapshot(teamId) {
      const [row] = await control.unsafe(`select json_build_object(${shown}) as all`, [teamId], { prepare: true })
      return (row as unknown as { all: Snapshot }).all
    },
    async clear(teamId) {
      await control.unsafe('select clear_play($1)', [teamId], { prepare: true })
    },
    async close() {
      await Promise.all([...opened.map((seat) => seat.close()), receiver.stop()])
      await control.end({ timeout: 1 })
      await database.drop()
    },
  }
}

/** Rows of one table that have the same columns; what is left out has its default. */
function insertion(table: string, row: Row): string {
  const columns = Object.keys(row).map((name) => `"${name}"`)
  return `insert into "${table}" (${columns}) select ${columns} from jsonb_populate_recordset(null::"${table}", $1::text::jsonb)`
}
