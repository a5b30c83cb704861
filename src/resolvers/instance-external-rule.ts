// The rules of EXTERNAL instances: units that run elsewhere, make themselves known and send heartbeats. Callers move them, and the
// loop reconcile-instances ends what is not heard of any more. Every rule repeats the runtime: what Pawl runs itself is moved by
// answers of its driver alone. Nothing here starts anything, and what was removed is never brought back by a heartbeat.
import { and, eq, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { type InstanceRuntime, instance, patience, patientUntil } from '../db/instance.ts'
import { deploymentMachine, endedDeploymentStates, liveDeploymentStates } from '../lifecycle/deployment.ts'
import { type InstanceState, instanceMachine, liveInstanceStates } from '../lifecycle/instance.ts'
import { part } from './instance-rule.ts'
import { ofActiveTeam, stillOfActiveTeam } from './team-rule.ts'
import { defineBirth, defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const byId = and(eq(instance.id, textParam('id')), eq(instance.teamId, textParam('teamId'))) as SQL
const named = (...names: readonly string[]) => sql.raw(quoted(names))
const runtime = named('EXTERNAL' satisfies InstanceRuntime)
/** It is run by somebody else. */
export const isExternal = (row: typeof instance): SQL => sql`${row.runtime} = ${runtime}`

const liveDeployment = named(...liveDeploymentStates)
const endedDeployment = named(...endedDeploymentStates)

/** The constraint that a birth is stopped by when the deployment that it names is none that it can be part of. */
export const deploymentConstraint = 'instance_deployment'

/** Of the deployment that it says it is part of: a live one of its team and, where it names one, of its environment. */
const ofDeployment = (column: PgColumn): SQL => sql`(select ${column} from ${deployment}
  where ${deployment.id} = ${textParam('deploymentId')} and ${deployment.teamId} = ${textParam('teamId')}
    and ${deployment.state} in (${liveDeployment})
    and (${textParam('environment')} is null or ${deployment.environment} = ${textParam('environment')}))`
/** The constraint that a birth is stopped by when its id is known: an index among EXTERNAL ones, or a run of what Pawl runs now. */
export const idConstraint = 'instance_external_id'
const isOfManagedRun = sql`exists (select 1 from ${instance} i where i.team_id = ${textParam('teamId')}
  and i.instance_id = ${textParam('instanceId')} and i.runtime <> ${runtime} and i.state in (${named(...liveInstanceStates)}))`
const whereNamed = (value: SQL) => sql`case when ${textParam('deploymentId')} is not null then ${value} end`

export const registerInstance = defineBirth({
  ...part,
  name: 'registerInstance',
  action: 'registerInstance',
  takes: [{ kind: 'instances' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    environment: sql`coalesce(${textParam('environment')}, ${ofDeployment(deployment.environment)}, 'development')`,
    name: textParam('name'),
    runtime: sql`${runtime}`,
    generation: sql`coalesce(${ofDeployment(deployment.generation)}, 1)`,
    subjectType: whereNamed(named(deploymentMachine.entity)),
    subjectId: whereNamed(sql`coalesce(${ofDeployment(deployment.id)},
      pawl_refuse(${named(deploymentConstraint)}, 'it cannot be part of that deployment')::text)`),
    instanceId: sql`case when ${isOfManagedRun} then pawl_refuse(${named(idConstraint)}, 'a run has that id')::text
      else ${textParam('instanceId')} end`,
    url: textParam('url'),
    heartbeatSeconds: intParam('heartbeatSeconds'),
  },
})

/**
 * A heartbeat, of one that is well or of one that is not: the state is that of the move, and has been so for as long as before.
 * Of an ended deployment nothing comes up any more; it never comes back, so that no lock on it is needed.
 */
const heard = (action: 'heartbeatInstance' | 'reportInstanceDegraded', stateReason: SQL) =>
  defineRule({
    name: action,
    subject: {
      ...part,
      action,
      where: byId,
      guard: (found) => sql`${isExternal(found)} and not ${isOver(found)}`,
      set: (found) => ({
        stateReason,
        stateChangedAt: sql`case when ${found.state} in (${named(instanceMachine.moves[action].to)}) then ${found.stateChangedAt}
          else clock_timestamp() end`,
        heartbeatAt: sql`clock_timestamp()`,
        startedAt: sql`coalesce(${found.startedAt}, clock_timestamp())`,
      }),
    },
    called: true,
  })
export const heartbeatInstance = heard('heartbeatInstance', sql`null`)
export const reportInstanceDegraded = heard('reportInstanceDegraded', textParam('reason'))

export const removeInstance = defineRule({
  name: 'removeInstance',
  subject: { ...part, action: 'removeInstance', where: byId, guard: isExternal },
  releases: 'instances',
  called: true,
})

const limit = intParam('limit')
const inState = (state: SQLWrapper, ...names: InstanceState[]) => sql`${state} in (${named(...names)})`

const isStale = (row: typeof instance) => sql`${isExternal(row)} and ${patientUntil(row)} < now() at time zone 'UTC'`

/** The whole reason again under the lock: a heartbeat that came meanwhile wins cleanly. No heartbeat of a team that is being deleted is taken. */
export const offlineSilentInstance = defineRule({
  name: 'offlineSilentInstance',
  subject: {
    ...part,
    action: 'offlineInstance',
    where: sql`${inState(instance.state, 'STARTING', 'ONLINE', 'DEGRADED')} and ${isStale(instance)}
      and ${ofActiveTeam(instance.teamId)}`,
    batch: { orderBy: patientUntil(instance), limit },
    guard: (found) => sql`${isStale(found)} and ${stillOfActiveTeam(found.teamId)}`,
    set: (found) => ({
      stateReason: sql`case when ${found.heartbeatAt} is null then 'it never sent a heartbeat'
        else 'no heartbeat for more than ' || ${patience(found)} || ' s' end`,
      startedAt: sql`null`,
    }),
  },
})

/** How long what is not heard of any more is kept for it to come back. */
export const keptOfflineHours = 24

const isLost = (row: typeof instance) => sql`${isExternal(row)} and ${inState(row.state, 'OFFLINE')}
  and ${row.stateChangedAt} < now() - ${sql.raw(String(keptOfflineHours))} * interval '1 hour'`

export const removeLostInstance = defineRule({
  name: 'removeLostInstance',
  subject: {
    ...part,
    action: 'removeInstance',
    where: sql`${isLost(instance)} and ${ofActiveTeam(instance.teamId)}`,
    batch: { orderBy: sql`${instance.stateChangedAt}`, limit },
    guard: (found) => sql`${isLost(found)} and ${stillOfActiveTeam(found.teamId)}`,
    set: () => ({ stateReason: sql`'it was not heard of for ${sql.raw(String(keptOfflineHours))} hours'` }),
  },
  releases: 'instances',
})

/** For how long after its end it is looked what is left of a deployment. */
const searchedHours = 48
/**
 * Begins at the deployments that ended of late, since of those that have instances nearly all live; `offset 0` keeps it so, for the
 * planner does not see how few they are.
 */
const leftOfEnded = sql`array(select u.id from ${deployment} d
  cross join lateral (select i.id from ${instance} i where i.subject_id = d.id and i.runtime = ${runtime}
    and ${inState(sql`i.state`, ...liveInstanceStates)} offset 0) u
  where d.state in (${endedDeployment}) and d.state_changed_at > now() - ${sql.raw(String(searchedHours))} * interval '1 hour')`
/** A deployment never comes back from there, so that no lock on it is needed. */
const isOver = (row: typeof instance) => sql`exists (select 1 from ${deployment} d
  where d.id = ${row.subjectId} and d.state in (${endedDeployment}))`

export const removeLeftInstance = defineRule({
  name: 'removeLeftInstance',
  subject: {
    ...part,
    action: 'removeInstance',
    where: sql`${isExternal(instance)} and ${inState(instance.state, ...liveInstanceStates)}
      and ${instance.id} = any(${leftOfEnded}) and ${ofActiveTeam(instance.teamId)}`,
    batch: { orderBy: sql`${instance.id}`, limit },
    guard: (found) => sql`${isExternal(found)} and ${isOver(found)} and ${stillOfActiveTeam(found.teamId)}`,
    set: () => ({ stateReason: sql`'the deployment that it was part of has ended'` }),
  },
  releases: 'instances',
})
