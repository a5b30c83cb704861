// The one way in which environment variables change: set and unset in one patch, merged inside the statement that holds
// the row's lock, so that no concurrent editor's key is lost; counts are of what really happened.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { Env } from '../db/env.ts'
import { jsonParam, textParam } from './transition-statement.ts'

/** Most bytes that all keys and values of one environment may take, as UTF-8. */
export const maxEnvBytes = 65_536
/** Most variables that one patch may touch. */
export const maxPatchKeys = 1_000

export interface EnvPatch {
  readonly set: readonly { readonly key: string; readonly value: string }[]
  readonly unset: readonly string[]
  readonly expect: readonly { readonly key: string; readonly revision: number | null }[]
}

/** A row's columns that hold an environment. */
export interface EnvColumns {
  readonly env: SQLWrapper
  readonly envRevision: SQLWrapper
}

/** The patch as parameters of the statement. */
export const envValues = (patch: EnvPatch): Record<string, string> => ({
  envSet: JSON.stringify(Object.fromEntries(patch.set.map(({ key, value }) => [key, value]))),
  envUnset: JSON.stringify(patch.unset),
  envExpect: JSON.stringify(patch.expect),
})

const set = jsonParam('envSet')
const unset = jsonParam('envUnset')
const expected = jsonParam('envExpect')
const keysToUnset = sql`array(select jsonb_array_elements_text(${unset}))`

/** The environment after the merge; each key that is set gets the row's next revision, which no key ever had. */
export const mergedEnv = (row: EnvColumns): SQL => sql`(${row.env} - ${keysToUnset}) || coalesce((
  select jsonb_object_agg(s.key, jsonb_build_object('value', s.value, 'revision', ${row.envRevision} + 1,
    'changedAt', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'changedBy', ${textParam('actorId')}))
  from jsonb_each_text(${set}) s), '{}'::jsonb)`

/** Holds when every expectation is met and the merged environment is not too large. */
export const envGuard = (row: EnvColumns): SQL => sql`not exists (
    select 1 from jsonb_to_recordset(${expected}) as x(key text, revision int)
    where (${row.env} -> x.key ->> 'revision')::int is distinct from x.revision)
  and (select coalesce(sum(octet_length(m.key) + octet_length(m.value ->> 'value')), 0)
    from jsonb_each(${mergedEnv(row)}) m) <= ${sql.raw(String(maxEnvBytes))}`

/** keysSet counts upserts only, keysDeleted only keys that were there; key names, never values. */
export const envCounts = (row: EnvColumns): SQL => sql`(select jsonb_build_object(
  'keysSet', (select count(*) from jsonb_each_text(${set})),
  'keysDeleted', count(*) filter (where ${row.env} ? u.key),
  'set', (select coalesce(jsonb_agg(s.key order by s.key), '[]') from jsonb_each_text(${set}) s),
  'unset', coalesce(jsonb_agg(u.key order by u.key) filter (where ${row.env} ? u.key), '[]'))
  from jsonb_array_elements_text(${unset}) as u(key))`

/** The keys that have moved since the caller looked: for the refusal that names them, never their values. */
export function envConflicts(
  env: Env,
  patch: EnvPatch,
): { key: string; revision: number | null; changedAt: string | null; changedBy: string | null }[] {
  return patch.expect
    .filter(({ key, revision }) => (env[key]?.revision ?? null) !== revision)
    .map(({ key }) => ({
      key,
      revision: env[key]?.revision ?? null,
      changedAt: env[key]?.changedAt ?? null,
      changedBy: env[key]?.changedBy ?? null,
    }))
}

/** What a merge did, out of the rows before and after it. */
export const mergeCounts = (before: Env, patch: EnvPatch): { keysSet: number; keysDeleted: number } => ({
  keysSet: patch.set.length,
  keysDeleted: patch.unset.filter((key) => Object.hasOwn(before, key)).length,
})

/** The variables as the patch leaves them. */
export function entriesAfter(env: Env, patch: EnvPatch): Map<string, string> {
  const entries = new Map(Object.entries(env).map(([key, { value }]) => [key, value]))
  for (const key of patch.unset) entries.delete(key)
  for (const { key, value } of patch.set) entries.set(key, value)
  return entries
}

/** Size of an environment in bytes, as it is bounded. */
export const envBytes = (entries: Iterable<readonly [string, string]>): number => {
  let bytes = 0
  for (const [key, value] of entries) bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  return bytes
}
