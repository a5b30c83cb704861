// The effects of a deployment: roll-out, stop, teardown. Each claim starts from the row as it is now and may be repeated
// at any point: drivers are idempotent by operation, and their fence and the row's guard keep out what is outdated.
import { type Outcome, refused, unknown, working } from '../drivers/outcome.ts'
import type { RunningWorkload, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import * as rules from '../resolvers/deployment-rule.ts'
import { subjectDeployment } from '../resolvers/operation.ts'
import { type Database, type Rule, transition } from '../resolvers/transition.ts'
import type { Effect, Ending, Work } from './effect.ts'

type Subject = NonNullable<Awaited<ReturnType<typeof subjectDeployment>>>
const movedOn: Ending = { kind: 'moved-on' }
const rule = (of: unknown) => of as Rule

/** The effects that move deployments, on one database and one runtime driver. */
export function deploymentEffects(db: Database, driver: RuntimeDriver): Effect[] {
  const subjectOf = async (work: Work): Promise<Subject | null> => {
    const subject = await subjectDeployment(db, work.operation)
    return subject && subject.generation === work.operation.generation ? subject : null
  }
  return [
    {
      kind: 'deployment.roll_out',
      subjectType: 'Deployment',
      concurrency: 16,
      maxFailures: 8,
      run: async (work) => {
        const subject = await subjectOf(work)
        return subject ? rollOut(db, driver, work, subject) : movedOn
      },
      giveUp: (outcome) => ({ kind: 'finish', rule: rule(rules.markDeploymentFailed), outcome }),
    },
    {
      kind: 'deployment.stop',
      subjectType: 'Deployment',
      concurrency: 8,
      maxFailures: null,
      run: async (work) => {
        const subject = await subjectOf(work)
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
        const subject = await subjectOf(work)
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

async function rollOut(db: Database, driver: RuntimeDriver, work: Work, subject: Subject): Promise<Ending> {
  const { operation } = work
  if (subject.state === 'BUILDING') {
    const ready = await prepare(driver, work, subject)
    if (ready.kind !== 'done') return failedOr(ready)
    const claim = String(operation.claimToken)
    const values = {
      id: subject.id,
      teamId: subject.teamId,
      generation: operation.generation,
      claimToken: claim,
      outcome: 'the image is ready',
    }
    const started = await transition(db, rules.rollOutDeployment, {
      ...work.cause,
      operationId: operation.id,
      values: { ...values, operationId: operation.id },
    })
    if (started.kind !== 'moved') return movedOn
  } else if (subject.state !== 'DEPLOYING') return movedOn
  const outcome = await start(driver, work, subject)
  if (outcome.kind !== 'done') return failedOr(outcome)
  const { url, instanceId } = outcome.value
  return {
    kind: 'finish',
    rule: rule(rules.markDeploymentHealthy),
    outcome: `healthy at ${url}`,
    values: { url, instanceId },
  }
}

/** What can be known to be wrong before anything is started. */
async function prepare(driver: RuntimeDriver, work: Work, subject: Subject): Promise<Outcome<unknown>> {
  for (const [key, { value }] of Object.entries(subject.env)) {
    if (/^(secret|resource):\/\//.test(value)) return refused(`${key} refers to ${value}, which does not exist`)
  }
  return work.call((signal) => driver.resolveImage(subject.image, signal))
}

async function start(driver: RuntimeDriver, work: Work, subject: Subject): Promise<Outcome<RunningWorkload>> {
  const ref = refOf(subject)
  if (work.recovering) {
    const seen = await work.call((signal) => driver.observe(ref, signal))
    if (seen.kind !== 'done') return unknown(`not observed, ${detailOf(seen)}`)
    const { value } = seen
    if (value.state === 'running' && value.generation === work.operation.generation && value.healthy) {
      return { kind: 'done', value: { instanceId: value.instanceId, url: value.url } }
    }
  }
  const env = Object.fromEntries(Object.entries(subject.env).map(([key, { value }]) => [key, value]))
  const spec = { ...ref, name: subject.name, image: subject.image, env }
  return untilDone(work, () => work.call((signal) => driver.ensure(spec, work.fence, signal)))
}

/** Asks again while the driver is at it, and leaves when the work is to be left. */
async function untilDone<T>(work: Work, call: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  for (;;) {
    if (work.leave.aborted) return working(0, 'left before the call')
    const outcome = await call()
    if (outcome.kind !== 'working' || !(await work.pause(outcome.askAgainAfterMs))) return outcome
  }
}

/** A roll-out that is refused has failed, and says why. */
const failedOr = (outcome: Outcome<unknown>): Ending =>
  outcome.kind === 'refused'
    ? { kind: 'finish', rule: rule(rules.markDeploymentFailed), outcome: outcome.reason }
    : ended(outcome, rule(rules.markDeploymentFailed), '')

/** A stop or a teardown that is refused is not done: it is tried until it is. */
function ended(outcome: Outcome<unknown>, done: Rule, words: string): Ending {
  switch (outcome.kind) {
    case 'done':
      return { kind: 'finish', rule: done, outcome: words }
    case 'working':
      return { kind: 'postpone', outcome: outcome.detail, failed: false, afterMs: outcome.askAgainAfterMs }
    case 'refused':
    case 'unreachable':
    case 'stale':
      return { kind: 'postpone', outcome: detailOf(outcome), failed: true }
    case 'unknown':
      return { kind: 'unknown', outcome: outcome.reason, failed: true }
  }
}

const detailOf = (outcome: Exclude<Outcome<never>, { kind: 'done' }>): string =>
  `${outcome.kind}: ${outcome.kind === 'working' ? outcome.detail : outcome.reason}`
