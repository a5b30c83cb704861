// The guard that lets nothing be started whose variables refer to what is not there: a part of the statement that decides,
// so that the way that wins takes no round trip more. What is deleted after that is told by the roll-out, which resolves.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { resource } from '../db/resource.ts'
import { secret } from '../db/secret.ts'
import { referableResources, referableSecrets } from './reference.ts'

/** The team and the environment in which references are looked up. */
interface Surroundings {
  readonly teamId: SQLWrapper
  readonly environment: SQLWrapper
}

/**
 * Holds when every `secret://`, `resource://` and `service://` of `env`, an environment as it will be, leads somewhere.
 * `services` is a jsonb array of objects with a `name`; without it no service can be referred to. Secrets and resources are
 * read and not locked: they are seen as they were when the statement began.
 */
export const referencesResolve = (
  env: SQLWrapper,
  { teamId, environment }: Surroundings,
  services: SQLWrapper = sql`'[]'::jsonb`,
): SQL => sql`not exists (
    select 1 from jsonb_each(${env}) e(key, entry), lateral (select e.entry ->> 'value' as value) v
    where (v.value like 'secret://%' and not exists (select 1 from ${secret} s where s.team_id = ${teamId}
        and s.environment = ${environment} and s.name = substr(v.value, 10) and s.state in (${sql.raw(quoted(referableSecrets))})))
      or (v.value like 'resource://%' and not exists (select 1 from ${resource} r where r.team_id = ${teamId}
        and r.environment = ${environment} and r.name = substr(v.value, 12) and r.state in (${sql.raw(quoted(referableResources))})))
      or (v.value like 'service://%' and not exists (select 1 from jsonb_array_elements(${services}) x
        where x ->> 'name' = substr(v.value, 11))))`

/** The constraint that a birth is stopped by when its references lead nowhere. */
export const unresolvedConstraint = 'reference_unresolved'

/** For a birth, which has no guard: the integer `value` where the references resolve; else the statement aborts. */
export const whereResolved = (value: SQL, ...references: Parameters<typeof referencesResolve>): SQL =>
  sql`case when ${referencesResolve(...references)} then ${value}
    else pawl_refuse(${sql.raw(quoted([unresolvedConstraint]))}, 'a reference leads nowhere') end`
