// The rules of a deployment's moves: which rows, for which reasons, with which new values. The calls that use them are in
// deployment.ts (callers), loops/ (expire, teardown) and loops/dispatch (runner).
import { and, eq, inArray, isNotNull, type SQL, sql } from 'drizzle-orm'
import { deployment } from '../db/deployment.ts'
import { deploymentMachine, liveDeploymentStates } from '../lifecycle/deployment.ts'
import { envCounts, envGuard, mergedEnv } from './env.ts'
import * as units from './instance-rule.ts'
import { referencesResolve, whereResolved } from './reference-rule.ts'
import { fails, isTakenBack, isUnmoved, noLiveOperation, progresses, succeeds } from './runner-rule.ts'
import { ofActiveTeam, stillOfActiveTeam } from './team-rule.ts'
import { defineBirth, defineRule, type Part } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const part = { table: deployment, machine: deploymentMachine } as const
const byId = and(eq(deployment.id, textParam('id')), eq(deployment.teamId, textParam('teamId'))) as SQL
const hoursFromNow = sql`clock_timestamp() + ${intParam('ttlHours')} * interval '1 hour'`

/** A new image, more variables, another time limit: what a redeploy may bring; null keeps what is there. */
const renewed = (found: typeof deployment) => ({
  image: sql`coalesce(${textParam('image')}, ${found.image})`,
  env: mergedEnv(found),
  envRevision: sql`${found.envRevision} + 1`,
  ttlPolicy: sql`case when ${intParam('ttlHours')} is null then ${found.ttlPolicy} else 'TTL' end`,
  expiresAt: sql`case when ${intParam('ttlHours')} is null then ${found.expiresAt} else ${hoursFromNow} end`,
})

/** What runs with its variables as they are is started only when all of their references lead somewhere. */
const resolves = (found: typeof deployment) => referencesResolve(found.env, found)
const firstEnv = mergedEnv({ env: sql`'{}'::jsonb`, envRevision: sql`0` })

export const deploy = defineBirth({
  ...part,
  name: 'deploy',
  action: 'deploy',
  takes: [{ kind: 'deployments' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    environment: textParam('environment'),
    name: textParam('name'),
    image: textParam('image'),
    env: firstEnv,
    envRevision: whereResolved(sql`1`, firstEnv, {
      teamId: textParam('teamId'),
      environment: textParam('environment'),
    }),
    ttlPolicy: sql`case when ${intParam('ttlHours')} is null then 'PERMANENT' else 'TTL' end`,
    expiresAt: hoursFromNow,
    incarnation: textParam('incarnation'),
  },
})

export const redeployDeployment = defineRule({
  name: 'redeployDeployment',
  subject: {
    ...part,
    action: 'redeployDeployment',
    where: byId,
    guard: resolves,
    set: (found) => ({ image: sql`coalesce(${textParam('image')}, ${found.image})` }),
  },
  called: true,
})

/** `deploy` with `redeploy: true`: at most one live deployment has the name. */
export const redeployByName = defineRule({
  name: 'redeployByName',
  subject: {
    ...part,
    action: 'redeployDeployment',
    where: and(
      eq(deployment.teamId, textParam('teamId')),
      eq(deployment.environment, textParam('environment')),
      eq(deployment.name, textParam('name')),
      inArray(deployment.state, [...liveDeploymentStates]),
    ) as SQL,
    guard: (found) => sql`${envGuard(found)} and ${referencesResolve(mergedEnv(found), found)}`,
    set: renewed,
  },
  called: true,
})

/** Rolls out again what has failed; the new operation says which one it repeats. */
export const retryRollOut = defineRule({
  name: 'retryRollOut',
  subject: {
    ...part,
    action: 'redeployDeployment',
    where: byId,
    guard: (found) =>
      sql`${found.state} = 'FAILED' and ${found.generation} = ${intParam('generation')} and ${resolves(found)}`,
  },
  called: true,
})

export const startDeployment = defineRule({
  name: 'startDeployment',
  subject: { ...part, action: 'startDeployment', where: byId, guard: resolves },
  called: true,
})

export const stopDeployment = defineRule({
  name: 'stopDeployment',
  subject: { ...part, action: 'stopDeployment', where: byId },
  called: true,
})

export const deleteDeployment = defineRule({
  name: 'deleteDeployment',
  subject: { ...part, action: 'deleteDeployment', where: byId },
  releases: 'deployments',
  called: true,
})

export const mergeDeploymentEnv = defineRule({
  name: 'mergeDeploymentEnv',
  subject: {
    ...part,
    action: 'mergeDeploymentEnv',
    where: byId,
    guard: envGuard,
    set: (found) => ({ env: mergedEnv(found), envRevision: sql`${found.envRevision} + 1` }),
  },
  data: envCounts,
  result: envCounts,
  called: true,
})

export const setDeploymentTtl = defineRule({
  name: 'setDeploymentTtl',
  subject: {
    ...part,
    action: 'setDeploymentTtl',
    where: byId,
    guard: (found) => sql`${found.ttlPolicy} = 'TTL'`,
    set: () => ({ expiresAt: hoursFromNow }),
  },
  data: () => sql`jsonb_build_object('ttlHours', ${intParam('ttlHours')})`,
  called: true,
})

export const makeDeploymentPermanent = defineRule({
  name: 'makeDeploymentPermanent',
  subject: {
    ...part,
    action: 'makeDeploymentPermanent',
    where: byId,
    set: () => ({ ttlPolicy: sql`'PERMANENT'`, expiresAt: sql`null` }),
  },
  called: true,
})

const batch = (orderBy: SQL): Part<typeof deployment>['batch'] => ({ orderBy, limit: intParam('limit') })
const overdue = (row: typeof deployment) => sql`${row.ttlPolicy} = 'TTL' and ${row.expiresAt} <= now()`

/** Repeats the whole reason under the lock: a longer time limit, a permanent deployment or a team's deletion wins cleanly. */
export const expireDeployment = defineRule({
  name: 'expireDeployment',
  subject: {
    ...part,
    action: 'expireDeployment',
    where: and(
      inArray(deployment.state, [...liveDeploymentStates]),
      isNotNull(deployment.expiresAt),
      overdue(deployment),
      ofActiveTeam(deployment.teamId),
    ) as SQL,
    batch: batch(sql`${deployment.expiresAt}`),
    guard: (found) => sql`${overdue(found)} and ${stillOfActiveTeam(found.teamId)}`,
    set: () => ({ stateReason: sql`'its time limit has passed'` }),
  },
  releases: 'deployments',
})

/** The net under every teardown: an ended deployment without live work gets its operation again. */
export const tearDownDeployment = defineRule({
  name: 'tearDownDeployment',
  subject: {
    ...part,
    action: 'tearDownDeployment',
    where: sql`${inArray(deployment.state, ['EXPIRED', 'DELETING'])} and ${noLiveOperation(deployment.id)}`,
    batch: batch(sql`${deployment.stateChangedAt}`),
    guard: isUnmoved(deployment),
  },
})

const atGeneration = (found: typeof deployment) => sql`${found.generation} = ${intParam('generation')}`
const ofSubject = { ...part, where: byId, guard: atGeneration } as const

/**
 * The runner's moves: the subject at the operation's generation and the operation under its claim, both or none; its instances
 * move along. Restarts: deployment-restart-rule.ts.
 */
export const rollOutDeployment = defineRule({
  name: 'rollOutDeployment',
  subject: { ...ofSubject, action: 'rollOutDeployment' },
  also: progresses,
  bears: [units.registersInstances('Deployment')],
  carries: [units.removesOlderOffline()],
})

const itsRun = { url: textParam('url'), instanceId: textParam('instanceId') }
export const markDeploymentHealthy = defineRule({
  name: 'markDeploymentHealthy',
  subject: {
    ...ofSubject,
    action: 'markDeploymentHealthy',
    set: () => itsRun,
  },
  also: succeeds,
  bears: [units.registersInstances('Deployment', itsRun)],
  carries: [units.comesOnline(() => itsRun), units.removesOlder()],
})

export const markDeploymentFailed = defineRule({
  name: 'markDeploymentFailed',
  subject: {
    ...ofSubject,
    action: 'markDeploymentFailed',
    set: () => ({ stateReason: textParam('outcome'), url: sql`null`, instanceId: sql`null` }),
  },
  also: fails,
  carries: [units.allGoOffline],
})

export const markDeploymentStopped = defineRule({
  name: 'markDeploymentStopped',
  subject: {
    ...ofSubject,
    action: 'markDeploymentStopped',
    set: () => ({ url: sql`null`, instanceId: sql`null` }),
  },
  also: succeeds,
  carries: [units.removesAll],
})

export const markDeploymentDeleted = defineRule({
  name: 'markDeploymentDeleted',
  subject: {
    ...ofSubject,
    action: 'markDeploymentDeleted',
    set: (found) => ({ stateReason: sql`${found.stateReason}`, url: sql`null`, instanceId: sql`null` }),
  },
  also: succeeds,
  carries: [units.removesAll],
})

/** Taking back accepted work: the operation before it was ever taken up, and its subject with it. */
export const cancelRollOut = defineRule({
  name: 'cancelRollOut',
  subject: {
    ...ofSubject,
    action: 'markDeploymentFailed',
    set: () => ({ stateReason: sql`'the operation was cancelled; what ran before it goes on running'` }),
  },
  also: isTakenBack('deployment.roll_out'),
  called: true,
})
