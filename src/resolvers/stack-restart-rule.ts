// The rules by which services of a stack are started again after their runs are gone, and given up when that happens again and
// again. The loop flips what it asked about; the runner of the accepted work does the rest. Stack and instances move together.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { instance } from '../db/instance.ts'
import { stack } from '../db/stack.ts'
import { type StackState, stackMachine } from '../lifecycle/stack.ts'
import * as units from './instance-rule.ts'
import { fails, progresses, succeeds } from './runner-rule.ts'
import { defineRule, type Rule } from './transition.ts'
import { intParam, jsonParam, textParam } from './transition-statement.ts'

const subject = {
  table: stack,
  machine: stackMachine,
  where: and(eq(stack.id, textParam('id')), eq(stack.teamId, textParam('teamId'))) as SQL,
  guard: (found: typeof stack) => sql`${found.generation} = ${intParam('generation')}`,
} as const
type Also = NonNullable<Rule['also']>

const failed = sql.raw(quoted(['FAILED'] satisfies StackState[]))
const service = textParam('service')
/** What is known of the service without the run that is gone; its address stays its own. */
const withoutRun = (found: typeof stack) => sql`coalesce(${found.placed} -> ${service}, '{}') - 'instanceId'`
/** A stack that has FAILED already goes on saying why. */
const oneMoreReason = (found: typeof stack, reason: SQL) =>
  sql`concat_ws('; ', case when ${found.state} = ${failed} then ${found.stateReason} end, ${reason})`

/** The run of a service that was asked about is gone. */
export const restartStack = defineRule({
  name: 'restartStack',
  subject: {
    ...subject,
    action: 'restartStack',
    set: (found) => ({ placed: sql`${found.placed} || jsonb_build_object(${service}, ${withoutRun(found)})` }),
  },
  also: units.goneToRestart,
  dueAt: units.dueWith('moved_also'),
})

/** The run of a service that was asked about is gone, once too often. */
export const giveUpStack = defineRule({
  name: 'giveUpStack',
  subject: {
    ...subject,
    action: 'giveUpStack',
    set: (found) => ({
      stateReason: oneMoreReason(found, sql`${service} || ': ' || ${textParam('reason')}`),
      placed: sql`${found.placed} || jsonb_build_object(${service}, ${withoutRun(found)} - 'url'
        || jsonb_build_object('generation', ${found.generation}, 'state', ${failed}, 'reason', ${textParam('reason')}))`,
    }),
  },
  also: units.goneForGood,
})

export const beginStackRestart = defineRule({
  name: 'beginStackRestart',
  subject: { ...subject, action: 'beginStackRestart' },
  also: progresses,
  carries: [units.restartsDue],
})

/** By the name of a service: what is known of its new run; and why it could not be started. */
const come = (of: typeof instance) => sql`${jsonParam('placed')} -> ${of.service}`
const refused = (of: typeof instance) => sql`${jsonParam('refused')} ->> ${of.service}`
const wasRefused = sql`${units.ofGeneration} and ${refused(instance)} is not null`
const comeOnline = units.comesOnline((of) => ({
  instanceId: sql`${come(of)} ->> 'instanceId'`,
  url: sql`${come(of)} ->> 'url'`,
}))
const placed = (found: typeof stack) => ({ placed: sql`${found.placed} || ${jsonParam('placed')}` })

const markRestarted = (name: string, also: Also) =>
  defineRule({
    name,
    subject: { ...subject, action: 'markStackRestarted', set: placed },
    also,
    carries: [comeOnline],
  })
export const markStackRestarted = markRestarted('markStackRestarted', succeeds as unknown as Also)
/** Some are there, and others are still being started. */
export const progressStackRestart = markRestarted('progressStackRestart', progresses as unknown as Also)

/** Some could not be started: this work has failed, and the next one waits for longer. */
export const restartStackAgain = defineRule({
  name: 'restartStackAgain',
  subject: { ...subject, action: 'restartStack', set: placed },
  also: fails,
  carries: [units.restartsAgain(refused, wasRefused), comeOnline],
  dueAt: units.dueWith('moved_with_0'),
})

/** Some could not be started, once too often; `placed` says so of them. */
const giveUp = (name: string, also: Also) =>
  defineRule({
    name,
    subject: {
      ...subject,
      action: 'giveUpStack',
      set: (found) => ({ ...placed(found), stateReason: oneMoreReason(found, textParam('reason')) }),
    },
    also,
    carries: [units.goesOffline(refused, wasRefused)],
  })
export const giveUpStackRestart = giveUp('giveUpStackRestart', fails as unknown as Also)
/** And others are still to be told of. */
export const giveUpStackServices = giveUp('giveUpStackServices', progresses as unknown as Also)
