// Deployments. The environment and its provenance are one jsonb on the row, so that a merge sees it through the row's lock.
import { sql } from 'drizzle-orm'
import { check, index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { deploymentMachine, endedDeploymentStates, liveDeploymentStates } from '../lifecycle/deployment.ts'
import { lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { envColumns } from './env.ts'
import { team } from './team.ts'

export const deployment = pgTable(
  'deployment',
  {
    ...lifecycleColumns(deploymentMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    environment: text('environment').notNull(),
    name: text('name').notNull(),
    image: text('image').notNull(),
    ...envColumns(),
    ttlPolicy: text('ttl_policy').$type<'TTL' | 'PERMANENT'>().notNull(),
    expiresAt: moment('expires_at'),
    /** Unguessable part of the physical name, so that a teardown can never hit a newer thing of the same name. */
    incarnation: text('incarnation').notNull(),
    url: text('url'),
    /** The runtime driver's id of the run that became healthy, as its instance has it; null while that is started again. */
    instanceId: text('instance_id'),
    /** Used by nothing any more: here, with its index, for replicas of the release before. Instances know when they were asked about. */
    checkedAt: moment('checked_at'),
  },
  (table) => [
    stateCheck(deploymentMachine),
    check('deployment_ttl', sql`(${table.ttlPolicy} = 'TTL') = (${table.expiresAt} is not null)`),
    uniqueIndex('deployment_name').on(table.teamId, table.environment, table.name).where(stateIn(liveDeploymentStates)),
    index('deployment_list').on(table.teamId, table.createdAt, table.id),
    index('deployment_by_name').on(table.teamId, table.environment, table.name, table.createdAt),
    index('deployment_expiry')
      .on(table.expiresAt)
      .where(sql`ttl_policy = 'TTL' and ${stateIn(liveDeploymentStates)}`),
    index('deployment_check')
      .on(table.checkedAt)
      .where(stateIn(['HEALTHY'])),
    index('deployment_passing')
      .on(table.state, table.stateChangedAt)
      .where(stateIn(['BUILDING', 'DEPLOYING', 'STOPPING', 'EXPIRED', 'DELETING'])),
    index('deployment_ended').on(table.stateChangedAt).where(stateIn(endedDeploymentStates)),
  ],
)
