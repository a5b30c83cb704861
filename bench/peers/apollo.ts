// The peer Apollo Server 5 with its own standalone HTTP server, and drizzle over node-postgres, which takes one round trip for a
// statement. The mutation is drizzle's transaction: a look under the lock, the update, and what is to be stored with it.
import { ApolloServer } from '@apollo/server'
import { startStandaloneServer } from '@apollo/server/standalone'
import { and, eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { GraphQLError } from 'graphql'
import pg from 'pg'
import { typeidUnboxed } from 'typeid-js'
import {
  accepted,
  hashOf,
  type Input,
  keyReused,
  notFound,
  notMoved,
  tokenOf,
  typeDefs,
  workable,
} from './redeploy-schema.ts'
import { apiToken, deployment, event, idempotencyKey, operation } from './tables.ts'

interface Actor {
  readonly id: string
  readonly teamId: string
}
interface Context {
  readonly actor: Actor
  readonly requestId: string
}

const db = drizzle(new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 12 }))

// What is no part of a transaction can be prepared.
const byLookupId = db
  .select({ id: apiToken.id, teamId: apiToken.teamId, secretHash: apiToken.secretHash })
  .from(apiToken)
  .where(
    and(
      eq(apiToken.lookupId, sql.placeholder('lookupId')),
      eq(apiToken.state, 'ACTIVE'),
      sql`${apiToken.expiresAt} > now()`,
    ),
  )
  .prepare('token')

async function actorOf(authorization: string | undefined): Promise<Actor> {
  const token = tokenOf(authorization)
  const [found] = token ? await byLookupId.execute({ lookupId: token.lookupId }) : []
  if (!found || found.secretHash !== token?.secretHash) {
    throw new GraphQLError('A good token is needed.', {
      extensions: { code: 'UNAUTHENTICATED', http: { status: 401 } },
    })
  }
  return found
}

const redeploy = ({ actor, requestId }: Context, input: Input) =>
  db.transaction(async (tx) => {
    const { id, idempotencyKey: key, image, expectedVersion } = input
    const [found] = await tx
      .select({
        state: deployment.state,
        version: deployment.version,
        generation: deployment.generation,
        image: deployment.image,
      })
      .from(deployment)
      .where(and(eq(deployment.id, id), eq(deployment.teamId, actor.teamId)))
      .for('no key update')
    if (!found) return notFound(id)
    if (!workable.includes(found.state) || (expectedVersion != null && Number(expectedVersion) !== found.version)) {
      return notMoved(found)
    }
    const at = new Date()
    const { teamId } = actor
    const [row] = await tx
      .update(deployment)
      .set({
        state: 'BUILDING',
        stateChangedAt: at,
        stateReason: null,
        version: found.version + 1,
        generation: found.generation + 1,
        image: image ?? found.image,
      })
      .where(eq(deployment.id, id))
      .returning({
        id: deployment.id,
        state: deployment.state,
        version: deployment.version,
        generation: deployment.generation,
      })
    if (!row) return notFound(id)
    const [work] = await tx
      .insert(operation)
      .values({
        id: typeidUnboxed('op'),
        state: 'PENDING',
        stateChangedAt: at,
        generation: row.generation,
        teamId,
        kind: 'deployment.roll_out',
        subjectType: 'Deployment',
        subjectId: id,
        dueAt: at,
        actor: { kind: 'token', id: actor.id },
        requestId,
      })
      .returning({ id: operation.id, state: operation.state })
    const operationId = work?.id ?? ''
    const told = {
      occurredAt: at,
      teamId,
      generation: row.generation,
      actorKind: 'token',
      actorId: actor.id,
      requestId,
      operationId,
      transitionId: crypto.randomUUID(),
    }
    await tx.insert(event).values([
      {
        ...told,
        subjectType: 'Deployment',
        subjectId: id,
        kind: 'redeployDeployment',
        fromState: found.state,
        toState: row.state,
        version: row.version,
      },
      {
        ...told,
        subjectType: 'Operation',
        subjectId: operationId,
        kind: 'queueOperation',
        toState: 'PENDING',
        version: 1,
      },
    ])
    if (key != null) {
      await tx.insert(idempotencyKey).values({
        actorId: actor.id,
        mutation: 'redeployDeployment',
        key,
        inputHash: hashOf(input),
        subjectId: id,
        operationId,
        createdAt: at,
      })
    }
    return accepted(row, work, false)
  })

/** What the key was answered before. */
async function replay({ actor }: Context, input: Input) {
  if (input.idempotencyKey == null) return null
  const [before] = await db
    .select()
    .from(idempotencyKey)
    .where(
      and(
        eq(idempotencyKey.actorId, actor.id),
        eq(idempotencyKey.mutation, 'redeployDeployment'),
        eq(idempotencyKey.key, input.idempotencyKey),
      ),
    )
  if (!before) return null
  if (before.inputHash !== hashOf(input)) return keyReused()
  const [row] = await db.select().from(deployment).where(eq(deployment.id, before.subjectId))
  const [work] = await db
    .select()
    .from(operation)
    .where(eq(operation.id, before.operationId ?? ''))
  return accepted(row, work, true)
}

async function redeployDeployment(_: unknown, { input }: { input: Input }, context: Context) {
  const told = await redeploy(context, input).catch((error: { cause?: { constraint?: string } }) => {
    if (error.cause?.constraint !== 'idempotency_key_actor_id_mutation_key_pk') throw error
    return null
  })
  if (told?.__typename === 'RedeployDeploymentPayload') return told
  return (await replay(context, input)) ?? told
}

const server = new ApolloServer<Context>({
  typeDefs,
  resolvers: { Query: { version: () => 'apollo' }, Mutation: { redeployDeployment } },
  introspection: false,
})
const { url } = await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port: 0 },
  context: async ({ req }) => ({ actor: await actorOf(req.headers.authorization), requestId: crypto.randomUUID() }),
})
process.stdout.write(`GraphQL: ${url}\n`)
process.once('SIGTERM', () => process.exit())
