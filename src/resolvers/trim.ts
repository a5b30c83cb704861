// What is removed when its time of keeping is over: events from the beginning of the log, and rows that have ended. Each call
// removes one bounded batch; nothing that is still on its way is ever touched, and the database's guards see to that as well.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { instanceMachine } from '../lifecycle/instance.ts'
import { type Machine, statesOfKind } from '../lifecycle/machine.ts'
import { operationMachine } from '../lifecycle/operation.ts'
import { webhookDeliveryMachine } from '../lifecycle/webhook-delivery.ts'
import type { Database } from './transition.ts'

/**
 * Removes events that happened more than `days` days ago, from the beginning of the log up to the first one that is younger,
 * and moves the horizon there in the same statement; never one without a position. Looks at up to `limit` of them and
 * returns how many are gone. Of two at once the later one finds the horizon moved, and removes nothing.
 */
export async function trimEvents(db: Database, days: number, limit: number): Promise<number> {
  const [row] = await db.execute<{ gone: number }>(sql`/* trimEvents */ with oldest as materialized (
      select position, occurred_at < now() - ${days}::int * interval '1 day' as over from event
      where position > (select trimmed_through from event_horizon) order by position limit ${limit}),
    edge as (select coalesce(min(position) filter (where not over) - 1, max(position)) as position from oldest),
    moved as (update event_horizon set trimmed_through = edge.position from edge
      where edge.position > trimmed_through returning trimmed_through),
    gone as (delete from event using moved where position <= moved.trimmed_through returning 1)
    select count(*)::int as gone from gone`)
  return row?.gone ?? 0
}

/** Removes up to `limit` rows that came to a terminal state more than `days` days ago; returns how many. */
const trimEnded = (machine: Machine) => {
  const [name, table] = [sql.raw(`trimEnded.${machine.entity}`), sql.identifier(machine.table)]
  const terminal = sql.raw(quoted(statesOfKind(machine, 'terminal')))
  return async (db: Database, days: number, limit: number): Promise<number> => {
    const rows = await db.execute(sql`/* ${name} */ delete from ${table} where id in (
      select id from ${table} where state in (${terminal}) and state_changed_at < now() - ${days}::int * interval '1 day'
      limit ${limit} for update skip locked) returning id`)
    return rows.length
  }
}

export const trimOperations = trimEnded(operationMachine)
export const trimInstances = trimEnded(instanceMachine)
export const trimWebhookDeliveries = trimEnded(webhookDeliveryMachine)
