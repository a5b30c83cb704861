// Resources and their operations in any state, put past the triggers for what no caller can bring about. A live one counts
// against the plan, and what is sealed in it can be opened with the tests' own keys.
import { randomBytes } from 'node:crypto'
import type postgres from 'postgres'
import { newId } from '../../src/db/id.ts'
import type { OperationState } from '../../src/lifecycle/operation.ts'
import { liveResourceStates, type ResourceState } from '../../src/lifecycle/resource.ts'
import { testSealing, withTriggersOff } from '../row.ts'

export interface ResourceFacts {
  readonly teamId: string
  readonly state: ResourceState
  readonly name?: string
  readonly environment?: string
  readonly type?: 'POSTGRES' | 'REDIS'
  readonly generation?: number
  readonly version?: number
  /** When its time is over, in seconds from now, perhaps negative; null or absent: it has no limit. */
  readonly expiresInSeconds?: number | null
  readonly sizeBytes?: number | null
  readonly limitBytes?: number
  /** A rotation is under way. */
  readonly rotating?: boolean
  /** What the URL is; absent: one that no provider knows. */
  readonly url?: string
  readonly stateChangedAt?: Date
}

/** 192 bits of hex, as the product makes them. */
export const newSecret = () => randomBytes(24).toString('hex')

/** Room for resources in the plan of a team; returns nothing. */
export const giveRoom = (sql: postgres.Sql, teamId: string, cap = 1_000) =>
  sql`update plan_usage set cap = ${cap} where team_id = ${teamId} and kind = 'resources'`

/** A resource in any state; returns its id. */
export async function putResource(where: postgres.Sql, facts: ResourceFacts): Promise<string> {
  const { teamId, state, name = `res-${randomBytes(6).toString('hex')}`, environment = 'development' } = facts
  const { type = 'POSTGRES', generation = 1, version = 1, expiresInSeconds = null, stateChangedAt = new Date() } = facts
  const { sizeBytes = null, limitBytes = 1_000, rotating = false, url = 'fake://u:p@127.0.0.1/u' } = facts
  const id = newId('Resource')
  const sealed = (text: string, field: 'password' | 'connection') => testSealing.seal(text, [teamId, id, field])
  const connected = state !== 'PROVISIONING' && state !== 'FAILED' && state !== 'DELETED'
  const ended = state === 'DELETING' || state === 'DELETED'
  await withTriggersOff(where, async (sql) => {
    await sql`insert into resource (id, state, state_changed_at, version, generation, team_id, environment, name, type,
        incarnation, password, next_password, connection, expires_at, deleted_at, limit_bytes, size_bytes)
      values (${id}, ${state}, ${stateChangedAt}, ${version}, ${generation}, ${teamId}, ${environment}, ${name}, ${type},
        ${randomBytes(12).toString('hex')}, ${sealed(newSecret(), 'password')},
        ${rotating ? sealed(newSecret(), 'password') : null}, ${connected ? sealed(url, 'connection') : null},
        now() + ${expiresInSeconds}::float8 * interval '1 second', ${ended ? stateChangedAt : null}, ${limitBytes}, ${sizeBytes})`
    if (liveResourceStates.includes(state)) {
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'resources'`
    }
  })
  return id
}

export interface ResourceOperationFacts {
  readonly teamId: string
  readonly subjectId: string
  readonly state: OperationState
  /** Default: a deprovision. */
  readonly kind?: string
  readonly generation?: number
  readonly claimToken?: string | null
  readonly attempt?: number
  /** When it is due, or its lease ends, in seconds from now. */
  readonly dueInSeconds?: number
}

/** An operation of a resource in any state; returns its id. */
export async function putResourceOperation(where: postgres.Sql, facts: ResourceOperationFacts): Promise<string> {
  const { teamId, subjectId, state, kind = 'resource.deprovision', generation = 1 } = facts
  const { claimToken = null, attempt = 0, dueInSeconds = 0 } = facts
  const id = newId('Operation')
  await withTriggersOff(where, async (sql) => {
    await sql`insert into operation (id, state, generation, team_id, kind, subject_type, subject_id, attempt, due_at,
        claim_token, actor, request_id)
      values (${id}, ${state}, ${generation}, ${teamId}, ${kind}, 'Resource', ${subjectId}, ${attempt},
        now() + ${dueInSeconds}::float8 * interval '1 second', ${claimToken}, '{"kind": "token", "id": "test"}', 'fixture')`
  })
  return id
}
