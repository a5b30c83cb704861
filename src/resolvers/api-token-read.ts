// Reading API tokens: the team's list and many by id. What is stored of a secret never leaves this layer.
import { getTableColumns, sql } from 'drizzle-orm'
import { apiToken } from '../db/api-token.ts'
import type { ApiTokenState } from '../lifecycle/api-token.ts'
import { lookUp } from './look-up.ts'
import { defineList, names } from './page.ts'
import type { Database } from './transition.ts'
import { listParam } from './transition-statement.ts'

const { secretHash: _secretHash, lookupId: _lookupId, ...shown } = getTableColumns(apiToken)
export type ApiTokenView = Omit<typeof apiToken.$inferSelect, 'secretHash' | 'lookupId'>

export interface ApiTokenFilter {
  readonly states?: readonly ApiTokenState[] | null
}

export const apiTokens = defineList<ApiTokenView>({
  name: 'apiTokens',
  table: apiToken,
  columns: shown,
  key: 'created',
  filters: { states: sql`${apiToken.state} = any(${listParam('states')})` },
})

export const apiTokenFilter = (filter: ApiTokenFilter | null | undefined) => ({ states: names(filter?.states) })

/** Tokens of the team by id, in the order asked for; null where there is none. */
export const apiTokensById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<ApiTokenView>(db, 'read:api_token.byId', { table: apiToken, columns: shown }, teamId, ids)
