// The moves of instances that concern them alone: what follows from answers about their health, and the nets of the loop that
// looks after them. What is gone moves together with what it is part of: instance-rule.ts and *-restart-rule.ts.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { instance } from '../db/instance.ts'
import { stack } from '../db/stack.ts'
import { type DeploymentState, deploymentMachine } from '../lifecycle/deployment.ts'
import { type InstanceState, startingDeadlineMs } from '../lifecycle/instance.ts'
import { type StackState, stackMachine } from '../lifecycle/stack.ts'
import { isAskedAbout, isManaged, part, withoutRun } from './instance-rule.ts'
import { isUnmoved, noLiveOperation } from './runner-rule.ts'
import { defineRule } from './transition.ts'
import { intParam, jsonParam, listParam, textParam } from './transition-statement.ts'

type Instance = typeof instance
/** Checks in a row that must say the same before a state follows from them, so that it does not flap. */
export const checksInARow = 2

/** By the id of an instance: which run was asked about, and what was said of it. */
const told = (found: Instance) => sql`${jsonParam('told')} -> ${found.id}`
const byAnswer = (
  action: 'degradeInstance' | 'recoverInstance' | 'markInstanceOnline',
  checks: (found: Instance) => SQL,
) =>
  defineRule({
    name: action,
    subject: {
      ...part,
      action,
      where: sql`${instance.id} = any(${listParam('ids')})`,
      batch: { orderBy: sql`${instance.id}`, limit: intParam('limit') },
      guard: (found) => sql`${found.instanceId} = ${told(found)} ->> 'instanceId' and ${found.instanceId} <> ''
        and ${isManaged(found)} and ${checks(found)}`,
      set: (found) => ({
        stateReason: sql`${told(found)} ->> 'detail'`,
        startedAt: sql`coalesce(${found.startedAt}, clock_timestamp())`,
      }),
    },
  })

const inARow = sql.raw(String(checksInARow))
export const degradeInstance = byAnswer('degradeInstance', (found) => sql`${found.failedChecks} >= ${inARow}`)
export const recoverInstance = byAnswer('recoverInstance', (found) => sql`${found.failedChecks} <= -${inARow}`)
/** What ran when instances were made known is STARTING with its run. */
export const markInstanceOnline = byAnswer('markInstanceOnline', (found) => sql`${found.failedChecks} < 0`)

/** What it is part of as the snapshot shows it: that its generation is higher is so for ever, and needs no lock. */
const isOutdated = (
  found: Instance,
) => sql`(exists (select 1 from ${deployment} d where d.id = ${found.subjectId} and d.generation > ${found.generation})
  or exists (select 1 from ${stack} s where s.id = ${found.subjectId} and s.generation > ${found.generation}))`

/** The run that was asked about is gone, and what it was part of has moved on: nothing is restarted. */
export const offlineOutdatedInstance = defineRule({
  name: 'offlineOutdatedInstance',
  subject: {
    ...part,
    action: 'offlineInstance',
    where: sql`${instance.id} = ${textParam('instance')} and ${instance.teamId} = ${textParam('teamId')}`,
    guard: (found) => sql`${isAskedAbout(found)} and ${isManaged(found)} and ${isOutdated(found)}`,
    set: () => ({ ...withoutRun, stateReason: textParam('reason') }),
  },
})

const batch = (orderBy: SQL) => ({ orderBy, limit: intParam('limit') })
/** On its way for longer than it may be, and with no run that could be asked about. */
const isOverdue = (row: Record<'state' | 'instanceId' | 'stateChangedAt', SQLWrapper>) =>
  sql`${row.state} in (${starting}) and ${row.instanceId} is null
    and ${row.stateChangedAt} < now() - ${sql.raw(String(startingDeadlineMs))} * interval '1 millisecond'`
const starting = sql.raw(quoted(['STARTING'] satisfies InstanceState[]))

/** What it was a unit of has moved on, and whoever started it has not come to an end. */
export const offlineForgottenInstance = defineRule({
  name: 'offlineForgottenInstance',
  subject: {
    ...part,
    action: 'offlineInstance',
    where: sql`${isOverdue(instance)} and ${isManaged(instance)} and ${isOutdated(instance)} and ${noLiveOperation(instance.subjectId)}`,
    batch: batch(sql`${instance.stateChangedAt}`),
    guard: isOutdated,
    set: () => ({ stateReason: sql`'its start came to no end'` }),
  },
})

/** How long after its time a restart without work counts as lost. */
const lostAfter = sql`interval '2 minutes'`
const offline = sql.raw(quoted(['OFFLINE'] satisfies InstanceState[]))
const unit = alias(instance, 'i')
const awaits = (table: typeof deployment | typeof stack, states: readonly (DeploymentState | StackState)[]) =>
  sql`${table.state} in (${sql.raw(quoted(states))}) and ${noLiveOperation(table.id)} and exists (select 1 from ${instance} i
    where ${unit.subjectId} = ${table.id} and ${unit.generation} = ${table.generation} and ${isManaged(unit)}
      and ((${unit.state} in (${offline}) and ${unit.restartDueAt} < now() - ${lostAfter}) or (${isOverdue(unit)})))`
/** The nets under restarts: what waits for one, or was left half-way, and has no live operation gets one again. */
export const requeueDeploymentRestart = defineRule({
  name: 'requeueDeploymentRestart',
  subject: {
    table: deployment,
    machine: deploymentMachine,
    action: 'restartDeployment',
    where: awaits(deployment, ['HEALTHY']),
    batch: batch(sql`${deployment.id}`),
    guard: isUnmoved(deployment),
  },
})
export const requeueStackRestart = defineRule({
  name: 'requeueStackRestart',
  subject: {
    table: stack,
    machine: stackMachine,
    action: 'restartStack',
    where: awaits(stack, ['HEALTHY', 'FAILED']),
    batch: batch(sql`${stack.id}`),
    guard: isUnmoved(stack),
  },
})
