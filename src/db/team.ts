// Teams and what their plan lets them have. Every other row belongs to a team.
import { integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'
import { teamMachine } from '../lifecycle/team.ts'
import { lifecycleColumns, moment, stateCheck } from './columns.ts'

export const selfApprovals = ['NEVER', 'UNLESS_OTHERS_CAN', 'ALWAYS'] as const
export type SelfApproval = (typeof selfApprovals)[number]

export const team = pgTable(
  'team',
  {
    ...lifecycleColumns(teamMachine),
    name: text('name').notNull(),
    plan: text('plan').notNull().default('standard'),
    /** Whether who asks for a promotion may approve it: never, always, or for production only while nobody else could. */
    selfApproval: text('self_approval').$type<SelfApproval>().notNull().default('UNLESS_OTHERS_CAN'),
    /** When the restore window ends; null unless its deletion was asked for. */
    deletionAt: moment('deletion_at'),
  },
  () => [stateCheck(teamMachine)],
)

/**
 * How much of each thing a team has and may have. A counter, because a count after a lock wait is of an old snapshot:
 * it changes only in the statement of the move that takes or gives back.
 */
export const planUsage = pgTable(
  'plan_usage',
  {
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    kind: text('kind').$type<UsageKind>().notNull(),
    used: integer('used').notNull().default(0),
    cap: integer('cap').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.kind] })],
)

/** What is counted. Of owners a team keeps at least one; of instances those count that Pawl did not start itself. */
export const usageKinds = [
  'deployments',
  'resources',
  'stacks',
  'secrets',
  'members',
  'owners',
  'instances',
  'webhooks',
] as const
export type UsageKind = (typeof usageKinds)[number]
