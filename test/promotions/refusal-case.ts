// A case of the table of refusals: what is arranged, how it is asked, and how its cause is mended so that the very same
// approval succeeds. What cannot be mended in life (time, an end) says so by having no mending.
import type { Context } from '../../src/context.ts'
import { openPool } from '../../src/db/client.ts'
import { DatabaseFault } from '../../src/db/fault.ts'
import { statementName } from '../../src/db/session.ts'
import { patient } from '../database.ts'
import { contextFor } from '../row.ts'
import type { PromotionWorld } from './world.ts'

export type Row = readonly [table: 'stack' | 'resource', id: string]
export interface Arranged {
  /** The approval that is not to be used up. */
  readonly approval: string | null
  /** What must stay untouched. */
  readonly target?: Row | null
  readonly ask: () => Promise<object>
  /** Mends the cause and asks again, with the same approval; absent where it cannot be mended. */
  readonly mend?: () => Promise<object>
}
export interface Case {
  readonly refusal: string
  readonly because: string
  readonly arrange: (world: PromotionWorld) => Promise<Arranged>
}

/** The caller by way of a pool that fails the statement of that name as it is told to. */
export function failing(
  world: PromotionWorld,
  name: string,
  kind: 'busy' | 'unavailable' | 'unknown-outcome',
): Context {
  const wrap: Parameters<typeof openPool>[0]['wrap'] = (channel) => ({
    async run(statement) {
      if (statementName(statement.sql) !== name) return channel.run(statement)
      // What is unknown has happened here: its answer is what is lost.
      if (kind === 'unknown-outcome') await channel.run(statement)
      throw new DatabaseFault(kind, 'told to')
    },
  })
  const pool = openPool({ url: world.url, purpose: 'api', slots: 1, ...patient, wrap })
  closing.push(() => pool.close({ timeoutMs: 0 }))
  return contextFor(pool.db, world.team.actor)
}
const closing: (() => Promise<unknown>)[] = []
export const closeFailing = () => Promise.all(closing.splice(0).map((close) => close()))

/** Leaves no room for that, or gives it back. */
export const room = (world: PromotionWorld, kind: string, left: number | null) =>
  left === null
    ? world.stranger`update plan_usage set cap = 100000 where team_id = ${world.team.teamId} and kind = ${kind}`
    : world.stranger`update plan_usage set cap = used + ${left} where team_id = ${world.team.teamId} and kind = ${kind}`

/** Ends what is being deleted, as the loops would. */
export const gone = (world: PromotionWorld, table: 'stack' | 'resource', id: string) =>
  world.stranger.unsafe(`update ${table} set state = 'DELETED', version = version + 1 where id = '${id}'`)
