// Rows in any state through an open session, for the tests of the lifecycle and its races, which need claims and many of
// them. A superuser puts them with the triggers off; counters are kept right, so that invariants hold afterwards.
import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { type Actor, actionClasses, type Scope, scopes } from '../src/auth.ts'
import type { Context } from '../src/context.ts'
import type { Env } from '../src/db/env.ts'
import { newId } from '../src/db/id.ts'
import { done } from '../src/drivers/outcome.ts'
import type { ApiTokenState } from '../src/lifecycle/api-token.ts'
import { type DeploymentState, liveDeploymentStates } from '../src/lifecycle/deployment.ts'
import type { OperationState } from '../src/lifecycle/operation.ts'
import { createLog } from '../src/log.ts'
import { createMetrics } from '../src/metrics.ts'
import type { Database } from '../src/resolvers/transition.ts'
import { createSealing } from '../src/sealing.ts'
import { mintToken } from '../src/token.ts'
import { ownerActor, ownerOf, putOwner } from './owner.ts'

/** Where rows are put: the URL of a superuser, or an open session of one. */
export type Where = string | postgres.Sql

export interface TestTeam {
  readonly teamId: string
  /** The owner's token, as authentication would give it. */
  readonly actor: Actor
  /** Its plaintext. */
  readonly token: string
}

/** A team with a plan and a token that has all scopes, or those given. */
export async function createTeam(
  where: Where,
  { cap = 100, scopes: given = scopes as readonly Scope[] }: { cap?: number; scopes?: readonly Scope[] } = {},
): Promise<TestTeam> {
  const teamId = newId('Team')
  await withTriggersOff(where, async (sql) => {
    await sql`insert into team (id, state, name) values (${teamId}, 'ACTIVE', 'test')`
    await putOwner(sql, teamId, cap)
  })
  const { id, plaintext } = await putToken(where, { teamId, scopes: given })
  return { teamId, actor: ownerActor(id, teamId, given), token: plaintext }
}

export interface DeploymentFacts {
  readonly teamId: string
  readonly state: DeploymentState
  readonly id?: string
  readonly name?: string
  readonly environment?: string
  readonly image?: string
  readonly env?: Env
  readonly generation?: number
  readonly version?: number
  /** When its time is over, in seconds from now, perhaps negative; null or absent: it is permanent. */
  readonly expiresInSeconds?: number | null
}

/** A deployment in any state; returns its id. A live one counts against the plan. */
export async function putDeployment(where: Where, facts: DeploymentFacts): Promise<string> {
  const { teamId, state, id = newId('Deployment'), name = `app-${randomBytes(6).toString('hex')}` } = facts
  const { environment = 'development', image = 'hello:1', env = {}, generation = 1, version = 1 } = facts
  const { expiresInSeconds = null } = facts
  const revision = Math.max(0, ...Object.values(env).map((entry) => entry.revision))
  await withTriggersOff(where, async (sql) => {
    await sql`insert into deployment (id, state, version, generation, team_id, environment, name, image, env, env_revision,
        ttl_policy, expires_at, incarnation)
      values (${id}, ${state}, ${version}, ${generation}, ${teamId}, ${environment}, ${name}, ${image}, ${sql.json(env as never)},
        ${revision}, ${expiresInSeconds === null ? 'PERMANENT' : 'TTL'},
        now() + ${expiresInSeconds}::float8 * interval '1 second', ${randomBytes(12).toString('hex')})`
    if (liveDeploymentStates.includes(state)) {
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'deployments'`
    }
  })
  return id
}

export interface OperationFacts {
  readonly teamId: string
  readonly subjectId: string
  readonly state: OperationState
  readonly id?: string
  readonly kind?: string
  readonly generation?: number
  readonly claimToken?: string | null
  readonly attempt?: number
  /** When it is due, or its lease ends, in seconds from now. */
  readonly dueInSeconds?: number
}

/** An operation in any state; returns its id. */
export async function putOperation(where: Where, facts: OperationFacts): Promise<string> {
  const { teamId, subjectId, state, id = newId('Operation'), kind = 'deployment.roll_out', generation = 1 } = facts
  const { claimToken = null, attempt = 0, dueInSeconds = 0 } = facts
  await withTriggersOff(where, async (sql) => {
    await sql`insert into operation (id, state, generation, team_id, kind, subject_type, subject_id, attempt, due_at,
        claim_token, actor, request_id)
      values (${id}, ${state}, ${generation}, ${teamId}, ${kind}, 'Deployment', ${subjectId}, ${attempt},
        now() + ${dueInSeconds}::float8 * interval '1 second', ${claimToken}, '{"kind": "token", "id": "test"}', 'fixture')`
  })
  return id
}

export interface TokenFacts {
  readonly teamId: string
  readonly state?: ApiTokenState
  readonly scopes?: readonly Scope[]
  readonly expiresInSeconds?: number
}

/** A token in any state; returns its id and its plaintext. */
export async function putToken(where: Where, facts: TokenFacts): Promise<{ id: string; plaintext: string }> {
  const { teamId, state = 'ACTIVE', scopes: given = scopes, expiresInSeconds = 86_400 } = facts
  const id = newId('ApiToken')
  const { plaintext, lookupId, secretHash } = mintToken()
  await withTriggersOff(where, async (sql) => {
    await sql`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      values (${id}, ${state}, ${teamId}, ${ownerOf(teamId)}, 'test', ${lookupId}, ${secretHash}, ${[...given]}, ${[...actionClasses]},
        now() + ${expiresInSeconds}::float8 * interval '1 second')`
  })
  return { id, plaintext }
}

/** Keys of the tests' own. */
export const testSealing = createSealing([{ id: 'test', bytes: Buffer.alloc(32, 7) }])

/** No name is looked up: what is called private is not taken. */
export const testWebhookFault = async (url: string) =>
  url.includes('private') ? 'The host has no address, or one that is not public.' : null

/** What a request would carry: every image is there, metrics throw on an undeclared label, the log is silent. */
export const contextFor = (db: Database, actor: Actor, overrides: Partial<Context> = {}): Context => ({
  db,
  actor,
  requestId: crypto.randomUUID(),
  images: { resolveImage: async (image) => done({ image }), reserves: (name) => name === 'PORT' },
  resourceTypes: () => null,
  webhookFault: testWebhookFault,
  sealing: testSealing,
  nudge: () => {},
  metrics: createMetrics({ strict: true }),
  log: createLog({ level: 'fatal', destination: { write: () => {} } }),
  ...overrides,
})

/** Runs statements of a superuser with triggers and foreign keys off; one transaction. */
export async function withTriggersOff(
  where: Where,
  work: (sql: postgres.TransactionSql) => Promise<void>,
): Promise<void> {
  const own = typeof where === 'string' ? postgres(where, { max: 1, onnotice: () => {} }) : where
  try {
    await own.begin(async (sql) => {
      await sql`set local session_replication_role = replica`
      await work(sql)
    })
  } finally {
    if (typeof where === 'string') await own.end({ timeout: 5 })
  }
}
