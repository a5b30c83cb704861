// The rules by which a deployment is started again after its run is gone, and given up when that happens again and again. The
// loop flips what it asked about; the runner of the accepted work does the rest. Deployment and instance move together.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { deployment } from '../db/deployment.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import * as units from './instance-rule.ts'
import { fails, progresses, succeeds } from './runner-rule.ts'
import { defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const subject = {
  table: deployment,
  machine: deploymentMachine,
  where: and(eq(deployment.id, textParam('id')), eq(deployment.teamId, textParam('teamId'))) as SQL,
  guard: (found: typeof deployment) => sql`${found.generation} = ${intParam('generation')}`,
} as const
const runIsGone = { instanceId: sql`null` }
const isGivenUp = { instanceId: sql`null`, url: sql`null`, stateReason: textParam('reason') }

/** The run that was asked about is gone; the url stays its own. */
export const restartDeployment = defineRule({
  name: 'restartDeployment',
  subject: { ...subject, action: 'restartDeployment', set: () => runIsGone },
  also: units.goneToRestart,
  dueAt: units.dueWith('moved_also'),
})

/** The run that was asked about is gone, once too often. */
export const giveUpDeployment = defineRule({
  name: 'giveUpDeployment',
  subject: { ...subject, action: 'giveUpDeployment', set: () => isGivenUp },
  also: units.goneForGood,
})

export const beginDeploymentRestart = defineRule({
  name: 'beginDeploymentRestart',
  subject: { ...subject, action: 'beginDeploymentRestart' },
  also: progresses,
  carries: [units.restartsDue],
})

/** Its new run, or none where nothing was left to be started. */
export const markDeploymentRestarted = defineRule({
  name: 'markDeploymentRestarted',
  subject: {
    ...subject,
    action: 'markDeploymentRestarted',
    set: (found) => ({
      url: sql`coalesce(${textParam('url')}, ${found.url})`,
      instanceId: sql`coalesce(${textParam('instanceId')}, ${found.instanceId})`,
    }),
  },
  also: succeeds,
  carries: [units.comesOnline(() => ({ instanceId: textParam('instanceId'), url: textParam('url') }))],
})

/** It could not be started: this work has failed, and the next one waits for longer. */
export const restartDeploymentAgain = defineRule({
  name: 'restartDeploymentAgain',
  subject: { ...subject, action: 'restartDeployment', set: () => runIsGone },
  also: fails,
  carries: [units.restartsAgain(() => textParam('outcome'))],
  dueAt: units.dueWith('moved_with_0'),
})

/** It could not be started, once too often. */
export const giveUpDeploymentRestart = defineRule({
  name: 'giveUpDeploymentRestart',
  subject: { ...subject, action: 'giveUpDeployment', set: () => isGivenUp },
  also: fails,
  carries: [units.allGoOffline],
})
