// What a database holds, as one short text per table: to show that nothing was changed. Left out is only what a refused
// call may leave behind: how much was asked, and when a token was last used.
import type postgres from 'postgres'

const untold = ['rate_usage']

/** A digest of every table, or of what one team has in it. Tables that are added later are in it by themselves. */
export async function fingerprint(sql: postgres.Sql, teamId: string | null = null): Promise<Record<string, string>> {
  const digests = await statementOf(sql, teamId)
  const [row] = await sql.unsafe(digests, teamId === null ? [] : [teamId])
  return { ...row } as Record<string, string>
}

const statements = new WeakMap<postgres.Sql, Map<boolean, string>>()

/** One statement over all tables of this database. */
async function statementOf(sql: postgres.Sql, teamId: string | null): Promise<string> {
  const known = statements.get(sql) ?? new Map<boolean, string>()
  statements.set(sql, known)
  const made = known.get(teamId === null)
  if (made !== undefined) return made
  const tables = await sql<{ name: string; owned: boolean }[]>`
    select t.table_name as name, exists (select from information_schema.columns c
      where c.table_schema = 'public' and c.table_name = t.table_name and c.column_name = 'team_id') as owned
    from information_schema.tables t where t.table_schema = 'public' and t.table_type = 'BASE TABLE' order by 1`
  const digest = ({ name, owned }: { name: string; owned: boolean }) => {
    const where =
      teamId === null ? '' : owned ? 'where t.team_id = $1' : name === 'team' ? 'where t.id = $1' : 'where false'
    return `(select count(*) || ' ' || coalesce(md5(string_agg(r, '' order by r)), '')
      from (select (to_jsonb(t) - 'last_used_at')::text as r from "${name}" t ${where}) rows) as "${name}"`
  }
  const statement = `select ${tables
    .filter(({ name }) => !untold.includes(name))
    .map(digest)
    .join(', ')}`
  known.set(teamId === null, statement)
  return statement
}

/** The tables in which two fingerprints differ. */
export const changedTables = (before: Record<string, string>, after: Record<string, string>): string[] =>
  Object.keys({ ...before, ...after }).filter((table) => before[table] !== after[table])
