// Reading resources: the team's list, many by id, and the sealed URL of many, each in one statement. What is sealed is left
// out of everything but its own read.
import { getTableColumns, sql } from 'drizzle-orm'
import { resource } from '../db/resource.ts'
import type { ResourceState } from '../lifecycle/resource.ts'
import { lookUp } from './look-up.ts'
import { type NamedFilter, namedConditions, namedFilter } from './named-list.ts'
import { defineList, storable } from './page.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

const {
  password: _password,
  nextPassword: _next,
  connection: _connection,
  incarnation: _incarnation,
  ...shown
} = getTableColumns(resource)

/** A resource without what is sealed. */
export type ResourceView = Omit<
  typeof resource.$inferSelect,
  'password' | 'nextPassword' | 'connection' | 'incarnation'
>

export interface ResourceFilter extends NamedFilter<ResourceState> {
  readonly type?: string | null
}

export const resources = defineList<ResourceView>({
  name: 'resources',
  table: resource,
  columns: shown,
  key: 'created',
  filters: { ...namedConditions(resource), type: sql`${resource.type} = ${textParam('type')}` },
})

/** The parameters of the list's filter. Throws `BadUserInput`. */
export const resourceFilter = (filter: ResourceFilter | null | undefined) => ({
  ...namedFilter(filter),
  type: storable('filter.type', filter?.type),
})

/** Resources of the team by id, in the order asked for; null where there is none. */
export const resourcesById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<ResourceView>(db, 'read:resource.byId', { table: resource, columns: shown }, teamId, ids)

/** Their sealed URLs, in the order asked for; null where there is none yet or no more. */
export async function connectionsOf(db: Database, teamId: string, ids: readonly string[]): Promise<(string | null)[]> {
  const source = { table: resource, columns: { id: resource.id, connection: resource.connection } }
  const rows = await lookUp<{ id: string; connection: string | null }>(
    db,
    'read:resource.connection',
    source,
    teamId,
    ids,
  )
  return rows.map((row) => row?.connection ?? null)
}
