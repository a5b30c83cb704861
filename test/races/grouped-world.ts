// Where calls are decided together (src/resolvers/transition-gather.ts). Calls of one moment go like this: the first at once
// and by itself, the second as a group of its own, and all others as one group when one of those is back. So whatever is asked
// after two others is in the group, and nothing here depends on time.
import type { Context } from '../../src/context.ts'
import { type Channel, openPool, type Pool, type Statement } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { redeployDeployment } from '../../src/resolvers/deployment.ts'
import { patient } from '../database.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { contextFor } from '../row.ts'
import { openWorld, outcomeOf, type World } from './world.ts'

/** The rule that is grouped, and what its statement for many calls is known by. */
export const name = 'redeployDeployment'
export const among = 'json_to_recordset'

const pools: Pool[] = []

export interface Worlds {
  readonly real: World
  /** Without triggers. */
  readonly bare: World
  close(): Promise<void>
}
export async function openWorlds(): Promise<Worlds> {
  const [real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
  const close = async () => {
    await Promise.all(pools.splice(0).map((pool) => pool.close({ timeoutMs: 0 })))
    await Promise.all([real.close(), bare.close()])
  }
  return { real, bare, close }
}

export interface Replica {
  readonly context: Context
  /** How many calls each redeploy's statement has decided, in the order in which they were sent; 1 for the statement for one. */
  readonly sent: (number | 'one')[]
}

/** What the calls of a group give; null where the statement is for one call. */
export const callsOf = ({ sql, params }: Statement): { given_id: string }[] | null =>
  sql.includes(among) ? JSON.parse(String(params[0])) : null

/** A replica of its own, whose statements are counted, and rewritten by `mutations`. */
export function replicaOf(
  world: World,
  mutations: readonly Mutation[] = [],
  around = (channel: Channel) => channel,
): Replica {
  const sent: (number | 'one')[] = []
  const wrap = (channel: Channel): Channel => {
    const further = around(mutating(...mutations)(channel))
    return {
      run(statement) {
        if (statementName(statement.sql) === name) sent.push(callsOf(statement)?.length ?? 'one')
        return further.run(statement)
      },
    }
  }
  const pool = openPool({ url: world.url, purpose: 'api', slots: 12, ...patient, wrap })
  pools.push(pool)
  return { context: contextFor(pool.db, world.team.actor), sent }
}

export const deployments = (world: World, count: number) =>
  Promise.all(Array.from({ length: count }, () => world.deployment({ state: 'HEALTHY' })))

/** What has become of calls of one moment, two others ahead of them: by their outcome, or the kind of what they threw. */
export async function together(
  world: World,
  { context }: Replica,
  ...calls: (() => Promise<object>)[]
): Promise<string[]> {
  const ahead = await deployments(world, 2)
  const asked = [...ahead.map((id) => () => redeployDeployment(context, { id })), ...calls].map((ask) => ask())
  const [, , ...outcomes] = await Promise.all(asked.map((call) => call.then(outcomeOf, (error) => error.kind)))
  return outcomes
}

/** Lets the group wait between its snapshot and its first look at a row, for whoever holds the advisory lock. */
export const stalled = (key: number): Mutation[] => [
  {
    name,
    among,
    from: 'with "calls" as (',
    to: `with "stall" as materialized (select pg_advisory_xact_lock(${key})), "calls" as (`,
  },
  { name, among, from: 'from json_to_recordset(', to: 'from stall, json_to_recordset(' },
]
