// Where races are played: a database with a team, once as the product has it, and once without the triggers and the
// constraints that a mutant must not be stopped by. Every play gets rows of its own; nothing is ever cleaned in between.
import postgres from 'postgres'
import type { Context } from '../../src/context.ts'
import { openPool, type Pool } from '../../src/db/client.ts'
import type { LifecycleTable } from '../../src/db/tables.ts'
import { isRefusal } from '../../src/refusals.ts'
import type { Rule } from '../../src/resolvers/transition.ts'
import { createTestDatabase, patient } from '../database.ts'
import { type Mutation, mutating } from '../interleave.ts'
import {
  contextFor,
  createTeam,
  type DeploymentFacts,
  type OperationFacts,
  putDeployment,
  putOperation,
  type TestTeam,
} from '../row.ts'

export interface World {
  readonly url: string
  /** Sessions of a superuser, beside all pools. */
  readonly stranger: postgres.Sql
  readonly team: TestTeam
  readonly pool: Pool
  readonly context: Context
  /** The same world seen through statements that are rewritten. */
  withMutants(...mutations: Mutation[]): World
  /** Another replica. */
  openPool(slots?: number, mutations?: readonly Mutation[]): Pool
  deployment(facts: Omit<DeploymentFacts, 'teamId'>): Promise<string>
  operation(facts: Omit<OperationFacts, 'teamId'>): Promise<string>
  close(): Promise<void>
}

const lifecycleTables = ['deployment', 'operation', 'team', 'api_token', 'member', 'invitation', 'instance']

/** Opens a world; without guards, nothing but the statements themselves keeps states right. */
export async function openWorld({ guards = true, cap = 1_000 } = {}): Promise<World> {
  const database = await createTestDatabase()
  const stranger = postgres(database.url, { max: 6, onnotice: () => {} })
  if (!guards) for (const table of lifecycleTables) await stranger.unsafe(`alter table ${table} disable trigger user`)
  const team = await createTeam(stranger, { cap })
  const pools: Pool[] = []
  const open = (slots: number, mutations: readonly Mutation[]) => {
    const wrap = mutations.length > 0 ? { wrap: mutating(...mutations) } : {}
    // A slow machine is not what is played here: nobody is turned away for want of a connection.
    const pool = openPool({ url: database.url, purpose: 'api', slots, ...patient, ...wrap })
    pools.push(pool)
    return pool
  }
  const seenThrough = (mutations: readonly Mutation[]): World => {
    const pool = open(6, mutations)
    return {
      url: database.url,
      stranger,
      team,
      pool,
      context: contextFor(pool.db, team.actor),
      withMutants: (...more) => seenThrough(more),
      openPool: (slots = 4, own = mutations) => open(slots, own),
      deployment: (facts) => putDeployment(stranger, { teamId: team.teamId, ...facts }),
      operation: (facts) => putOperation(stranger, { teamId: team.teamId, ...facts }),
      async close() {
        await Promise.all(pools.map((each) => each.close({ timeoutMs: 0 })))
        await stranger.end({ timeout: 1 })
        await database.drop()
      },
    }
  }
  return seenThrough([])
}

/** What became of a call, in one word: the state that the deployment was moved to, `replayed`, or the refusal. */
export function outcomeOf(result: object): string {
  if (isRefusal(result)) return result.refusal
  const { replayed, deployment } = result as { replayed: boolean; deployment: { state: string } }
  return replayed ? 'replayed' : deployment.state
}

export interface Seen {
  readonly state: string
  readonly generation: number
  readonly version: number
  readonly image: string
  readonly env: Record<string, { value: string }>
  readonly url: string | null
  readonly ttlPolicy: string
}

/** The row of a deployment as it is stored. */
export async function seen(world: World, id: string): Promise<Seen> {
  const [row] = await world.stranger<Seen[]>`
    select state, generation, version, image, env, url, ttl_policy as "ttlPolicy" from deployment where id = ${id}`
  if (!row) throw new Error(`${id} is gone`)
  return row
}

export interface Trace {
  readonly kind: string
  readonly from: string | null
  readonly to: string
}

/** The events of a subject, oldest first, as `kind from→to`. */
export async function chainOf(world: World, id: string): Promise<string[]> {
  const rows = await world.stranger<Trace[]>`
    select kind, from_state as "from", to_state as "to" from event where subject_id = ${id} order by id`
  return rows.map(({ kind, from, to }) => `${kind} ${from ?? ''}→${to}`)
}

/** The operations of a subject, oldest first, as `kind state`. */
export async function operationsOf(world: World, id: string): Promise<string[]> {
  const rows = await world.stranger<{ kind: string; state: string }[]>`
    select kind, state from operation where subject_id = ${id} order by generation, id`
  return rows.map(({ kind, state }) => `${kind} ${state}`)
}

/** The call of a runner or a loop, for `transition()`. */
export const callOf = (
  world: World,
  { operationId, ...values }: Record<string, string | number | null> & { operationId?: string },
) => ({
  actor: { kind: 'runner', id: 'test' },
  requestId: 'test',
  values: { teamId: world.team.teamId, ...values },
  ...(operationId === undefined ? {} : { operationId }),
})

/** A rule with another machine or another subject part, under another name. */
export function variantOf<T extends LifecycleTable, U extends LifecycleTable>(
  rule: Rule<T, U>,
  name: string,
  subject: Partial<Rule<T, U>['subject']>,
): Rule<T, U> {
  return { ...rule, name: `${rule.name}.${name}`, subject: { ...rule.subject, ...subject } }
}
