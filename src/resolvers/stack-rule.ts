// The rules of a stack's moves: which rows, for which reasons, with which new values. The calls that use them are in stack.ts
// (callers), loops/teardown and loops/stack-effect (runner); restarts are in stack-restart-rule.ts.
import { and, eq, inArray, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { stack } from '../db/stack.ts'
import { type StackState, stackMachine } from '../lifecycle/stack.ts'
import { envCounts, envGuard, mergedEnv } from './env.ts'
import * as units from './instance-rule.ts'
import { referencesResolve, whereResolved } from './reference-rule.ts'
import { fails, isTakenBack, isUnmoved, noLiveOperation, progresses, succeeds } from './runner-rule.ts'
import { defineBirth, defineRule } from './transition.ts'
import { intParam, jsonParam, listParam, textParam } from './transition-statement.ts'

const part = { table: stack, machine: stackMachine } as const
const byId = and(eq(stack.id, textParam('id')), eq(stack.teamId, textParam('teamId'))) as SQL
const given = jsonParam('services')

/** As text and not as a parameter, whose type jsonb_build_object could not know. */
const failed = sql.raw(quoted(['FAILED'] satisfies StackState[]))

/** Every service that may be started from now on has its place, so that whatever was started is removed in the end. */
export const placesFor = (services: SQL) =>
  sql`coalesce((select jsonb_object_agg(s ->> 'name', '{}'::jsonb) from jsonb_array_elements(${services}) s), '{}'::jsonb)`

const firstEnv = mergedEnv({ env: sql`'{}'::jsonb`, envRevision: sql`0` })

export const createStack = defineBirth({
  ...part,
  name: 'createStack',
  action: 'createStack',
  takes: [{ kind: 'stacks' }],
  values: {
    id: textParam('id'),
    teamId: textParam('teamId'),
    environment: textParam('environment'),
    name: textParam('name'),
    services: given,
    placed: placesFor(given),
    env: firstEnv,
    envRevision: whereResolved(
      sql`1`,
      firstEnv,
      { teamId: textParam('teamId'), environment: textParam('environment') },
      given,
    ),
    incarnation: textParam('incarnation'),
  },
})

/** Other services, or, where none are given, those that are there. */
const servicesOf = (found: typeof stack) => sql`coalesce(${given}, ${found.services})`

export const redeployStack = defineRule({
  name: 'redeployStack',
  subject: {
    ...part,
    action: 'redeployStack',
    where: byId,
    // What runs with its variables as they are is started only when all of their references lead somewhere.
    guard: (found) => referencesResolve(found.env, found, servicesOf(found)),
    set: (found) => ({
      services: servicesOf(found),
      placed: sql`${placesFor(servicesOf(found))} || ${found.placed}`,
      specVersion: sql`${found.specVersion} + case when ${servicesOf(found)} is distinct from ${found.services} then 1 else 0 end`,
    }),
  },
  called: true,
})

/** Rolls out again what has failed; the new operation says which one it repeats. */
export const retryStackRollOut = defineRule({
  name: 'retryStackRollOut',
  subject: {
    ...part,
    action: 'redeployStack',
    where: byId,
    guard: (found) => sql`${found.state} = ${failed} and ${found.generation} = ${intParam('generation')}
      and ${referencesResolve(found.env, found, found.services)}`,
  },
  called: true,
})

const totalKeys = (found: typeof stack) =>
  sql`${envCounts(found)} || jsonb_build_object('totalKeys', (select count(*) from jsonb_object_keys(${mergedEnv(found)})))`

export const mergeStackEnv = defineRule({
  name: 'mergeStackEnv',
  subject: {
    ...part,
    action: 'mergeStackEnv',
    where: byId,
    guard: envGuard,
    set: (found) => ({
      env: mergedEnv(found),
      envRevision: sql`${found.envRevision} + 1`,
      specVersion: sql`${found.specVersion} + 1`,
    }),
  },
  data: totalKeys,
  result: totalKeys,
  called: true,
})

const deleted = () => ({ deletedAt: sql`clock_timestamp()` })

export const deleteStack = defineRule({
  name: 'deleteStack',
  subject: { ...part, action: 'deleteStack', where: byId, set: deleted },
  releases: 'stacks',
  called: true,
})

/** The net under every teardown: a stack that is being deleted without live work gets its operation again. */
export const tearDownStack = defineRule({
  name: 'tearDownStack',
  subject: {
    ...part,
    action: 'tearDownStack',
    where: sql`${inArray(stack.state, ['DELETING'])} and ${noLiveOperation(stack.id)}`,
    batch: { orderBy: sql`${stack.stateChangedAt}`, limit: intParam('limit') },
    guard: isUnmoved(stack),
  },
})

const atGeneration = (found: typeof stack) => sql`${found.generation} = ${intParam('generation')}`
const ofSubject = { ...part, where: byId, guard: atGeneration } as const
/** What has become of services, by name, and which of them are gone for good. */
const placedNow = (found: typeof stack) => sql`(${found.placed} || ${jsonParam('placed')}) - ${listParam('removed')}`

/** What has become of a service; null while that is open. */
const become = (service: SQLWrapper) => sql`${jsonParam('placed')} -> ${service}`
const runOf = (service: SQLWrapper) => ({
  instanceId: sql`${become(service)} ->> 'instanceId'`,
  url: sql`${become(service)} ->> 'url'`,
})
const isSettled = sql`${become(units.part.table.service)} is not null`
const hasFailed = sql`${become(units.part.table.service)} ->> 'state' = ${failed}`
const settles = [
  units.comesOnline((of) => runOf(of.service)),
  units.goesOffline((of) => sql`${become(of.service)} ->> 'reason'`, sql`${units.ofGeneration} and ${hasFailed}`),
]

/**
 * The runner's moves: the subject at the operation's generation and the operation under its claim, both or none; the instances
 * of its services move along. Restarts: stack-restart-rule.ts.
 */
export const rollOutStack = defineRule({
  name: 'rollOutStack',
  subject: { ...ofSubject, action: 'rollOutStack', set: (found) => ({ placed: placedNow(found) }) },
  also: progresses,
  bears: [units.registersInstances('Stack')],
  carries: [units.removesOlderOffline(sql`${units.part.table.service} = any(${listParam('removed')})`)],
})

export const progressStack = defineRule({
  name: 'progressStack',
  subject: { ...ofSubject, action: 'progressStack', set: (found) => ({ placed: placedNow(found) }) },
  also: progresses,
  bears: [units.registersInstances('Stack', runOf(sql`s.service`))],
  carries: [...settles, units.removesOlder(isSettled)],
})

/** The run of a service that has settled at this generation, told by a release that knew of no instances. */
const known = sql`(select p from jsonb_extract_path(found.placed, s.service) p where (p ->> 'generation')::int = found.generation)`
const registersKnown = units.registersInstances('Stack', {
  instanceId: sql`${known} ->> 'instanceId'`,
  url: sql`${known} ->> 'url'`,
})

export const markStackHealthy = defineRule({
  name: 'markStackHealthy',
  subject: { ...ofSubject, action: 'markStackHealthy' },
  also: succeeds,
  bears: [registersKnown],
  carries: [units.removesOlder()],
})

export const markStackFailed = defineRule({
  name: 'markStackFailed',
  subject: {
    ...ofSubject,
    action: 'markStackFailed',
    set: (found) => ({ stateReason: textParam('outcome'), placed: placedNow(found) }),
  },
  also: fails,
  bears: [registersKnown],
  // What ran before of services that have failed was stopped, too.
  carries: [
    units.goesOffline((of) => sql`${become(of.service)} ->> 'reason'`, sql`${units.ofSubject} and ${hasFailed}`),
  ],
})

export const markStackDeleted = defineRule({
  name: 'markStackDeleted',
  subject: { ...ofSubject, action: 'markStackDeleted', set: () => ({ placed: sql`'{}'::jsonb` }) },
  also: succeeds,
  carries: [units.removesAll],
})

/** Taking back accepted work: the operation before it was ever taken up, and its subject with it. */
export const cancelStackRollOut = defineRule({
  name: 'cancelStackRollOut',
  subject: {
    ...ofSubject,
    action: 'markStackFailed',
    set: () => ({ stateReason: sql`'the operation was cancelled; what ran before it goes on running'` }),
  },
  also: isTakenBack('stack.roll_out'),
  called: true,
})
