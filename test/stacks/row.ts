// Stacks and their operations in any state, put past the triggers for what no caller can bring about. A live one counts
// against the plan.
import { randomBytes } from 'node:crypto'
import type postgres from 'postgres'
import type { Env } from '../../src/db/env.ts'
import { newId } from '../../src/db/id.ts'
import type { PlacedService, StackService } from '../../src/db/stack.ts'
import type { OperationState } from '../../src/lifecycle/operation.ts'
import { liveStackStates, type StackState } from '../../src/lifecycle/stack.ts'
import { withTriggersOff } from '../row.ts'

export interface StackFacts {
  readonly teamId: string
  readonly state: StackState
  readonly name?: string
  readonly environment?: string
  /** Names of its services; each runs `hello:1`. */
  readonly services?: readonly string[]
  readonly placed?: Readonly<Record<string, PlacedService>>
  readonly env?: Env
  readonly generation?: number
  readonly version?: number
  readonly stateChangedAt?: Date
}

export const serviceOf = (name: string, image = 'hello:1'): StackService => ({
  name,
  image,
  port: null,
  exposed: false,
})

/** Room for stacks in the plan of a team. */
export const giveStackRoom = (sql: postgres.Sql, teamId: string, cap = 100_000) =>
  sql`update plan_usage set cap = ${cap} where team_id = ${teamId} and kind = 'stacks'`

/** A stack in any state; returns its id. */
export async function putStack(where: postgres.Sql, facts: StackFacts): Promise<string> {
  const { teamId, state, name = `stk-${randomBytes(6).toString('hex')}`, environment = 'development' } = facts
  const { services = ['web', 'api'], env = {}, generation = 1, version = 1, stateChangedAt = new Date() } = facts
  const { placed = Object.fromEntries(services.map((each) => [each, {}])) } = facts
  const id = newId('Stack')
  const ended = state === 'DELETING' || state === 'DELETED'
  await withTriggersOff(where, async (sql) => {
    await sql`insert into stack (id, state, state_changed_at, version, generation, team_id, environment, name, services, placed,
        env, env_revision, incarnation, deleted_at)
      values (${id}, ${state}, ${stateChangedAt}, ${version}, ${generation}, ${teamId}, ${environment}, ${name},
        ${sql.json(services.map((each) => serviceOf(each)) as never)}, ${sql.json(placed as never)}, ${sql.json(env as never)},
        ${Math.max(0, ...Object.values(env).map((entry) => entry.revision))}, ${randomBytes(12).toString('hex')},
        ${ended ? stateChangedAt : null})`
    if (liveStackStates.includes(state)) {
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'stacks'`
    }
  })
  return id
}

export interface StackOperationFacts {
  readonly teamId: string
  readonly subjectId: string
  readonly state: OperationState
  /** Default: a roll-out. */
  readonly kind?: string
  readonly generation?: number
  readonly claimToken?: string | null
  readonly attempt?: number
  /** When it is due, or its lease ends, in seconds from now. */
  readonly dueInSeconds?: number
  readonly stateChangedAt?: Date
}

/** An operation of a stack in any state; returns its id. */
export async function putStackOperation(where: postgres.Sql, facts: StackOperationFacts): Promise<string> {
  const { teamId, subjectId, state, kind = 'stack.roll_out', generation = 1 } = facts
  const { claimToken = null, attempt = 0, dueInSeconds = 0, stateChangedAt = new Date() } = facts
  const id = newId('Operation')
  await withTriggersOff(where, async (sql) => {
    await sql`insert into operation (id, state, state_changed_at, generation, team_id, kind, subject_type, subject_id, attempt,
        due_at, claim_token, actor, request_id)
      values (${id}, ${state}, ${stateChangedAt}, ${generation}, ${teamId}, ${kind}, 'Stack', ${subjectId}, ${attempt},
        now() + ${dueInSeconds}::float8 * interval '1 second', ${claimToken}, '{"kind": "token", "id": "test"}', 'fixture')`
  })
  return id
}
