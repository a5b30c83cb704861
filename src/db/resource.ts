// Resources: what one can connect to. Credentials are made before the effect and stored sealed, so that a provision or a
// rotation that is asked for again never makes others.
import { sql } from 'drizzle-orm'
import { index, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { liveResourceStates, resourceMachine } from '../lifecycle/resource.ts'
import { counter, lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

export const resource = pgTable(
  'resource',
  {
    ...lifecycleColumns(resourceMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    environment: text('environment').notNull(),
    name: text('name').notNull(),
    type: text('type').$type<'POSTGRES' | 'REDIS'>().notNull(),
    /** Unguessable part of the physical names, so that a deprovision can never hit a newer thing of the same name. */
    incarnation: text('incarnation').notNull(),
    /** Sealed password that works, or will once the provision is done. */
    password: text('password').notNull(),
    /** Sealed password of a rotation that is under way. */
    nextPassword: text('next_password'),
    /** Sealed URL with the password in it; null until the resource was first active. */
    connection: text('connection'),
    expiresAt: moment('expires_at'),
    /** When DELETING was entered. */
    deletedAt: moment('deleted_at'),
    /** More than this and it is suspended. */
    limitBytes: counter('limit_bytes').notNull(),
    /** Bytes that it held when last measured; null where its provider cannot tell. */
    sizeBytes: counter('size_bytes'),
    measuredAt: moment('measured_at'),
  },
  (table) => [
    stateCheck(resourceMachine),
    uniqueIndex('resource_name').on(table.teamId, table.environment, table.name).where(stateIn(liveResourceStates)),
    index('resource_list').on(table.teamId, table.createdAt, table.id),
    index('resource_expiry')
      .on(table.expiresAt)
      .where(sql`expires_at is not null and ${stateIn(liveResourceStates)}`),
    index('resource_measure')
      .on(table.measuredAt)
      .where(stateIn(['ACTIVE', 'SUSPENDED'])),
    index('resource_passing')
      .on(table.state, table.stateChangedAt)
      .where(stateIn(['PROVISIONING', 'PAUSING', 'RESUMING', 'DELETING'])),
  ],
)
