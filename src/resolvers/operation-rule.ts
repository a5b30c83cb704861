// The rules of an operation's own moves: claims, and what a runner may write about the work that it holds. Moves that
// concern the subject as well stand with the subject's rules.
import { eq, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { operation } from '../db/operation.ts'
import { resource } from '../db/resource.ts'
import { stack } from '../db/stack.ts'
import { liveOperationStates, type OperationState, operationMachine } from '../lifecycle/operation.ts'
import { defineRule } from './transition.ts'
import { intParam, listParam, textParam } from './transition-statement.ts'

const part = { table: operation, machine: operationMachine } as const
const batch = { orderBy: sql`${operation.dueAt}`, limit: intParam('limit') }

/** As text and not as parameters, so that partial indexes serve. */
export const stateIs = (state: SQLWrapper, ...states: readonly OperationState[]): SQL =>
  sql`${state} in (${sql.raw(quoted(states))})`
const { state } = operation
const otherState = sql`o.state`

/** Where the subject of each kind lives; a kind that is not here is left for a worker that knows it. */
export const subjects = { Deployment: deployment, Resource: resource, Stack: stack } as const
export type SubjectType = keyof typeof subjects

const newerWish = (subjectType: SubjectType, of: typeof operation): SQL => {
  const subject = subjects[subjectType]
  return sql`exists (select 1 from ${subject} where ${subject.id} = ${of.subjectId} and ${subject.generation} > ${of.generation})`
}

/** A newer wish exists: what is pending, due or not, or running under a lease that is over, is superseded. */
export const supersedeOutdated = (subjectType: SubjectType) =>
  defineRule({
    name: `supersedeOutdated:${subjectType}`,
    subject: {
      ...part,
      action: 'supersedeOperation',
      where: sql`${operation.kind} = any(${listParam('kinds')}) and (${stateIs(state, 'PENDING')} or (${stateIs(state, 'RUNNING')} and ${operation.dueAt} <= now()))
        and ${newerWish(subjectType, operation)}`,
      batch,
      set: (found) => ({
        finishedAt: sql`clock_timestamp()`,
        claimToken: sql`null`,
        outcome: sql`case when ${found.attempt} = 0 then 'superseded before it began' else 'superseded before it went on' end`,
      }),
    },
  })

/**
 * What a RUNNING row's due time means: the lease is over. Nothing older, and nothing running, of the same subject. UNKNOWN
 * and outdated is taken at once, to be superseded: a newer wish must not wait for its back-off. What was never begun and may
 * not begin yet, as the restart of another service, hinders nobody: no driver has heard of it.
 */
export const claimOperation = (subjectType: SubjectType) =>
  defineRule({
    name: `claimOperation:${subjectType}`,
    subject: {
      ...part,
      action: 'claimOperation',
      where: sql`${operation.kind} = ${textParam('kind')} and ${stateIs(state, ...liveOperationStates)}
        and (${operation.dueAt} <= now() or (${stateIs(state, 'UNKNOWN')} and ${newerWish(subjectType, operation)}))
        and not exists (select 1 from ${operation} o where o.subject_id = ${operation.subjectId} and ${stateIs(otherState, ...liveOperationStates)}
          and o.id <> ${operation.id} and (not ${stateIs(otherState, 'PENDING')} or ((o.generation, o.id) < (${operation.generation}, ${operation.id})
            and (o.attempt > 0 or o.due_at <= now()))))`,
      batch,
      guard: (found) => sql`(${found.dueAt} <= now() or ${stateIs(found.state, 'UNKNOWN')})`,
      set: (found) => ({
        claimToken: sql`gen_random_uuid()::text`,
        claimedBy: textParam('workerId'),
        attempt: sql`${found.attempt} + 1`,
        failures: sql`${found.failures} + case when ${stateIs(found.state, 'RUNNING')} then 1 else 0 end`,
        startedAt: sql`coalesce(${found.startedAt}, clock_timestamp())`,
        dueAt: sql`clock_timestamp() + ${intParam('leaseMs')} * interval '1 millisecond'`,
      }),
    },
  })

const claimed = {
  ...part,
  where: eq(operation.id, textParam('id')) as SQL,
  guard: (found: typeof operation) => sql`${found.claimToken} = ${textParam('claimToken')}`,
}
const inMs = sql`clock_timestamp() + ${intParam('afterMs')} * interval '1 millisecond'`

/** Not done yet; the claim is given back. */
export const postponeOperation = defineRule({
  name: 'postponeOperation',
  subject: {
    ...claimed,
    action: 'postponeOperation',
    set: (found) => ({
      dueAt: inMs,
      claimToken: sql`null`,
      outcome: textParam('outcome'),
      failures: sql`${found.failures} + ${intParam('failed')}`,
    }),
  },
})

export const markOperationUnknown = defineRule({
  name: 'markOperationUnknown',
  subject: {
    ...claimed,
    action: 'markOperationUnknown',
    set: (found) => ({
      dueAt: inMs,
      claimToken: sql`null`,
      outcome: textParam('outcome'),
      failures: sql`${found.failures} + ${intParam('failed')}`,
    }),
  },
})

/** A runner found that its subject has moved on. */
export const supersedeOperation = (subjectType: SubjectType) =>
  defineRule({
    name: `supersedeOperation:${subjectType}`,
    subject: {
      ...claimed,
      action: 'supersedeOperation',
      guard: (found) => sql`${found.claimToken} = ${textParam('claimToken')} and ${newerWish(subjectType, found)}`,
      set: () => ({ finishedAt: sql`clock_timestamp()`, claimToken: sql`null`, outcome: textParam('outcome') }),
    },
  })

/** Ends an operation whose subject cannot take its result though no newer wish is there: a way out that needs no luck. */
export const failOperation = defineRule({
  name: 'failOperation',
  subject: {
    ...claimed,
    action: 'failOperation',
    set: () => ({ finishedAt: sql`clock_timestamp()`, claimToken: sql`null`, outcome: textParam('outcome') }),
  },
})
