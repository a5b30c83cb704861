// The effect that starts a deployment again after its run is gone. It is tried until the runtime answers; what cannot become
// healthy waits for longer each time, and is given up in the end. A redeploy, a stop or a deletion supersedes it.

import * as rules from '../resolvers/deployment-restart-rule.ts'
import { maxRecentRestarts, toBeStarted } from '../resolvers/instance-check.ts'
import { subjectOf } from '../resolvers/operation.ts'
import { crashLoop } from './crash-loop.ts'
import { type Subject, start, type Tools, whenStopped } from './deployment-workload.ts'
import { type Effect, type Ending, ended, movedOn, rule, type Work } from './effect.ts'

export const deploymentRestart = (tools: Tools): Effect => ({
  kind: 'deployment.restart',
  subjectType: 'Deployment',
  concurrency: 16,
  maxFailures: null,
  run: async (work) => {
    const subject = await subjectOf(tools.db, 'Deployment', work.operation)
    return subject?.state === 'HEALTHY' ? restart(tools, work, subject) : movedOn
  },
})

async function restart(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  const [unit] = await toBeStarted(tools.db, subject)
  const restarted = rule(rules.markDeploymentRestarted)
  if (!unit) {
    const outcome = 'nothing was left to be started again'
    return { kind: 'finish', rule: restarted, outcome, values: { url: null, instanceId: null } }
  }
  if (unit.dueInMs > 0) return { kind: 'postpone', outcome: 'it is not due yet', failed: false, afterMs: unit.dueInMs }
  const begin = rule(rules.beginDeploymentRestart)
  if (unit.state === 'OFFLINE' && !(await work.move(begin, { outcome: 'it is being started again' }))) return movedOn
  const outcome = await start(tools, work, subject)
  if (outcome.kind === 'done') {
    const { url, instanceId } = outcome.value
    return { kind: 'finish', rule: restarted, outcome: `healthy again at ${url}`, values: { url, instanceId } }
  }
  if (outcome.kind !== 'refused') return ended(outcome, restarted, '')
  const { reason } = outcome
  return whenStopped(
    tools,
    work,
    subject,
    reason,
    unit.recentRestarts < maxRecentRestarts
      ? { kind: 'finish', rule: rule(rules.restartDeploymentAgain), outcome: reason }
      : {
          kind: 'finish',
          rule: rule(rules.giveUpDeploymentRestart),
          outcome: reason,
          values: { reason: crashLoop(unit.recentRestarts, reason) },
        },
  )
}
