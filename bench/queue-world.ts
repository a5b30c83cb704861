// The work of the benchmark `operations`, put in place by SQL: deployments that are STOPPING, each with the operation that is to
// stop it, or BUILDING, each with its roll-out, as if all had been asked for at one moment while no worker ran. Deployments of
// other teams are there as well, so that tables and indexes have the size of a plane that is in use.
import type postgres from 'postgres'
import { newId } from '../src/db/id.ts'

/** What is queued: the state that waits, the effect, and the state that it ends in. */
export const works = {
  stop: { kind: 'deployment.stop', waits: 'STOPPING', ends: 'STOPPED' },
  'roll out': { kind: 'deployment.roll_out', waits: 'BUILDING', ends: 'HEALTHY' },
} as const
export type Work = keyof typeof works

/** Deployments that nothing is asked of. */
export async function putBystanders(sql: postgres.Sql, count: number): Promise<void> {
  const teamId = await putTeam(sql)
  await putDeployments(sql, teamId, count, 'HEALTHY')
}

/** A team with that many deployments for which the work is queued; returns it. Without operations, if peers bring their own queue. */
export async function putWork(sql: postgres.Sql, work: Work, count: number, queued: boolean): Promise<string> {
  const teamId = await putTeam(sql)
  const { kind, waits } = works[work]
  await putDeployments(sql, teamId, count, waits)
  if (queued)
    await unguarded(
      sql,
      (
        tx,
      ) => tx`insert into operation (id, state, generation, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
        select replace(id, 'dep_', 'op_'), 'PENDING', generation, team_id, ${kind}, 'Deployment', id, clock_timestamp(),
          '{"kind": "token", "id": "bench"}', 'bench' from deployment where team_id = ${teamId} order by created_at, id`,
    )
  await sql`vacuum (analyze) deployment, operation, event`
  return teamId
}

async function putTeam(sql: postgres.Sql): Promise<string> {
  const id = newId('Team')
  await unguarded(sql, (tx) => tx`insert into team (id, state, name) values (${id}, 'ACTIVE', 'bench')`)
  return id
}

const putDeployments = (sql: postgres.Sql, teamId: string, count: number, state: string) =>
  unguarded(
    sql,
    (
      tx,
    ) => tx`insert into deployment (id, state, version, generation, team_id, environment, name, image, env, env_revision,
        ttl_policy, incarnation)
      select 'dep_' || substr(md5(${teamId} || n), 1, 26), ${state}, 3, 2, ${teamId}, 'production', 'app-' || n, 'hello:1', '{}', 0,
        'PERMANENT', md5(${teamId} || n || 'incarnation') from generate_series(1, ${count}::int) n`,
  )

/** Rows as they could only come about in time are put past the triggers. */
const unguarded = (sql: postgres.Sql, put: (tx: postgres.TransactionSql) => Promise<unknown>) =>
  sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`
    await put(tx)
  })
