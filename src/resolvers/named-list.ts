// Lists of what has a name in an environment: the same three filters for all of them.
import { eq, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { names, storable } from './page.ts'
import { listParam, textParam } from './transition-statement.ts'

/** What is given must hold; null and absent are no filter, no states match nothing. */
export interface NamedFilter<S extends string> {
  readonly environment?: string | null
  readonly name?: string | null
  readonly states?: readonly S[] | null
}

interface NamedTable {
  readonly environment: PgColumn
  readonly name: PgColumn
  readonly state: PgColumn
}

/** The conditions of such a list. */
export const namedConditions = ({ environment, name, state }: NamedTable): Readonly<Record<string, SQL>> => ({
  environment: eq(environment, textParam('environment')),
  name: eq(name, textParam('name')),
  states: sql`${state} = any(${listParam('states')})`,
})

/** The parameters of its conditions. Throws `BadUserInput`. */
export const namedFilter = (filter: NamedFilter<string> | null | undefined) => ({
  environment: storable('filter.environment', filter?.environment),
  name: storable('filter.name', filter?.name),
  states: names(filter?.states),
})
