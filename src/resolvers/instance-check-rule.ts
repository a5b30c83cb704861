// The moves of instances that concern them alone: what follows from answers about their health, and the nets of the loop that
// looks after them. What is gone moves together with what it is part of: instance-rule.ts and *-restart-rule.ts.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted, stateIn } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { instance } from '../db/instance.ts'
import { stack } from '../db/stack.ts'
import { type DeploymentState, deploymentMachine } from '../lifecycle/deployment.ts'
import { type InstanceState, startingDeadlineMs } from '../lifecycle/instance.ts'
import { type StackState, stackMachine } from '../lifecycle/stack.ts'
import { isAskedAbout, isManaged, part, withoutRun } from './instance-rule.ts'
import { noLiveOperation } from './runner-rule.ts'
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

type Table = typeof instance | typeof deployment | typeof stack
/** A row that a search has found by its snapshot, and that nobody has changed since: what has is left to the next pass. */
const unchanged = (table: Table, found: { readonly id: SQLWrapper; readonly version: SQLWrapper }) =>
  sql`${found.version} = (select o.version from ${table} o where o.id = ${found.id})`
const batch = (orderBy: SQL) => ({ orderBy, limit: intParam('limit') })
const starting: InstanceState[] = ['STARTING']

/** Nobody is at it any more; should it still be wanted, it is queued anew by the nets below. */
export const offlineForgottenInstance = defineRule({
  name: 'offlineForgottenInstance',
  subject: {
    ...part,
    action: 'offlineInstance',
    where: sql`${stateIn(starting)} and ${isManaged(instance)} and ${instance.instanceId} is null
      and ${instance.stateChangedAt} < now() - ${sql.raw(String(startingDeadlineMs))} * interval '1 millisecond' and ${noLiveOperation(instance.subjectId)}`,
    batch: batch(sql`${instance.stateChangedAt}`),
    guard: (found) => unchanged(instance, found),
    set: () => ({ stateReason: sql`'its start came to no end'`, restartDueAt: sql`clock_timestamp()` }),
  },
})

/** How long after its time a restart without work counts as lost. */
const lostAfter = sql`interval '2 minutes'`
const offline: InstanceState[] = ['OFFLINE']
const awaits = (table: typeof deployment | typeof stack, states: readonly (DeploymentState | StackState)[]) =>
  sql`${table.state} in (${sql.raw(quoted(states))}) and ${noLiveOperation(table.id)} and exists (select 1 from ${instance} i
    where i.subject_id = ${table.id} and i.generation = ${table.generation} and i.state in (${sql.raw(quoted(offline))})
      and i.runtime <> 'EXTERNAL' and i.restart_due_at < now() - ${lostAfter})`

/** The nets under restarts: what waits for one and has no live operation gets one again. */
export const requeueDeploymentRestart = defineRule({
  name: 'requeueDeploymentRestart',
  subject: {
    table: deployment,
    machine: deploymentMachine,
    action: 'restartDeployment',
    where: awaits(deployment, ['HEALTHY']),
    batch: batch(sql`${deployment.id}`),
    guard: (found) => unchanged(deployment, found),
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
    guard: (found) => unchanged(stack, found),
  },
})
