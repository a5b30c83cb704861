// Reading webhooks: the team's list and many by id, without their secrets.
import { getTableColumns, sql } from 'drizzle-orm'
import { entityOfId } from '../db/id.ts'
import { webhook } from '../db/webhook.ts'
import { machineOf } from '../lifecycle/machines.ts'
import { lookUp } from './look-up.ts'
import { defineList } from './page.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'
import { hasNews, isTold } from './webhook-rule.ts'

const { secret: _secret, previousSecret: _previous, ...shown } = getTableColumns(webhook)

/** A webhook without its secrets. */
export type WebhookView = Omit<typeof webhook.$inferSelect, 'secret' | 'previousSecret'>

export const webhooks = defineList<WebhookView>({
  name: 'webhooks',
  table: webhook,
  columns: shown,
  key: 'created',
  filters: { states: sql`${webhook.state} = any(${listParam('states')})` },
})

/** Webhooks of the team by id, in the order asked for; null where there is none. */
export const webhooksById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<WebhookView>(db, 'read:webhook.byId', { table: webhook, columns: shown }, teamId, ids)

/** The teams, at most so many, whose webhooks are to be told something, and the last position that the answer knows of. */
export interface News {
  readonly teams: readonly string[]
  readonly newest: number
}

/** Looks at the teams with events after a position, or with null at every webhook, which takes long where there are many. */
export async function newsAfter(db: Database, position: number | null, limit: number): Promise<News> {
  const ofNews =
    position === null
      ? sql`true`
      : sql`w.team_id = any(array(select distinct e.team_id from event e where e.position > ${position}::bigint))`
  const [row] = await db.execute<{ teams: string[]; newest: string }>(sql`/* read:webhook.news */
    select coalesce((select max(e.position) from event e), 0) as newest,
      array(select distinct w.team_id from webhook w where ${isTold(sql`w.state`)} and ${ofNews}
        and ${hasNews({ teamId: sql`w.team_id`, cursor: sql`w.cursor` })} limit ${limit}) as teams`)
  return { teams: row?.teams ?? [], newest: Number(row?.newest ?? 0) }
}

/** The first of these ids that no object of the team has or had; null when there is none. */
export async function firstMissing(db: Database, teamId: string, ids: readonly string[]): Promise<string | null> {
  if (ids.length === 0) return null
  const each = [...Map.groupBy(ids, entityOfId)].flatMap(([entity, own]) => {
    if (entity === null) return []
    const team = sql.identifier(entity === 'Team' ? 'id' : 'team_id')
    return sql`select id from ${sql.identifier(machineOf(entity).table)}
      where ${team} = ${teamId} and id = any(string_to_array(${own.join(',')}::text, ','))`
  })
  const rows = await db.execute<{ id: string }>(sql`/* read:webhook.subjects */ ${sql.join(each, sql` union all `)}`)
  const found = new Set(rows.map(({ id }) => id))
  return ids.find((id) => !found.has(id)) ?? null
}
