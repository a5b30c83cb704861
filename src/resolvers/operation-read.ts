// Reading operations: the team's list, those of many subjects, and many by id, each in one statement.
import { eq, getTableColumns, sql } from 'drizzle-orm'
import { operation } from '../db/operation.ts'
import type { OperationState } from '../lifecycle/operation.ts'
import { lookUp } from './look-up.ts'
import { defineList, names, storable } from './page.ts'
import type { Database, Operation } from './transition.ts'
import { listParam, textParam } from './transition-statement.ts'

const { claimToken: _claimToken, claimedBy: _claimedBy, dueAt: _dueAt, ...shown } = getTableColumns(operation)

/** An operation without what only the dispatcher needs. */
export type OperationView = Omit<Operation, 'claimToken' | 'claimedBy' | 'dueAt'>

export interface OperationFilter {
  readonly subject?: string | null
  readonly kind?: string | null
  readonly states?: readonly OperationState[] | null
}

export const operations = defineList<OperationView>({
  name: 'operations',
  table: operation,
  columns: shown,
  key: 'created',
  owner: operation.subjectId,
  filters: {
    subject: eq(operation.subjectId, textParam('subject')),
    kind: eq(operation.kind, textParam('kind')),
    states: sql`${operation.state} = any(${listParam('states')})`,
  },
})

/** The parameters of the list's filter. Throws `BadUserInput`. */
export const operationFilter = (filter: OperationFilter | null | undefined) => ({
  subject: storable('filter.subject', filter?.subject),
  kind: storable('filter.kind', filter?.kind),
  states: names(filter?.states),
})

/** Operations of the team by id, in the order asked for; null where there is none. */
export const operationsById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<OperationView>(db, 'read:operation.byId', { table: operation, columns: shown }, teamId, ids)
