// What tests start from: teams, tokens, actors, and rows in any state. Rows that a caller could make are made by the real
// resolvers; only what no call leads to is put in place with the triggers switched off.
import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { type ActionClass, type Actor, actionClasses, scopes as everyScope, type Scope } from '../src/auth.ts'
import { newId } from '../src/db/id.ts'
import { mintToken } from '../src/token.ts'
import { ownerActor, ownerOf, putOwner } from './owner.ts'

/** One connection of a superuser to the database of a test; end it with the test. */
export const superuser = (url: string): postgres.Sql => postgres(url, { max: 1, onnotice: () => {} })

export interface TestTeam {
  readonly teamId: string
  /** Plaintext of a token with every scope. */
  readonly token: string
  readonly actor: Actor
}

/** Runs statements without the triggers, in a session of its own. */
async function beneath<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = superuser(url)
  try {
    await sql`set session_replication_role = replica`
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

export interface TeamOptions {
  readonly name?: string
  /** How many deployments its plan has room for. Default 100. */
  readonly cap?: number
  readonly scopes?: readonly Scope[]
}

/** An ACTIVE team with a plan and a token. Call it twice for two teams. */
export async function createTeam(
  url: string,
  { name = 'team', cap = 100, scopes }: TeamOptions = {},
): Promise<TestTeam> {
  const teamId = newId('Team')
  await beneath(url, async (sql) => {
    await sql`insert into team (id, state, name) values (${teamId}, 'ACTIVE', ${name})`
    await putOwner(sql, teamId, cap)
  })
  return { teamId, ...(await createToken(url, teamId, { scopes: scopes ?? everyScope })) }
}

export interface TokenOptions {
  readonly scopes?: readonly Scope[]
  readonly state?: 'ACTIVE' | 'REVOKED' | 'EXPIRED'
  /** From now, in ms; negative for one that has expired. Default 1 h. */
  readonly expiresInMs?: number
  readonly classes?: readonly ActionClass[]
}

/** Another token of a team. */
export async function createToken(
  url: string,
  teamId: string,
  { scopes = everyScope, state = 'ACTIVE', expiresInMs = 3_600_000, classes = actionClasses }: TokenOptions = {},
): Promise<{ token: string; actor: Actor }> {
  const { plaintext, lookupId, secretHash } = mintToken()
  const id = newId('ApiToken')
  await beneath(
    url,
    (
      sql,
    ) => sql`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      values (${id}, ${state}, ${teamId}, ${ownerOf(teamId)}, 'test', ${lookupId}, ${secretHash}, ${[...scopes]}, ${[...classes]},
        ${new Date(Date.now() + expiresInMs)})`,
  )
  const actor: Actor = { ...ownerActor(id, teamId, scopes), classes: new Set(classes) }
  return { token: plaintext, actor }
}

export interface DeploymentRow {
  readonly state?: string
  readonly name?: string
  readonly environment?: string
  readonly image?: string
  readonly version?: number
  readonly generation?: number
  readonly url?: string | null
  readonly instanceId?: string | null
  readonly env?: Readonly<Record<string, { value: string; revision: number; changedAt: string; changedBy: string }>>
  /** Time limit from now in ms (negative: passed already); null for a permanent one. Default null. */
  readonly expiresInMs?: number | null
  readonly createdAt?: Date
  readonly stateChangedAt?: Date
}

const ended = ['EXPIRED', 'DELETING', 'DELETED']

/** Puts a deployment in place in any state, and counts it as the plan would. Returns its id. */
export async function putDeployment(url: string, teamId: string, row: DeploymentRow = {}): Promise<string> {
  const id = newId('Deployment')
  const { state = 'HEALTHY', name = `d${randomBytes(4).toString('hex')}`, expiresInMs = null } = row
  const expiresAt = expiresInMs === null ? null : new Date(Date.now() + expiresInMs)
  await beneath(url, async (sql) => {
    await sql`insert into deployment (id, state, team_id, name, environment, image, version, generation, url, instance_id, env,
        env_revision, ttl_policy, expires_at, incarnation, created_at, state_changed_at)
      values (${id}, ${state}, ${teamId}, ${name}, ${row.environment ?? 'development'}, ${row.image ?? 'hello'}, ${row.version ?? 1},
        ${row.generation ?? 1}, ${row.url ?? null}, ${row.instanceId ?? null}, ${sql.json(row.env ?? {})},
        ${Math.max(0, ...Object.values(row.env ?? {}).map((entry) => entry.revision))}, ${expiresAt ? 'TTL' : 'PERMANENT'}, ${expiresAt},
        ${randomBytes(12).toString('hex')}, ${row.createdAt ?? new Date()}, ${row.stateChangedAt ?? new Date()})`
    if (!ended.includes(state)) {
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'deployments'`
    }
  })
  return id
}

export interface OperationRow {
  readonly state?: string
  readonly kind?: string
  readonly generation?: number
  readonly createdAt?: Date
  readonly stateChangedAt?: Date
}

/** Puts an operation of a deployment in place in any state. Returns its id. */
export async function putOperation(
  url: string,
  teamId: string,
  subjectId: string,
  row: OperationRow = {},
): Promise<string> {
  const id = newId('Operation')
  await beneath(
    url,
    (
      sql,
    ) => sql`insert into operation (id, state, team_id, kind, subject_type, subject_id, generation, due_at, actor, request_id,
        created_at, state_changed_at)
      values (${id}, ${row.state ?? 'PENDING'}, ${teamId}, ${row.kind ?? 'deployment.roll_out'}, 'Deployment', ${subjectId},
        ${row.generation ?? 1}, now(), ${sql.json({ kind: 'system', id: 'test' })}, 'test', ${row.createdAt ?? new Date()},
        ${row.stateChangedAt ?? new Date()})`,
  )
  return id
}
