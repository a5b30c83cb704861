// Instances: the running units of deployments and of stacks' services, and units that run elsewhere and send heartbeats.
// `generation` is the subject's, for which it runs; it never changes. Pages keep room for notes (fillfactor, migration 0005).
import { type SQL, sql } from 'drizzle-orm'
import { type AnyPgColumn, check, index, integer, pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import {
  type InstanceRuntime,
  instanceMachine,
  instanceRuntimes,
  missedHeartbeats,
  startingDeadlineMs,
} from '../lifecycle/instance.ts'
import { lifecycleColumns, moment, quoted, stateCheck, stateIn } from './columns.ts'
import { team } from './team.ts'

export type { InstanceRuntime }

type Heard = Readonly<Record<'heartbeatAt' | 'heartbeatSeconds' | 'stateChangedAt', AnyPgColumn>>

/** How long an EXTERNAL one may be silent, in seconds; one that was never heard of no longer than it may be STARTING. */
export const patience = ({ heartbeatAt, heartbeatSeconds }: Heard): SQL =>
  sql`least(${sql.raw(String(missedHeartbeats))} * ${heartbeatSeconds}, case when ${heartbeatAt} is null then ${sql.raw(String(startingDeadlineMs / 1_000))} end)`

/** Until when, in UTC: an index is made of it, for which a time with a zone would not do. */
export const patientUntil = (row: Heard): SQL =>
  sql`((coalesce(${row.heartbeatAt}, ${row.stateChangedAt}) at time zone 'UTC') + ${patience(row)} * interval '1 second')`

export const instance = pgTable(
  'instance',
  {
    ...lifecycleColumns(instanceMachine),
    teamId: text('team_id')
      .notNull()
      .references(() => team.id),
    environment: text('environment').notNull(),
    /** For people; what it is part of says who it is. */
    name: text('name').notNull(),
    runtime: text('runtime').$type<InstanceRuntime>().notNull(),
    /** What it is part of; null for an EXTERNAL one that is part of nothing here. */
    subjectType: text('subject_type').$type<'Deployment' | 'Stack'>(),
    subjectId: text('subject_id'),
    /** Of a stack: which service. */
    service: text('service'),
    /** The workload that it is a run of, as the driver knows it; null for EXTERNAL. */
    incarnation: text('incarnation'),
    /** The provider's id of this very run, another one at every start; null until it is known, and while it is OFFLINE to be restarted. */
    instanceId: text('instance_id'),
    url: text('url'),
    /** When this run came ONLINE. */
    startedAt: moment('started_at'),
    /** When it was last taken to be asked about: the order of asking, and a claim for a while. */
    askedAt: moment('asked_at'),
    /** When an answer about this run last came. */
    checkedAt: moment('checked_at'),
    heartbeatAt: moment('heartbeat_at'),
    /** How often an EXTERNAL one promises a heartbeat. */
    heartbeatSeconds: integer('heartbeat_seconds'),
    /** Health checks in a row that failed, or, negative, that passed. */
    failedChecks: integer('failed_checks').notNull().default(0),
    /** How many times it was started again. */
    restarts: integer('restarts').notNull().default(0),
    /** Of these, those since it last stayed up for long: a crash loop is told by it. */
    recentRestarts: integer('recent_restarts').notNull().default(0),
    /** When it shall be started again; null when nothing is to be done. */
    restartDueAt: moment('restart_due_at'),
  },
  (table) => [
    stateCheck(instanceMachine),
    check('instance_runtime', sql`runtime in (${sql.raw(quoted(instanceRuntimes))})`),
    check('instance_workload', sql`(${table.runtime} = 'EXTERNAL') = (${table.incarnation} is null)`),
    check('instance_subject', sql`(${table.subjectType} is null) = (${table.subjectId} is null)`),
    uniqueIndex('instance_external_id').on(table.teamId, table.instanceId).where(sql`runtime = 'EXTERNAL'`),
    /** One unit per service and generation, so that no runner ever registers it twice. */
    uniqueIndex('instance_unit')
      .on(table.subjectId, sql`coalesce(${table.service}, '')`, table.generation)
      .where(sql`runtime <> 'EXTERNAL'`),
    index('instance_list').on(table.teamId, table.createdAt, table.id),
    index('instance_subject_list').on(table.subjectId, table.createdAt, table.id),
    index('instance_ask')
      .on(table.askedAt.asc().nullsFirst())
      .where(sql`runtime <> 'EXTERNAL' and ${stateIn(['STARTING', 'ONLINE', 'DEGRADED'])}`),
    index('instance_silent')
      .on(patientUntil(table))
      .where(sql`runtime = 'EXTERNAL' and ${stateIn(['STARTING', 'ONLINE', 'DEGRADED'])}`),
    index('instance_lost')
      .on(table.stateChangedAt)
      .where(sql`runtime = 'EXTERNAL' and ${stateIn(['OFFLINE'])}`),
    index('instance_restart')
      .on(table.restartDueAt)
      .where(stateIn(['OFFLINE'])),
    index('instance_passing')
      .on(table.state, table.stateChangedAt)
      .where(stateIn(['STARTING'])),
    index('instance_removed')
      .on(table.stateChangedAt)
      .where(stateIn(['REMOVED'])),
  ],
)
