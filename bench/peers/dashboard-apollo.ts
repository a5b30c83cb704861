// The peer Apollo Server 5 with drizzle over node-postgres and a DataLoader for each list below a deployment: one statement for
// each level, prepared, which reads the columns that the schema shows.
import { ApolloServer } from '@apollo/server'
import { startStandaloneServer } from '@apollo/server/standalone'
import DataLoader from 'dataloader'
import { and, desc, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core'
import { GraphQLError } from 'graphql'
import pg from 'pg'
import { allowedActions, typeDefs } from './dashboard-schema.ts'
import { tokenOf } from './redeploy-schema.ts'
import { apiToken } from './tables.ts'

const listed = {
  id: text('id').primaryKey(),
  teamId: text('team_id').notNull(),
  state: text('state').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
}
const deployment = pgTable('deployment', {
  ...listed,
  name: text('name').notNull(),
  environment: text('environment').notNull(),
  url: text('url'),
  generation: integer('generation').notNull(),
  ttlPolicy: text('ttl_policy').notNull(),
})
const resource = pgTable('resource', { ...listed, name: text('name').notNull(), type: text('type').notNull() })

const db = drizzle(new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 12 }))

const byLookupId = db
  .select({ teamId: apiToken.teamId, secretHash: apiToken.secretHash })
  .from(apiToken)
  .where(
    and(
      eq(apiToken.lookupId, sql.placeholder('lookupId')),
      eq(apiToken.state, 'ACTIVE'),
      sql`${apiToken.expiresAt} > now()`,
    ),
  )
  .prepare('token')
const deployments = db
  .select({
    id: deployment.id,
    name: deployment.name,
    environment: deployment.environment,
    state: deployment.state,
    url: deployment.url,
    generation: deployment.generation,
    ttlPolicy: deployment.ttlPolicy,
  })
  .from(deployment)
  .where(eq(deployment.teamId, sql.placeholder('teamId')))
  .orderBy(desc(deployment.createdAt), desc(deployment.id))
  .limit(sql.placeholder('first'))
  .prepare('deployments')
const resources = db
  .select({ id: resource.id, name: resource.name, state: resource.state, type: resource.type })
  .from(resource)
  .where(eq(resource.teamId, sql.placeholder('teamId')))
  .orderBy(desc(resource.createdAt), desc(resource.id))
  .limit(sql.placeholder('first'))
  .prepare('resources')

/** The newest of each owner, by one statement; drizzle has no unnest, so it is written out. */
const newestOf =
  (name: string, table: 'instance' | 'operation', columns: string) =>
  async (teamId: string, first: number, ids: readonly string[]) => {
    const text = `select r.*, o.id as owner from unnest($2::text[]) o(id) cross join lateral (select ${columns} from ${table}
    where team_id = $1 and subject_id = o.id order by created_at desc, id desc limit $3) r`
    const { rows } = await db.$client.query({ name, text, values: [teamId, ids, first] })
    const byOwner = Map.groupBy(rows, ({ owner }) => owner)
    return ids.map((id) => byOwner.get(id) ?? [])
  }
const instancesOf = newestOf('instances', 'instance', 'id, state, runtime')
const operationsOf = newestOf('operations', 'operation', 'id, kind, state, generation')

interface Owner {
  readonly id: string
}
type Loader = DataLoader<string, unknown[]>
class Context {
  readonly teamId: string
  readonly loaders = new Map<string, Loader>()
  constructor(teamId: string) {
    this.teamId = teamId
  }
  /** One loader for each list and size, for as long as the request. */
  async nodes(read: typeof instancesOf, { id }: Owner, first: number) {
    const key = `${read === instancesOf} ${first}`
    const loader = this.loaders.get(key) ?? new DataLoader<string, unknown[]>((ids) => read(this.teamId, first, ids))
    this.loaders.set(key, loader)
    return { nodes: await loader.load(id) }
  }
}

async function teamOf(authorization: string | undefined): Promise<string> {
  const token = tokenOf(authorization)
  const [found] = token ? await byLookupId.execute({ lookupId: token.lookupId }) : []
  if (!found || found.secretHash !== token?.secretHash)
    throw new GraphQLError('A good token is needed.', {
      extensions: { code: 'UNAUTHENTICATED', http: { status: 401 } },
    })
  return found.teamId
}

type First = { readonly first: number }
const server = new ApolloServer<Context>({
  typeDefs,
  resolvers: {
    Query: {
      deployments: async (_: unknown, { first }: First, { teamId }: Context) => ({
        nodes: await deployments.execute({ teamId, first }),
      }),
      resources: async (_: unknown, { first }: First, { teamId }: Context) => ({
        nodes: await resources.execute({ teamId, first }),
      }),
    },
    Deployment: {
      allowedActions,
      instances: (row: Owner, { first }: First, context: Context) => context.nodes(instancesOf, row, first),
      operations: (row: Owner, { first }: First, context: Context) => context.nodes(operationsOf, row, first),
    },
  },
  introspection: false,
})
const { url } = await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port: 0 },
  context: async ({ req }) => new Context(await teamOf(req.headers.authorization)),
})
process.stdout.write(`GraphQL: ${url}\n`)
process.once('SIGTERM', () => process.exit())
