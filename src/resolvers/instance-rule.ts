// How instances move along with what they are part of: pieces of its rules, carried in the statement of its move. Only what
// Pawl runs itself is moved here; EXTERNAL ones move by heartbeats and by instance-check-rule.ts. What is restarted: below.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted, stateIn } from '../db/columns.ts'
import type { deployment } from '../db/deployment.ts'
import { newId } from '../db/id.ts'
import { type InstanceRuntime, instance } from '../db/instance.ts'
import type { stack } from '../db/stack.ts'
import { type InstanceState, instanceMachine, liveInstanceStates } from '../lifecycle/instance.ts'
import { defineBorn, defineCarried, type Part } from './transition.ts'
import { intParam, jsonParam, textParam } from './transition-statement.ts'

type Instance = typeof instance
export const part = { table: instance, machine: instanceMachine } as const

/** The units that a roll-out registers, where they are not known yet: one for each service, or one of a deployment. */
export const unitsOf = (runtime: InstanceRuntime, services: readonly (string | null)[] = [null]) => ({
  runtime,
  instances: JSON.stringify(services.map((service) => ({ id: newId('Instance'), service }))),
})

export const isManaged = (row: Record<'runtime', SQLWrapper>): SQL => sql`${row.runtime} <> 'EXTERNAL'`

/** Of the rule's subject, whatever the generation. */
export const ofSubject = sql`${instance.subjectId} = ${textParam('id')} and ${isManaged(instance)} and ${stateIn(liveInstanceStates)}`
/** Of the operation's generation. */
export const ofGeneration = sql`${ofSubject} and ${instance.generation} = ${intParam('generation')}`
const ofOlder = sql`${ofSubject} and ${instance.generation} < ${intParam('generation')}`
const offline = stateIn(['OFFLINE'] satisfies InstanceState[])

/** Nothing of it runs any more. */
export const withoutRun = { instanceId: sql`null`, url: sql`null`, startedAt: sql`null`, failedChecks: sql`0` }

/** Units that a roll-out may register: `[{ id, service }]`, of a deployment one without a service. */
const offered = sql`jsonb_to_recordset(${jsonParam('instances')}) as s(id text, service text)`
/** Those whose roll-out was begun by a release that knew of no instances. */
const missing = sql`${offered} where not exists (select 1 from ${instance} i where i.subject_id = found.id
  and i.generation = found.generation and i.runtime <> 'EXTERNAL' and i.service is not distinct from s.service)`

/** The units of the subject at this generation, before they are started for the first time; or with their run, where `run` tells it. */
export const registersInstances = (
  subjectType: 'Deployment' | 'Stack',
  run?: { readonly instanceId: SQL; readonly url: SQL },
) =>
  defineBorn<Instance, typeof deployment | typeof stack>({
    ...part,
    action: 'registerInstance',
    each: run ? sql`${missing} and ${run.instanceId} is not null` : offered,
    values: (found) => ({
      id: sql`s.id`,
      service: sql`s.service`,
      ...run,
      teamId: sql`${found.teamId}`,
      generation: sql`${found.generation}`,
      environment: sql`${found.environment}`,
      name: sql`concat_ws('-', ${found.name}, s.service)`,
      runtime: textParam('runtime'),
      subjectType: sql.raw(quoted([subjectType])),
      subjectId: sql`${found.id}`,
      incarnation: sql`concat_ws('-', ${found.incarnation}, s.service)`,
    }),
  })

/** Their run has passed its health check: which one, and where it answers. Those that `instanceId` is null for stay as they are. */
export const comesOnline = (run: (found: Instance) => { readonly instanceId: SQL; readonly url: SQL }) =>
  defineCarried({
    ...part,
    action: 'markInstanceOnline',
    where: sql`${ofGeneration} and ${run(instance).instanceId} is not null`,
    set: (found: Instance) => ({
      ...run(found),
      startedAt: sql`clock_timestamp()`,
      checkedAt: sql`clock_timestamp()`,
      failedChecks: sql`0`,
    }),
  })

const removes = (where: SQL) =>
  defineCarried<Instance>({
    ...part,
    action: 'removeInstance',
    where,
    set: () => ({ url: sql`null`, restartDueAt: sql`null` }),
  })
export const removesAll = removes(ofSubject)
/** Older generations, all of them or those for which `where` holds. */
export const removesOlder = (where: SQL = sql`true`) => removes(sql`${ofOlder} and ${where}`)
/** Older ones that do not run and were not removed yet: what rolls out takes their place. And those for which `where` holds. */
export const removesOlderOffline = (where: SQL = sql`false`) => removesOlder(sql`(${offline} or ${where})`)

/** Nothing of them runs any more, and nothing shall. */
export const goesOffline = (reason: (found: Instance) => SQL, where: SQL = ofSubject) =>
  defineCarried<Instance>({
    ...part,
    action: 'offlineInstance',
    where,
    set: (found) => ({ ...withoutRun, stateReason: reason(found), restartDueAt: sql`null` }),
  })
export const allGoOffline = goesOffline(() => textParam('outcome'))

/** Whoever has stayed up for so long starts anew with its back-off. */
const stableAfter = sql`interval '10 minutes'`
/** Restarts without staying up in between; the death after the last of them ends in a crash loop's FAILED. */
export const maxRecentRestarts = 5
const firstBackoffSeconds = 10
const maxBackoffSeconds = 300

/** How often it was started again since it last stayed up for long. */
export const recentOf = (found: Instance): SQL =>
  sql`case when ${found.startedAt} <= clock_timestamp() - ${stableAfter} then 0 else ${found.recentRestarts} end`

/** At once the first time, then after 10 s, 20 s, 40 s …, at most 5 min, and up to a fifth more: those that died together do not come back together. */
const restartDueAt = (
  found: Instance,
): SQL => sql`clock_timestamp() + interval '1 second' * (1 + random() / 5) * case ${recentOf(found)}
  when 0 then 0 else least(${sql.raw(String(maxBackoffSeconds))}, ${sql.raw(String(firstBackoffSeconds))} * power(2, ${recentOf(found)} - 1)) end`

/** Nothing of it runs, and it shall be started again. */
const toBeRestarted = (reason: (found: Instance) => SQL) => (found: Instance) => ({
  ...withoutRun,
  stateReason: reason(found),
  restarts: sql`${found.restarts} + 1`,
  recentRestarts: sql`${recentOf(found)} + 1`,
  restartDueAt: restartDueAt(found),
})

/** The very run that was asked about, whatever has become of its state since; its instance is OFFLINE from now on. */
const goneRun = (more: (found: Instance) => SQL, set: Part<Instance>['set']): Part<Instance> => ({
  ...part,
  action: 'offlineInstance',
  where: sql`${instance.id} = ${textParam('instance')} and ${instance.teamId} = ${textParam('teamId')}`,
  guard: (found) => sql`${isAskedAbout(found)} and ${isManaged(found)} and ${found.subjectId} = ${textParam('id')}
    and ${found.generation} = ${intParam('generation')} and ${more(found)}`,
  ...(set ? { set } : {}),
})
/** Drivers give each run an id of its own and never the same again, so the same id is the same run. */
export const isAskedAbout = (found: Instance): SQL =>
  sql`${found.instanceId} = ${textParam('instanceId')} and ${found.instanceId} <> ''`

const cap = sql.raw(String(maxRecentRestarts))
const reason = () => textParam('reason')
export const goneToRestart = goneRun((found) => sql`${recentOf(found)} < ${cap}`, toBeRestarted(reason))
export const goneForGood = goneRun(
  (found) => sql`${recentOf(found)} >= ${cap}`,
  () => ({ ...withoutRun, stateReason: reason(), restartDueAt: sql`null` }),
)

/** A runner could not start it: again later, with more back-off. */
export const restartsAgain = (reason: (found: Instance) => SQL, where: SQL = ofGeneration) =>
  defineCarried<Instance>({ ...part, action: 'offlineInstance', where, set: toBeRestarted(reason) })

/** A runner starts again what is due. */
export const restartsDue = defineCarried<Instance>({
  ...part,
  action: 'restartInstance',
  where: ofGeneration,
  guard: (found) => sql`${found.restartDueAt} <= clock_timestamp()`,
  set: () => ({ restartDueAt: sql`null` }),
})

/** When what the move has taken OFFLINE is due: the accepted work begins then. `moved` is the CTE of the statement that did. */
export const dueWith = (moved: 'moved_also' | 'moved_with_0'): SQL =>
  sql`coalesce((select min(i.restart_due_at) from ${sql.identifier(moved)} i), clock_timestamp())`
