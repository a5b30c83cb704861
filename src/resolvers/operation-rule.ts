// The rules of an operation's own moves: claims, and what a runner may write about the work that it holds. Moves that
// concern the subject as well stand with the subject's rules.
import { eq, type SQL, sql } from 'drizzle-orm'
import { deployment } from '../db/deployment.ts'
import { operation } from '../db/operation.ts'
import { operationMachine } from '../lifecycle/operation.ts'
import { defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const part = { table: operation, machine: operationMachine } as const
const batch = { orderBy: sql`${operation.dueAt}`, limit: intParam('limit') }

/** Where the subject of each kind lives; a kind that is not here is left for a worker that knows it. */
const subjects = { Deployment: deployment } as const
export type SubjectType = keyof typeof subjects

/** A newer wish exists: what is pending, or running under a lease that is over, is superseded. */
export const supersedeOutdated = (subjectType: SubjectType) => {
  const subject = subjects[subjectType]
  const outdated = sql`exists (select 1 from ${subject} where ${subject.id} = ${operation.subjectId} and ${subject.generation} > ${operation.generation})`
  return defineRule({
    name: `supersedeOutdated:${subjectType}`,
    subject: {
      ...part,
      action: 'supersedeOperation',
      where: sql`${operation.kind} = ${textParam('kind')} and (${operation.state} = 'PENDING' or (${operation.state} = 'RUNNING' and ${operation.dueAt} <= now())) and ${outdated}`,
      batch,
      set: () => ({ finishedAt: sql`clock_timestamp()`, claimToken: sql`null`, outcome: sql`'superseded before it began'` }),
    },
  })
}

/** What a RUNNING row's due time means: the lease is over. Nothing older, and nothing running, of the same subject. */
export const claimOperation = defineRule({
  name: 'claimOperation',
  subject: {
    ...part,
    action: 'claimOperation',
    where: sql`${operation.kind} = ${textParam('kind')} and ${operation.state} in ('PENDING', 'RUNNING', 'UNKNOWN') and ${operation.dueAt} <= now()
      and not exists (select 1 from ${operation} o where o.subject_id = ${operation.subjectId} and o.state in ('PENDING', 'RUNNING', 'UNKNOWN')
        and o.id <> ${operation.id} and (o.state <> 'PENDING' or (o.generation, o.id) < (${operation.generation}, ${operation.id})))`,
    batch,
    guard: (found) => sql`${found.dueAt} <= now()`,
    set: (found) => ({
      claimToken: sql`gen_random_uuid()::text`,
      claimedBy: textParam('workerId'),
      attempt: sql`${found.attempt} + 1`,
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
const finished = () => ({ finishedAt: sql`clock_timestamp()`, claimToken: sql`null`, outcome: textParam('outcome') })

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
      attempt: sql`${found.attempt} - ${intParam('attemptsBack')}`,
    }),
  },
})

export const markOperationUnknown = defineRule({
  name: 'markOperationUnknown',
  subject: {
    ...claimed,
    action: 'markOperationUnknown',
    set: () => ({ dueAt: inMs, claimToken: sql`null`, outcome: textParam('outcome') }),
  },
})

/** A runner found that its subject has moved on. */
export const supersedeOperation = defineRule({
  name: 'supersedeOperation',
  subject: { ...claimed, action: 'supersedeOperation', set: finished },
})

/** Ends an operation whose subject cannot take the result any more, e.g. one that stays as it is. */
export const failOperation = defineRule({
  name: 'failOperation',
  subject: { ...claimed, action: 'failOperation', set: finished },
})
