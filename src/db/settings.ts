// What every connection asks of the server: the time limits, and how soon each side notices that the other is gone.
// They travel as startup parameters. A pooler in transaction mode drops or refuses those; then they must be set
// with ALTER ROLE, and `lostSettings` says at start which ones are missing.

import { type SQL, sql } from 'drizzle-orm'

export interface Limits {
  readonly statementTimeoutMs: number
  readonly lockTimeoutMs: number
}

/** Checked every second by the server while a statement runs, so a killed client's locks are free 1 s later. */
export const CONNECTION_CHECK = 'client_connection_check_interval'

/**
 * Startup parameters, known to PostgreSQL 14 and later. `client_connection_check_interval` is refused on Windows
 * servers; `tcp_user_timeout` has an effect on Linux servers over TCP only.
 */
export function startupSettings(limits: Limits, without: ReadonlySet<string>): Record<string, string> {
  const settings: Record<string, string> = {
    statement_timeout: `${limits.statementTimeoutMs}`,
    lock_timeout: `${limits.lockTimeoutMs}`,
    idle_in_transaction_session_timeout: '10000',
    [CONNECTION_CHECK]: '1000',
    tcp_keepalives_idle: '10',
    tcp_keepalives_interval: '5',
    tcp_keepalives_count: '3',
    tcp_user_timeout: '10000',
  }
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !without.has(name)))
}

const BOUNDS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'] as const

/** Names of the time limits that a connection does not have, as happens behind a pooler. Empty when all is well. */
export async function lostSettings(db: { execute(query: SQL): PromiseLike<unknown> }): Promise<string[]> {
  const names = sql.join(
    BOUNDS.map((name) => sql`${name}`),
    sql`, `,
  )
  const rows = await db.execute(
    sql`/* read:settings */ SELECT name FROM pg_settings WHERE name IN (${names}) AND setting = '0' ORDER BY name`,
  )
  return (rows as { name: string }[]).map((row) => row.name)
}
