// Damage: planted beneath the triggers, looked at, and taken back. And what a check says, without what differs from run to run.
import type postgres from 'postgres'
import { type Database, databaseOver } from '../../src/db/session.ts'
import { type Check, runCheck } from '../../src/resolvers/check.ts'

/** Ids are their prefixes, but those that have a name here. */
export function settled(text: string, named: Readonly<Record<string, string>> = {}): string {
  let said = text
  for (const [name, id] of Object.entries(named)) said = said.replaceAll(id, name)
  return said
    .replace(/\b([a-z]+)_[0-9a-z]{26}\b/g, '$1')
    .replace(/\bevent \d+/g, 'event n')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>')
}

/** What the checks find, as `name: line`. */
export async function findingsOf(db: Database, checks: readonly Check[]): Promise<string[]> {
  const lines = []
  for (const check of checks) lines.push(...(await runCheck(db, check)).lines.map((line) => `${check.name}: ${line}`))
  return lines
}

/** Runs the statements as if there were no guard, looks, and takes all of it back. */
export async function damaged<T>(
  sql: postgres.Sql,
  statements: readonly string[],
  look: (db: Database) => Promise<T>,
): Promise<T> {
  const session = await sql.reserve()
  const within = databaseOver({
    run: async (statement) => [...(await session.unsafe(statement.sql, statement.params as never[]))],
  })
  try {
    await session`begin`
    await session`set local session_replication_role = replica`
    for (const statement of statements) await session.unsafe(statement)
    return await look(within)
  } finally {
    await session`rollback`
    session.release()
  }
}
