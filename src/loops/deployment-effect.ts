// The effects of a deployment: roll-out, stop, teardown; a restart has a file of its own. Each claim starts from the row as it is
// now and may be repeated at any point: drivers are idempotent by operation, and their fence and the row's guard keep out what
// is outdated.
import type { Outcome } from '../drivers/outcome.ts'
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import * as rules from '../resolvers/deployment-rule.ts'
import { unitsOf } from '../resolvers/instance-rule.ts'
import { subjectOf } from '../resolvers/operation.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { deploymentRestart } from './deployment-restart.ts'
import { refOf, type Subject, start, stop, type Tools, whenStopped } from './deployment-workload.ts'
import { type Effect, type Ending, ended, movedOn, rule, untilDone, type Work } from './effect.ts'
import { filledIn } from './filled-in.ts'
import { runtimeOf } from './instance-runtime.ts'

/** The effects that move deployments, on one database and one runtime driver. */
export function deploymentEffects(db: Database, driver: RuntimeDriver, sealing: Sealing): Effect[] {
  const tools: Tools = { db, driver, references: (subject) => filledIn(db, sealing, subject) }
  return [
    {
      kind: 'deployment.roll_out',
      subjectType: 'Deployment',
      concurrency: 16,
      maxFailures: 8,
      run: async (work) => {
        const subject = await subjectOf(db, 'Deployment', work.operation)
        return subject ? rollOut(tools, work, subject) : movedOn
      },
      // What may run all the same is stopped, as far as that can be done now: FAILED means that nothing of it shall run.
      giveUp: async (work, outcome) => {
        const subject = await subjectOf(db, 'Deployment', work.operation)
        if (subject) await stop(tools, work, subject)
        return { kind: 'finish', rule: rule(rules.markDeploymentFailed), outcome }
      },
    },
    {
      kind: 'deployment.stop',
      subjectType: 'Deployment',
      concurrency: 8,
      maxFailures: null,
      run: async (work) => {
        const subject = await subjectOf(db, 'Deployment', work.operation)
        if (!subject) return movedOn
        return ended(await stop(tools, work, subject), rule(rules.markDeploymentStopped), 'stopped')
      },
    },
    {
      kind: 'deployment.tear_down',
      subjectType: 'Deployment',
      concurrency: 8,
      maxFailures: null,
      run: async (work) => {
        const subject = await subjectOf(db, 'Deployment', work.operation)
        if (!subject) return movedOn
        const outcome = await untilDone(work, () =>
          work.call((signal) => driver.remove(refOf(subject), work.fence, signal)),
        )
        return ended(outcome, rule(rules.markDeploymentDeleted), 'nothing of it is left')
      },
    },
    deploymentRestart(tools),
  ]
}

async function rollOut(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  const units = unitsOf(runtimeOf(tools.driver))
  if (subject.state === 'BUILDING') {
    const ready = await prepare(tools, work, subject)
    if (ready.kind !== 'done') return failedOr(tools, work, subject, ready)
    const outcome = 'the image is ready'
    if (!(await work.move(rule(rules.rollOutDeployment), { ...units, outcome }))) return movedOn
  } else if (subject.state !== 'DEPLOYING') return movedOn
  const outcome = await start(tools, work, subject)
  if (outcome.kind !== 'done') return failedOr(tools, work, subject, outcome)
  const { url, instanceId } = outcome.value
  return {
    kind: 'finish',
    rule: rule(rules.markDeploymentHealthy),
    outcome: `healthy at ${url}`,
    values: { url, instanceId, ...units },
  }
}

/** What can be known to be wrong before anything is started. */
async function prepare({ driver, references }: Tools, work: Work, subject: Subject): Promise<Outcome<unknown>> {
  const env = await references(subject)
  if (env.kind !== 'done') return env
  return work.call((signal) => driver.resolveImage(subject.image, signal))
}

/** A roll-out that is refused has failed, and says why; what ran before it is stopped first: FAILED means that nothing runs. */
async function failedOr(tools: Tools, work: Work, subject: Subject, outcome: Outcome<unknown>): Promise<Ending> {
  const failed = rule(rules.markDeploymentFailed)
  if (outcome.kind !== 'refused') return ended(outcome, failed, '')
  const { reason } = outcome
  return whenStopped(tools, work, subject, reason, { kind: 'finish', rule: failed, outcome: reason })
}
