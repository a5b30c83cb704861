// The peer PostGraphile 5 over views of the tables that show a team its own rows; smart tags tell it what belongs to what, and what
// may be done with a deployment is a function of its row. Who asks is looked up before, and goes to the database as a setting.
import { createServer } from 'node:http'
import { grafserv } from 'grafserv/node'
import pg from 'pg'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { actions, permanent } from './dashboard-schema.ts'
import { tokenOf } from './redeploy-schema.ts'

const literal = (value: string) => `'${value.replaceAll("'", "''")}'`
const own = `team_id = current_setting('pawl.team_id')`
const belongs = (field: string) =>
  `E'@primaryKey id\\n@foreignKey (subject_id) references dash.deployment (id)|@foreignFieldName ${field}'`
const ddl = `
  create schema dash;
  create view dash.deployment as select id, name, environment, state, url, generation, ttl_policy, created_at from deployment where ${own};
  comment on view dash.deployment is '@primaryKey id';
  create view dash.resource as select id, name, state, type, created_at from resource where ${own};
  comment on view dash.resource is '@primaryKey id';
  create view dash.instance as select id, state, runtime, subject_id, created_at from instance where ${own};
  comment on view dash.instance is ${belongs('instances')};
  create view dash.operation as select id, kind, state, generation, subject_id, created_at from operation where ${own};
  comment on view dash.operation is ${belongs('operations')};
  create type dash.allowed_action as (action text, allowed boolean, because text);
  create function dash.deployment_allowed_actions(d dash.deployment) returns dash.allowed_action[] language sql stable as $$
    select array_agg(row(a.action, because is null, because)::dash.allowed_action order by a.nth)
    from (values ${actions.map(({ action, from }, nth) => `(${nth}, ${literal(action)}, ${literal(from.join(', '))})`).join(', ')}) a(nth, action, starts),
    lateral (select case when not d.state = any(string_to_array(a.starts, ', ')) then 'It is ' || d.state || '; ' || a.action || ' starts from ' || a.starts || '.'
      when a.action = 'setDeploymentTtl' and d.ttl_policy <> 'TTL' then ${literal(permanent)} end as because) b
  $$;`

const connectionString = process.env.DATABASE_URL ?? ''
const pool = new pg.Pool({ connectionString, max: 12 })
await pool.query(ddl)

async function teamOf(authorization: string | undefined): Promise<string> {
  const token = tokenOf(authorization)
  const text = `select team_id from api_token where lookup_id = $1 and secret_hash = $2 and state = 'ACTIVE' and expires_at > now()`
  const { rows } = await pool.query({ name: 'token', text, values: [token?.lookupId, token?.secretHash] })
  return rows[0]?.team_id ?? ''
}

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  disablePlugins: ['NodePlugin'],
  pgServices: [makePgService({ pool, schemas: ['dash'] })],
  gather: { pgStrictFunctions: true },
  grafast: {
    context: async ({ node }) => ({ pgSettings: { 'pawl.team_id': await teamOf(node?.req.headers.authorization) } }),
  },
  grafserv: { graphiql: false, websockets: false, watch: false },
})
const serv = instance.createServ(grafserv)
const server = createServer()
await serv.addTo(server)
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.stdout.write(`GraphQL: http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/graphql\n`)
})
process.once('SIGTERM', () => process.exit())
