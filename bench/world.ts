// The world of a bench: one embedded PostgreSQL with our schema, filled by SQL, a token for every small team, and copies of it
// for peers, file by file, so that all have the same rows, the same indexes and the same disorder.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { actionClasses, scopes } from '../src/auth.ts'
import { startEmbeddedPostgres } from '../src/db/embedded.ts'
import { migrate } from '../src/db/migrate.ts'
import { mintToken } from '../src/token.ts'
import { seed, seededTeams } from './growth-seed.ts'
import { idOf, type Seeded } from './subject.ts'

export interface World extends Seeded {
  /** Of our database, as a superuser. */
  readonly url: string
  readonly dataDir: string
  /** The postmaster. */
  readonly pid: number
  /** The URL of a copy of it as it is now, without our triggers; nobody may be connected to ours meanwhile. */
  copy(name: string): Promise<string>
  /** Runs SQL on a database of the world. */
  sql<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T>
  /**
   * Gives a database the same start into every round: events of ours have their positions, dead rows are gone, and nothing
   * is left to be written.
   */
  settle(url: string): Promise<void>
  /** What is to be done at the end, the last first. */
  atEnd(end: () => Promise<unknown>): void
  end(): Promise<void>
}

/** Makes a world of so many deployments in a temporary folder. */
export async function openWorld(rows: number, tell: (line: string) => void): Promise<World> {
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const ends: (() => Promise<unknown>)[] = [() => rm(dataDir, { recursive: true, force: true })]
  const end = async () => {
    for (let last = ends.pop(); last; last = ends.pop()) await last()
  }
  try {
    const server = await startEmbeddedPostgres({ dataDir: join(dataDir, 'data') })
    ends.push(() => server.stop())
    await migrate(server.url)
    const since = performance.now()
    await seed(server.url, rows, tell)
    const tokens = await within(server.url, putTokens)
    tell(`${rows} deployments are in place after ${((performance.now() - since) / 1000).toFixed(0)} s`)
    return {
      rows,
      tokens,
      url: server.url,
      dataDir,
      pid: server.pid,
      copy: (name) => copy(server.url, name),
      sql: within,
      settle: (url) => within(url, settle),
      atEnd: (step) => void ends.push(step),
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

/** A token with every scope for each team but the big one, so that nobody's rate is a bound. */
export async function putTokens(sql: postgres.Sql): Promise<string[]> {
  const teams = await sql`select id from team where id <> ${seededTeams.big}`
  const tokens = teams.map((_, at) => ({ at: at + 1, ...mintToken() }))
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`
    const columns = tokens.map(({ at, lookupId, secretHash }) => ({
      id: idOf('tok', at),
      team: idOf('team', at),
      member: idOf('mem', at),
      lookup: lookupId,
      hash: secretHash,
    }))
    await tx`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      select id, 'ACTIVE', team, member, 'bench', lookup, hash, ${[...scopes]}, ${[...actionClasses]}, now() + interval '1 day'
      from jsonb_to_recordset(${tx.json(columns)}) as t(id text, team text, member text, lookup text, hash text)`
  })
  return tokens.map(({ plaintext }) => plaintext)
}

async function copy(url: string, name: string): Promise<string> {
  const source = new URL(url).pathname.slice(1)
  const own = new URL(url)
  own.pathname = '/template1'
  await within(own.href, (sql) => sql.unsafe(`create database ${name} template ${source} strategy file_copy`))
  own.pathname = `/${name}`
  await within(own.href, async (sql) => {
    const triggers =
      await sql`select tgname, tgrelid::regclass::text as relation from pg_trigger where not tgisinternal`
    for (const { tgname, relation } of triggers) await sql.unsafe(`drop trigger ${tgname} on ${relation}`)
  })
  return own.href
}

async function settle(sql: postgres.Sql): Promise<void> {
  const sequencer =
    await sql`select 1 from pg_stat_activity where datname = current_database() and application_name = 'pawl-worker'`
  if (sequencer.length > 0) {
    for (;;) {
      const [left] = await sql`select 1 from event where position is null limit 1`
      if (!left) break
      await sql`select pg_sleep(0.1)`
    }
  }
  await sql`vacuum (analyze) deployment, operation, event, idempotency_key`
  await sql`checkpoint`
}

async function within<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}
