// The fleet of the simulation: as many HEALTHY deployments as asked for, each with its ONLINE instance, whose runs live in the
// world of the fake driver. A superuser puts the rows in bulk with the triggers off, with the events of their births and moves
// and right counters, as if all had been deployed a day ago and looked after ever since.
import { randomBytes } from 'node:crypto'
import type postgres from 'postgres'
import { newId } from '../../src/db/id.ts'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'

const chunk = 5_000
const perTeam = 10_000
/** Every workload is on the host that the first digit of its incarnation names. */
export const hosts = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] as const
export const hostOf = (ref: WorkloadRef): string => ref.incarnation[0] ?? ''

/** The moves that have made a deployment HEALTHY and its instance ONLINE: type, action, from, to, version. */
const history = [
  ['Deployment', 'deploy', null, 'BUILDING', 1],
  ['Deployment', 'rollOutDeployment', 'BUILDING', 'DEPLOYING', 2],
  ['Instance', 'registerInstance', null, 'STARTING', 1],
  ['Deployment', 'markDeploymentHealthy', 'DEPLOYING', 'HEALTHY', 3],
  ['Instance', 'markInstanceOnline', 'STARTING', 'ONLINE', 2],
] as const

/** Puts the fleet in place. `everyMs` is how often it was looked after: the rows are at all ages up to that. */
export async function putFleet(
  sql: postgres.Sql,
  driver: RuntimeDriver,
  { instances, everyMs }: { readonly instances: number; readonly everyMs: number },
  tell: (line: string) => void,
): Promise<void> {
  const calm = new AbortController().signal
  let teamId = ''
  for (let from = 0; from < instances; from += chunk) {
    if (from % perTeam === 0) teamId = await putTeam(sql, Math.min(perTeam, instances - from))
    const units = await Promise.all(
      Array.from({ length: Math.min(chunk, instances - from) }, async (_, n) => {
        const number = from + n
        const subjectId = newId('Deployment')
        const incarnation = `${hosts[number % hosts.length]}${randomBytes(12).toString('hex').slice(1)}`
        const ref = { subjectId, incarnation }
        const fence = { operationId: newId('Operation'), attempt: 1, subjectId, generation: 1 }
        const spec = { ...ref, name: `app-${number}`, image: 'hello:1', env: {} }
        for (;;) {
          const run = await driver.ensure(spec, fence, calm)
          if (run.kind === 'done') return { ...ref, ...run.value, name: spec.name, id: newId('Instance') }
          if (run.kind !== 'working') throw new Error(`${subjectId} did not start: ${JSON.stringify(run)}`)
        }
      }),
    )
    await putUnits(sql, teamId, units, everyMs)
    tell(`${from + units.length} of ${instances} deployments and instances are in place`)
  }
  await sql`vacuum (analyze) deployment, instance, event, operation`
}

/** A team whose plan is full to its cap, so that a counter that is taken or given back too often is seen. */
async function putTeam(sql: postgres.Sql, deployments: number): Promise<string> {
  const id = newId('Team')
  await sql`insert into team (id, state, name) values (${id}, 'ACTIVE', 'simulation')`
  await sql`insert into plan_usage (team_id, kind, used, cap) values (${id}, 'deployments', ${deployments}, ${deployments})`
  return id
}

interface Unit extends WorkloadRef {
  readonly id: string
  readonly name: string
  readonly url: string
  readonly instanceId: string
}

async function putUnits(sql: postgres.Sql, teamId: string, units: readonly Unit[], everyMs: number): Promise<void> {
  const list = (key: keyof Unit) => units.map((unit) => unit[key])
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`
    await tx`create temporary table unit on commit drop as select * from unnest(${list('subjectId')}::text[], ${list('incarnation')}::text[],
      ${list('id')}::text[], ${list('name')}::text[], ${list('url')}::text[], ${list('instanceId')}::text[])
      with ordinality as u (deployment, incarnation, id, name, url, run, nth)`
    await tx`insert into deployment (id, state, version, team_id, environment, name, image, env, env_revision, ttl_policy, incarnation,
        url, instance_id, created_at, state_changed_at)
      select deployment, 'HEALTHY', 3, ${teamId}, 'production', name, 'hello:1', '{}', 0, 'PERMANENT', incarnation, url, run,
        now() - interval '1 day', now() - interval '1 day' from unit`
    await tx`insert into instance (id, state, version, team_id, environment, name, runtime, subject_type, subject_id, incarnation, instance_id,
        url, created_at, state_changed_at, started_at, asked_at, checked_at)
      select id, 'ONLINE', 2, ${teamId}, 'production', name, 'PROCESS', 'Deployment', deployment, incarnation, run, url,
        now() - interval '1 day', now() - interval '1 day', now() - interval '1 day', looked, looked
      from unit, lateral (select now() - (0.5 + random() / 2 + 0 * nth) * ${everyMs} * interval '1 millisecond' as looked) at`
    for (const [nth, [type, kind, from, to, version]] of history.entries()) {
      await tx`insert into event (id, position, occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version,
          actor_kind, actor_id, request_id, transition_id)
        select n, n, now() - interval '1 day', ${teamId}, ${type}, subject, ${kind}, ${from}, ${to}, 1, ${version},
          'loop', 'simulation', 'simulation', ${`simulation-${nth}-`} || subject
        from (select nextval('event_id_seq') as n, case ${type} when 'Instance' then id else deployment end as subject from unit) u`
    }
  })
}
