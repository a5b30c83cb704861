// Stacks: several services deployed as one. Services, their environment and what is known of their runs are on the row, so
// that every change of them is seen through the row's lock. The family of a stack is its name: at most one live per environment.
import { index, integer, jsonb, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { liveStackStates, stackMachine } from '../lifecycle/stack.ts'
import { lifecycleColumns, moment, stateCheck, stateIn } from './columns.ts'
import { envColumns } from './env.ts'
import { team } from './team.ts'

/** A service as it is wanted. */
export interface StackService {
  name: string
  image: string
  /** Where it listens, for runtimes that do not choose the port themselves; null: the runtime's choice. */
  port: number | null
  /** Whether it shall be reached from outside the stack. */
  exposed: boolean
}

/** What is known of a service that was ever started and not yet removed; of the stack's generation when `generation` says so. */
export interface PlacedService {
  generation?: number
  /** Where it was to answer when the roll-out began: what the other services were told. */
  address?: string
  state?: 'HEALTHY' | 'FAILED'
  url?: string
  /** The runtime driver's id of the run that became healthy, as its instance has it; absent while that is started again. */
  instanceId?: string
  reason?: string
}

export const stack = pgTable(
  'stack',
  {
    ...lifecycleColumns(stackMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    environment: text('environment').notNull(),
    name: text('name').notNull(),
    services: jsonb('services').$type<StackService[]>().notNull(),
    /** By service name; names that `services` lacks are to be removed at the next roll-out. */
    placed: jsonb('placed').$type<Record<string, PlacedService>>().notNull().default({}),
    ...envColumns(),
    /** Counts changes of services, images and environment only. */
    specVersion: integer('spec_version').notNull().default(1),
    /** Unguessable part of the physical names, so that a teardown can never hit a newer thing of the same name. */
    incarnation: text('incarnation').notNull(),
    /** When DELETING was entered. */
    deletedAt: moment('deleted_at'),
    /** Used by nothing any more: here, with its index, for replicas of the release before. Instances know when they were asked about. */
    checkedAt: moment('checked_at'),
  },
  (table) => [
    stateCheck(stackMachine),
    uniqueIndex('stack_name').on(table.teamId, table.environment, table.name).where(stateIn(liveStackStates)),
    index('stack_list').on(table.teamId, table.createdAt, table.id),
    index('stack_check')
      .on(table.checkedAt)
      .where(stateIn(['HEALTHY'])),
    index('stack_passing')
      .on(table.state, table.stateChangedAt)
      .where(stateIn(['BUILDING', 'DEPLOYING', 'DELETING'])),
  ],
)
