// The rules of a resource's moves. DELETING is the only way to a deprovision: the caller's delete and the expired time
// limit are the same move under different reasons.
import { and, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { resource } from '../db/resource.ts'
import { liveResourceStates, resourceMachine } from '../lifecycle/resource.ts'
import { fails, isTakenBack, isUnmoved, noLiveOperation, succeeds } from './runner-rule.ts'
import { ofActiveTeam, stillOfActiveTeam } from './team-rule.ts'
import { defineBirth, defineRule, type Part } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const part = { table: resource, machine: resourceMachine } as const
const byId = and(eq(resource.id, textParam('id')), eq(resource.teamId, textParam('teamId'))) as SQL
/** Null hours: no limit. */
const hoursFromNow = sql`clock_timestamp() + ${intParam('ttlHours')} * interval '1 hour'`
const batch = (orderBy: SQL): Part<typeof resource>['batch'] => ({ orderBy, limit: intParam('limit') })

export const createResource = defineBirth({
  ...part,
  name: 'createResource',
  action: 'createResource',
  takes: [{ kind: 'resources' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    environment: textParam('environment'),
    name: textParam('name'),
    type: textParam('type'),
    incarnation: textParam('incarnation'),
    password: textParam('password'),
    expiresAt: hoursFromNow,
    limitBytes: sql`${textParam('limitBytes')}::bigint`,
  },
})

export const pauseResource = defineRule({
  name: 'pauseResource',
  subject: { ...part, action: 'pauseResource', where: byId, guard: (found) => notRotating(found) },
  called: true,
})

export const resumeResource = defineRule({
  name: 'resumeResource',
  subject: { ...part, action: 'resumeResource', where: byId },
  called: true,
})

const notRotating = (found: typeof resource) => sql`${found.nextPassword} is null`

export const rotateResourceCredentials = defineRule({
  name: 'rotateResourceCredentials',
  subject: {
    ...part,
    action: 'rotateResourceCredentials',
    where: byId,
    guard: notRotating,
    set: () => ({ nextPassword: textParam('password') }),
  },
  called: true,
})

export const setResourceTtl = defineRule({
  name: 'setResourceTtl',
  subject: { ...part, action: 'setResourceTtl', where: byId, set: () => ({ expiresAt: hoursFromNow }) },
  called: true,
})

const deleted = () => ({ deletedAt: sql`clock_timestamp()` })

export const deleteResource = defineRule({
  name: 'deleteResource',
  subject: { ...part, action: 'deleteResource', where: byId, set: deleted },
  releases: 'resources',
  called: true,
})

const overdue = (row: typeof resource) => sql`${row.expiresAt} <= now()`

/** The same gate, for the time limit: the whole reason is repeated under the lock, so whoever extends it meanwhile wins. */
export const expireResource = defineRule({
  name: 'expireResource',
  subject: {
    ...part,
    action: 'deleteResource',
    where: and(
      inArray(resource.state, [...liveResourceStates]),
      overdue(resource),
      ofActiveTeam(resource.teamId),
    ) as SQL,
    batch: batch(sql`${resource.expiresAt}`),
    guard: (found) => sql`${overdue(found)} and ${stillOfActiveTeam(found.teamId)}`,
    set: () => ({ ...deleted(), stateReason: sql`'its time limit has passed'` }),
  },
  releases: 'resources',
})

const unmoved = isUnmoved(resource)

const idle = noLiveOperation(resource.id)

/** The net under every deprovision: one that has lost its operation gets it again. */
export const deprovisionResource = defineRule({
  name: 'deprovisionResource',
  subject: {
    ...part,
    action: 'deprovisionResource',
    where: sql`${inArray(resource.state, ['DELETING'])} and ${idle}`,
    batch: batch(sql`${resource.stateChangedAt}`),
    guard: unmoved,
  },
})

/** Suspended above the limit, released clearly below it: no flapping at the edge. */
export const releaseBelow = 0.8

/** The measured size is repeated under the lock, and nothing may be under way. */
const measured = (found: typeof resource) => sql`${unmoved(found)} and ${notRotating(found)}`

export const suspendResource = defineRule({
  name: 'suspendResource',
  subject: {
    ...part,
    action: 'suspendResource',
    where: and(byId, idle) as SQL,
    guard: (found) => sql`${found.sizeBytes} > ${found.limitBytes} and ${measured(found)}`,
    set: (found) => ({
      stateReason: sql`format('it holds %s, more than the limit of %s', pg_size_pretty(${found.sizeBytes}), pg_size_pretty(${found.limitBytes}))`,
    }),
  },
})

export const releaseResource = defineRule({
  name: 'releaseResource',
  subject: {
    ...part,
    action: 'releaseResource',
    where: and(byId, idle) as SQL,
    guard: (found) =>
      sql`${found.sizeBytes} < ${found.limitBytes} * ${sql.raw(String(releaseBelow))} and ${measured(found)}`,
  },
})

const ofSubject = {
  ...part,
  where: byId,
  guard: (found: typeof resource) => sql`${found.generation} = ${intParam('generation')}`,
} as const
/** The runner's moves: the resource at the operation's generation and the operation under its claim, both or none. */
export const markResourceActive = defineRule({
  name: 'markResourceActive',
  subject: { ...ofSubject, action: 'markResourceActive', set: () => ({ connection: textParam('connection') }) },
  also: succeeds,
})

export const markResourceFailed = defineRule({
  name: 'markResourceFailed',
  subject: { ...ofSubject, action: 'markResourceFailed', set: () => ({ stateReason: textParam('outcome') }) },
  also: fails,
})

export const markResourcePaused = defineRule({
  name: 'markResourcePaused',
  subject: { ...ofSubject, action: 'markResourcePaused' },
  also: succeeds,
})

export const markResourceResumed = defineRule({
  name: 'markResourceResumed',
  subject: { ...ofSubject, action: 'markResourceResumed' },
  also: succeeds,
})

export const markResourceRotated = defineRule({
  name: 'markResourceRotated',
  subject: {
    ...ofSubject,
    action: 'markResourceRotated',
    set: (found) => ({
      password: sql`coalesce(${found.nextPassword}, ${found.password})`,
      nextPassword: sql`null`,
      connection: textParam('connection'),
    }),
  },
  also: succeeds,
})

export const markResourceDeleted = defineRule({
  name: 'markResourceDeleted',
  subject: {
    ...ofSubject,
    action: 'markResourceDeleted',
    set: (found) => ({ stateReason: sql`${found.stateReason}`, connection: sql`null`, nextPassword: sql`null` }),
  },
  also: succeeds,
})

const carriedOut = (name: string) => defineRule({ name, subject: { ...ofSubject, action: name }, also: succeeds })

/** What the quota loop asked for is carried out: the state was left at once, sessions follow. */
export const markResourceSuspended = carriedOut('markResourceSuspended')
export const markResourceReleased = carriedOut('markResourceReleased')

/** Taking back a provision that has not begun, not even once: what an attempt has left is for its worker to remove. */
export const cancelProvision = defineRule({
  name: 'cancelProvision',
  subject: {
    ...ofSubject,
    action: 'markResourceFailed',
    set: () => ({ stateReason: sql`'the operation was cancelled'` }),
  },
  also: isTakenBack('resource.provision'),
  called: true,
})
