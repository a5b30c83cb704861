// Fills a database with as many deployments as are asked for, by SQL alone: half of them one team's, half spread over teams of
// 500, with events, operations, instances and the rest in the proportions of a platform that has been in use for three months.
// The triggers are off meanwhile, and there are no indexes but the keys; afterwards it is as if all had always been there.
import postgres from 'postgres'
import { usageKinds } from '../src/db/team.ts'

const perTeam = 500
const perStatement = 250_000
const days = 80

/** Any text of 26 digits is an id, older than all that are made from now on. */
const id = (prefix: string, n: string) => `'${prefix}_' || lpad((${n})::text, 26, '0')`

/** The team that has half of it all, and one of those that have 500 each. */
export const seededTeams = { big: `team_${'0'.repeat(26)}`, small: `team_${'1'.padStart(26, '0')}` } as const

/** One kind of row: `count` of them, made by a select over `n`. */
interface Kind {
  readonly table: string
  readonly count: number
  readonly columns: Readonly<Record<string, string>>
  readonly where?: string
}

function kindsOf(rows: number, teams: number): Kind[] {
  const team = (n = 'n') =>
    `case when ${n} % 2 = 0 then '${seededTeams.big}' else ${id('team', `1 + ${n} / 2 % ${teams}`)} end`
  const inTime = (of: number, n = 'n') =>
    `date_trunc('milliseconds', now() - (1 - ${n}::float8 / ${of}) * interval '${days} days' - interval '1 hour')`
  const share = 'n * 37 % 100'
  const isHealthy = `${share} < 55`
  const state = `case when ${isHealthy} then 'HEALTHY' when ${share} < 60 then 'FAILED' when ${share} < 70 then 'STOPPED' else 'DELETED' end`
  const environment = `(array['development', 'staging', 'production'])[1 + n % 3]`
  const run = { url: `'http://127.0.0.1:4000'`, instance_id: `md5('run ' || n)` }
  const named = { team_id: team(), environment, name: `'app-' || n`, incarnation: 'md5(n::text)' }
  const moments = { created_at: inTime(rows), state_changed_at: inTime(rows) }
  /** Three events for each two deployments, in the order of the deployments. */
  const events = Math.ceil(rows * 1.5)
  const of = '(1 + (n - 1) * 2 / 3)'
  return [
    {
      table: 'deployment',
      count: rows,
      columns: {
        id: id('dep', 'n'),
        state,
        ...named,
        ...moments,
        generation: '2',
        image: `'hello'`,
        env: `jsonb_build_object('GREETING', jsonb_build_object('value', 'hello', 'revision', 1, 'changedAt', '2026-01-01', 'changedBy', 'tok'))`,
        env_revision: '1',
        ttl_policy: `case when n % 5 = 0 then 'TTL' else 'PERMANENT' end`,
        expires_at: `case when n % 5 = 0 then now() + (1 + n % 720) * interval '1 hour' end`,
        url: `case when ${isHealthy} then ${run.url} end`,
        instance_id: `case when ${isHealthy} then ${run.instance_id} end`,
      },
    },
    {
      table: 'instance',
      count: rows,
      where: isHealthy,
      columns: {
        id: id('ins', 'n'),
        state: `'ONLINE'`,
        ...named,
        ...moments,
        ...run,
        generation: '2',
        runtime: `'PROCESS'`,
        subject_type: `'Deployment'`,
        subject_id: id('dep', 'n'),
        started_at: 'now()',
        asked_at: `now() - n % 60 * interval '1 second'`,
        checked_at: 'now()',
      },
    },
    {
      table: 'operation',
      count: rows,
      where: `${share} < 70`,
      columns: {
        id: id('op', 'n'),
        state: `case when ${share} between 55 and 59 then 'FAILED' else 'SUCCEEDED' end`,
        team_id: team(),
        kind: `'deployment.roll_out'`,
        subject_type: `'Deployment'`,
        subject_id: id('dep', 'n'),
        generation: '2',
        attempt: '1',
        due_at: 'now()',
        finished_at: 'now()',
        outcome: `'finish: healthy'`,
        actor: `'{"kind": "token", "id": "tok"}'`,
        request_id: 'md5(n::text)',
        created_at: `date_trunc('milliseconds', now() - (1 - n::float8 / ${rows}) * interval '29 days')`,
        state_changed_at: `now() - (1 - n::float8 / ${rows}) * interval '29 days'`,
      },
    },
    {
      table: 'event',
      count: events,
      columns: {
        id: 'n',
        position: 'n',
        occurred_at: inTime(events),
        team_id: team(of),
        subject_type: `case when n % 100000 = 0 then 'Webhook' else 'Deployment' end`,
        subject_id: id('dep', of),
        kind: `case when n % 100000 = 0 then 'createWebhook' when n % 3 = 0 then 'markDeploymentHealthy' when n % 3 = 1 then 'deploy' else 'mergeDeploymentEnv' end`,
        to_state: `'HEALTHY'`,
        generation: '2',
        version: 'n % 4',
        actor_kind: `'token'`,
        actor_id: `case when n % 100000 = 0 then 'tok_seldom' else 'tok_' || n % 100 end`,
        request_id: 'md5(n::text)',
        transition_id: 'md5(n::text)',
      },
    },
    {
      table: 'resource',
      count: Math.ceil(rows / 20),
      columns: {
        id: id('res', 'n'),
        state: `'ACTIVE'`,
        ...named,
        created_at: inTime(rows / 20),
        type: `'POSTGRES'`,
        password: `'sealed'`,
        limit_bytes: '1000000000',
        measured_at: 'now()',
      },
    },
    {
      table: 'idempotency_key',
      count: Math.ceil(rows / 20),
      columns: {
        actor_id: `'tok_' || n % 100`,
        mutation: `'redeployDeployment'`,
        key: 'md5(n::text)',
        input_hash: 'md5(n::text) || md5(n::text)',
        subject_id: id('dep', 'n'),
        created_at: `now() - (1 - n::float8 * 20 / ${rows}) * interval '6 days'`,
      },
    },
    {
      table: 'webhook',
      count: Math.min(teams, 1_000),
      columns: {
        id: id('whk', 'n'),
        state: `'ACTIVE'`,
        team_id: `case when n = 1 then '${seededTeams.big}' else ${id('team', 'n')} end`,
        url: `'https://receiver.example/'`,
        filter: `'{"kinds": null, "subjects": null, "subjectTypes": null}'`,
        secret: `'sealed'`,
        secret_changed_at: 'now()',
        cursor: `${events}`,
      },
    },
    {
      table: 'webhook_delivery',
      count: Math.ceil(rows / 20),
      columns: {
        id: id('whd', 'n'),
        state: `case when n % 100 = 0 then 'DEAD' else 'DELIVERED' end`,
        team_id: `'${seededTeams.big}'`,
        webhook_id: id('whk', '1'),
        position: `${events - Math.ceil(rows / 20)} + n`,
        subject_id: id('dep', 'n'),
        message_id: 'md5(n::text)',
        attempt: '1',
        state_changed_at: inTime(rows / 20),
        created_at: inTime(rows / 20),
      },
    },
  ]
}

/** Seeds a migrated, empty database: about four minutes for five million rows on an idle machine. */
export async function seed(url: string, rows: number, say: (line: string) => void): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  const teams = Math.max(1, Math.round(rows / 2 / perTeam))
  const kinds = kindsOf(rows, teams)
  try {
    await sql`set session_replication_role = replica`
    await sql`set maintenance_work_mem = '512MB'`
    const dropped = await sql<{ name: string; definition: string }[]>`
      select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i
      where i.indrelid::regclass::text = any(${kinds.map(({ table }) => table)}) and not i.indisprimary`
    for (const { name } of dropped) await sql.unsafe(`drop index ${name}`)
    await sql.unsafe(
      `insert into team (id, state, name) select ${id('team', 'n')}, 'ACTIVE', 'team ' || n from generate_series(0, ${teams}) n`,
    )
    for (const { table, count, columns, where = 'true' } of kinds) {
      for (let from = 1; from <= count; from += perStatement) {
        const through = Math.min(count, from + perStatement - 1)
        await sql.unsafe(`insert into ${table} (${Object.keys(columns)}) select ${Object.values(columns)}
          from generate_series(${from}, ${through}) n where ${where}`)
        if (count > perStatement) say(`${table}: ${through} of ${count}`)
      }
    }
    for (const { name, definition } of dropped) {
      await sql.unsafe(definition)
      if (rows > perStatement) say(name)
    }
    await sql`select setval('event_id_seq', (select max(id) from event))`
    await sql`insert into plan_usage (team_id, kind, used, cap)
      select t.id, k.kind, case when k.kind = 'deployments' then coalesce(d.count, 0) else 1 end, 1000000000 from team t
      cross join unnest(${usageKinds}::text[]) k(kind)
      left join (select team_id, count(*) from deployment where state <> 'DELETED' group by team_id) d on d.team_id = t.id`
    await sql`insert into member (id, state, team_id, identity, name, role)
      select replace(id, 'team_', 'mem_'), 'ACTIVE', id, 'local:' || id, 'owner', 'owner' from team`
    await sql.unsafe('vacuum (analyze, freeze)')
    await sql.unsafe('checkpoint')
  } finally {
    await sql.end({ timeout: 5 })
  }
}
