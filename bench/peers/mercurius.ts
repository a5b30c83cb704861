// The peer Mercurius: Fastify, its JIT on, and postgres.js, whose statements are prepared by themselves. The mutation is one
// transaction: a guarded update, and what is to be stored with it.
import fastify from 'fastify'
import mercurius from 'mercurius'
import postgres from 'postgres'
import { typeidUnboxed } from 'typeid-js'
import { accepted, hashOf, type Input, keyReused, notFound, notMoved, tokenOf, typeDefs } from './redeploy-schema.ts'

interface Actor {
  readonly id: string
  readonly teamId: string
}
interface Context {
  readonly actor: Actor
  readonly requestId: string
}

const sql = postgres(process.env.DATABASE_URL ?? '', { max: 12 })

async function actorOf(authorization: string | undefined): Promise<Actor> {
  const token = tokenOf(authorization)
  const [found] = token
    ? await sql`select id, team_id, secret_hash from api_token where lookup_id = ${token.lookupId} and state = 'ACTIVE' and expires_at > now()`
    : []
  if (!found || found.secret_hash !== token?.secretHash) {
    throw new mercurius.ErrorWithProps('A good token is needed.', { code: 'UNAUTHENTICATED' }, 401)
  }
  return { id: found.id, teamId: found.team_id }
}

async function redeploy({ actor, requestId }: Context, input: Input) {
  const { id, idempotencyKey = null, image = null, expectedVersion = null } = input
  const transitionId = crypto.randomUUID()
  return sql.begin(async (tx) => {
    const [row] = await tx`
      update deployment d set state = 'BUILDING', state_changed_at = now(), state_reason = null, version = d.version + 1,
        generation = d.generation + 1, image = coalesce(${image}, d.image)
      from (select id, state from deployment where id = ${id} and team_id = ${actor.teamId} for no key update) before
      where d.id = before.id and before.state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')
        and (${expectedVersion}::int is null or d.version = ${expectedVersion}::int)
      returning d.id, d.state, d.version, d.generation, before.state as from_state`
    if (!row) return null
    const operationId = typeidUnboxed('op')
    const [operation] = await tx`
      insert into operation (id, state, state_changed_at, generation, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
      values (${operationId}, 'PENDING', now(), ${row.generation}, ${actor.teamId}, 'deployment.roll_out', 'Deployment', ${id}, now(),
        ${sql.json({ kind: 'token', id: actor.id })}, ${requestId}) returning id, state`
    await tx`
      insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version, operation_id,
        actor_kind, actor_id, request_id, transition_id)
      values (now(), ${actor.teamId}, 'Deployment', ${id}, 'redeployDeployment', ${row.from_state}, ${row.state}, ${row.generation},
          ${row.version}, ${operationId}, 'token', ${actor.id}, ${requestId}, ${transitionId}),
        (now(), ${actor.teamId}, 'Operation', ${operationId}, 'queueOperation', null, 'PENDING', ${row.generation}, 1, ${operationId},
          'token', ${actor.id}, ${requestId}, ${transitionId})`
    if (idempotencyKey !== null) {
      await tx`insert into idempotency_key (actor_id, mutation, key, input_hash, subject_id, operation_id, created_at)
        values (${actor.id}, 'redeployDeployment', ${idempotencyKey}, ${hashOf(input)}, ${id}, ${operationId}, now())`
    }
    return accepted(row, operation, false)
  })
}

/** What the key was answered before. */
async function replay({ actor }: Context, input: Input) {
  const { idempotencyKey = null } = input
  if (idempotencyKey === null) return null
  const [before] = await sql`select input_hash, subject_id, operation_id from idempotency_key
    where actor_id = ${actor.id} and mutation = 'redeployDeployment' and key = ${idempotencyKey}`
  if (!before) return null
  if (before.input_hash !== hashOf(input)) return keyReused()
  const [row] = await sql`select id, state, version from deployment where id = ${before.subject_id}`
  const [operation] = await sql`select id, state from operation where id = ${before.operation_id}`
  return accepted(row, operation, true)
}

async function redeployDeployment(_: unknown, { input }: { input: Input }, context: Context) {
  try {
    const moved = await redeploy(context, input)
    if (moved) return moved
  } catch (error) {
    if ((error as { constraint_name?: string }).constraint_name !== 'idempotency_key_actor_id_mutation_key_pk')
      throw error
  }
  const before = await replay(context, input)
  if (before) return before
  const [row] =
    await sql`select state, version from deployment where id = ${input.id} and team_id = ${context.actor.teamId}`
  return row ? notMoved(row as { state: string; version: number }) : notFound(input.id)
}

const app = fastify({ logger: false })
app.register(mercurius, {
  schema: typeDefs,
  resolvers: { Query: { version: () => 'mercurius' }, Mutation: { redeployDeployment } },
  jit: 1,
  graphiql: false,
  context: async (request: { id: string; headers: { authorization?: string } }): Promise<Context> => ({
    actor: await actorOf(request.headers.authorization),
    requestId: crypto.randomUUID(),
  }),
} as never)
const url = await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`GraphQL: ${url}/graphql\n`)
process.once('SIGTERM', () => process.exit())
