// Reading deployments: the team's list, many by id, and the environment of many, each in one statement. The environment
// is left out of lists: it may be 64 KB a row, and few who list want it.
import { getTableColumns } from 'drizzle-orm'
import { deployment } from '../db/deployment.ts'
import type { Env } from '../db/env.ts'
import type { DeploymentState } from '../lifecycle/deployment.ts'
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
} = getTableColumns(deployment)

/** A deployment without what callers never see; with its environment where that was read anyway. */
export type DeploymentView = Omit<
  typeof deployment.$inferSelect,
  'env' | 'envRevision' | 'incarnation' | 'checkedAt'
> & {
  readonly env?: Env
}

export type DeploymentFilter = NamedFilter<DeploymentState>

export const deployments = defineList<DeploymentView>({
  name: 'deployments',
  table: deployment,
  columns: shown,
  key: 'created',
  filters: namedConditions(deployment),
})

/** Deployments of the team by id, in the order asked for; null where there is none. */
export const deploymentsById = (db: Database, teamId: string, ids: readonly string[]) =>
  lookUp<DeploymentView>(db, 'read:deployment.byId', { table: deployment, columns: shown }, teamId, ids)

/** Their environments, in the order asked for. */
export async function envsOf(db: Database, teamId: string, ids: readonly string[]): Promise<Env[]> {
  const source = { table: deployment, columns: { id: deployment.id, env } }
  const rows = await lookUp<{ id: string; env: Env }>(db, 'read:deployment.env', source, teamId, ids)
  return rows.map((row) => row?.env ?? {})
}
