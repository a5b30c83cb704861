// The effects of a deployment: roll-out, stop, teardown. Each claim starts from the row as it is now and may be repeated
// at any point: drivers are idempotent by operation, and their fence and the row's guard keep out what is outdated.

import { type Outcome, unknown } from '../drivers/outcome.ts'
import type { RunningWorkload, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import * as rules from '../resolvers/deployment-rule.ts'
import { subjectOf } from '../resolvers/operation.ts'
import type { Database, Rule } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { discreet } from './discreet.ts'
import { detailOf, type Effect, type Ending, ended, untilDone, type Work } from './effect.ts'
import { type Filled, filledIn } from './filled-in.ts'

type Subject = NonNullable<Awaited<ReturnType<typeof subjectOf<'Deployment'>>>>
const movedOn: Ending = { kind: 'moved-on' }
const rule = (of: unknown) => of as Rule

interface Tools {
  readonly db: Database
  readonly driver: RuntimeDriver
  /** The variables with what they refer to filled in. */
  readonly references: (subject: Subject) => Promise<Outcome<Filled>>
}

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
        if (subject) await untilDone(work, () => work.call((signal) => driver.stop(refOf(subject), work.fence, signal)))
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
        const outcome = await untilDone(work, () =>
          work.call((signal) => driver.stop(refOf(subject), work.fence, signal)),
        )
        return ended(outcome, rule(rules.markDeploymentStopped), 'stopped')
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
  ]
}

const refOf = (subject: Subject): WorkloadRef => ({ subjectId: subject.id, incarnation: subject.incarnation })

async function rollOut(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  if (subject.state === 'BUILDING') {
    const ready = await prepare(tools, work, subject)
    if (ready.kind !== 'done') return failedOr(tools, work, subject, ready)
    if (!(await work.move(rule(rules.rollOutDeployment), { outcome: 'the image is ready' }))) return movedOn
  } else if (subject.state !== 'DEPLOYING') return movedOn
  const outcome = await start(tools, work, subject)
  if (outcome.kind !== 'done') return failedOr(tools, work, subject, outcome)
  const { url, instanceId } = outcome.value
  return {
    kind: 'finish',
    rule: rule(rules.markDeploymentHealthy),
    outcome: `healthy at ${url}`,
    values: { url, instanceId },
  }
}

/** What can be known to be wrong before anything is started. */
async function prepare({ driver, references }: Tools, work: Work, subject: Subject): Promise<Outcome<unknown>> {
  const env = await references(subject)
  if (env.kind !== 'done') return env
  return work.call((signal) => driver.resolveImage(subject.image, signal))
}

async function start({ driver, references }: Tools, work: Work, subject: Subject): Promise<Outcome<RunningWorkload>> {
  const ref = refOf(subject)
  if (work.recovering) {
    const seen = await work.call((signal) => driver.observe(ref, signal))
    if (seen.kind !== 'done') return unknown(`not observed, ${detailOf(seen)}`)
    const { value } = seen
    if (value.state === 'running' && value.generation === work.operation.generation && value.healthy) {
      return { kind: 'done', value: { instanceId: value.instanceId, url: value.url } }
    }
  }
  const env = await references(subject)
  if (env.kind !== 'done') return env
  const spec = { ...ref, name: subject.name, image: subject.image, env: env.value.env }
  return untilDone(work, () =>
    work.call((signal) => discreet(env.value.hidden, () => driver.ensure(spec, work.fence, signal))),
  )
}

/** A roll-out that is refused has failed, and says why; what ran before it is stopped first: FAILED means that nothing runs. */
async function failedOr({ driver }: Tools, work: Work, subject: Subject, outcome: Outcome<unknown>): Promise<Ending> {
  if (outcome.kind !== 'refused') return ended(outcome, rule(rules.markDeploymentFailed), '')
  const gone = await untilDone(work, () => work.call((signal) => driver.stop(refOf(subject), work.fence, signal)))
  return gone.kind === 'done'
    ? { kind: 'finish', rule: rule(rules.markDeploymentFailed), outcome: outcome.reason }
    : {
        kind: 'postpone',
        outcome: `${outcome.reason}; what ran before is not stopped yet, ${detailOf(gone)}`,
        failed: true,
      }
}
