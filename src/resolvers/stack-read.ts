// Reading stacks: the team's list, many by id, and the environment of many, each in one statement. The environment is left
// out of lists: it may be 64 KB a row, and few who list want it.
import { getTableColumns } from 'drizzle-orm'
import type { Env } from '../db/env.ts'
import { stack } from '../db/stack.ts'
import type { StackState } from '../lifecycle/stack.ts'
import { lookUp } from './look-up.ts'
import { type NamedFilter, namedConditions } from './named-list.ts'
import { defineList } from './page.ts'
import type { Database } from './transition.ts'

const {
  env,
  envRevision: _revision,
  incarnation: _incarnation,
  checkedAt: _checkedAt,
  ...shown
} = getTableColumns(stack)

/** A stack without what callers never see; with its environment where that was read anyway. */
export type StackView = Omit<typeof stack.$inferSelect, 'env' | 'envRevision' | 'incarnation' | 'checkedAt'> & {
  readonly env?: Env
}

export type StackFilter = NamedFilter<StackState>

export const stacks = defineList<StackView>({
  name: 'stacks',
  table: stack,
  columns: shown,
  key: 'created',
  filters: namedConditions(stack),
})

/** Stacks of the team by id, in the order asked for; null where there is none. */
export const stacksById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<StackView>(db, 'read:stack.byId', { table: stack, columns: shown }, teamId, ids)

/** Their environments, in the order asked for. */
export async function stackEnvsOf(db: Database, teamId: string, ids: readonly string[]): Promise<Env[]> {
  const source = { table: stack, columns: { id: stack.id, env } }
  const rows = await lookUp<{ id: string; env: Env }>(db, 'read:stack.env', source, teamId, ids)
  return rows.map((row) => row?.env ?? {})
}
