// The effects of a resource. Each claim starts from the row as it is now and may be repeated at any point: provisioners are
// idempotent by operation, and their fence and the row's guard keep out what is outdated. Only a provision may fail for
// good, and then what it made is removed first; everything else is tried until it is done.

import { type Outcome, refused } from '../drivers/outcome.ts'
import type { Provisioner, ResourceConnection, ResourceRef, ResourceSpec } from '../drivers/provision/driver.ts'
import { subjectOf } from '../resolvers/operation.ts'
import * as rules from '../resolvers/resource-rule.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { discreet } from './discreet.ts'
import { detailOf, type Effect, ended, movedOn, rule, untilDone, type Work } from './effect.ts'

type Subject = NonNullable<Awaited<ReturnType<typeof subjectOf<'Resource'>>>>
/** The provisioner of a type. */
export type Provisioners = (type: Subject['type']) => Provisioner

const refOf = (subject: Subject): ResourceRef => ({ subjectId: subject.id, incarnation: subject.incarnation })

/** Failures after which a provision is given up; what it made is removed before the resource becomes FAILED. */
const maxProvisionFailures = 8
const notRemoved = '; what it left is not removed yet'
/** Why it was given up, told once however often its removal is tried. */
const givenUp = (last: string): string => {
  const [reason = ''] = last.split(notRemoved)
  const words = `given up after ${maxProvisionFailures} failures; the last one: `
  return reason.startsWith(words) ? reason : words + reason
}

export function resourceEffects(db: Database, provisioners: Provisioners, sealing: Sealing): Effect[] {
  const specOf = (subject: Subject, sealed: string): ResourceSpec => ({
    ...refOf(subject),
    name: subject.name,
    password: sealing.open(sealed, [subject.teamId, subject.id, 'password']),
  })
  /** A call of the provisioner with a password, of which nothing is told again in what it says. */
  const withSpec = async <T>(
    subject: Subject,
    sealed: string,
    run: (spec: ResourceSpec) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> => {
    const spec = specOf(subject, sealed)
    return discreet([spec.password], () => run(spec))
  }
  const sealedUrl = (subject: Subject, { url }: ResourceConnection) =>
    sealing.seal(url, [subject.teamId, subject.id, 'connection'])

  /** An effect that is tried until it is done: `call` asks the provisioner, `moved` is the move that follows. */
  const certain = (
    kind: string,
    moved: unknown,
    call: (provisioner: Provisioner, subject: Subject, work: Work, signal: AbortSignal) => Promise<Outcome<unknown>>,
    values?: (subject: Subject, value: never) => Record<string, string>,
  ): Effect => ({
    kind,
    subjectType: 'Resource',
    concurrency: 8,
    maxFailures: null,
    run: async (work) => {
      const subject = await subjectOf(db, 'Resource', work.operation)
      if (!subject) return movedOn
      const provisioner = provisioners(subject.type)
      const outcome = await untilDone(work, () => work.call((signal) => call(provisioner, subject, work, signal)))
      const ending = ended(outcome, rule(moved), 'done')
      if (outcome.kind !== 'done' || ending.kind !== 'finish' || !values) return ending
      return { ...ending, values: values(subject, outcome.value as never) }
    },
  })

  return [
    {
      kind: 'resource.provision',
      subjectType: 'Resource',
      concurrency: 8,
      // Bounded by itself, because what it made must be gone before it fails.
      maxFailures: null,
      mayFail: true,
      run: async (work) => {
        const subject = await subjectOf(db, 'Resource', work.operation)
        if (!subject) return movedOn
        const provisioner = provisioners(subject.type)
        const usedUp = work.operation.failures >= maxProvisionFailures
        const answer = usedUp
          ? refused(givenUp(work.operation.outcome ?? 'its worker died'))
          : await untilDone(work, () =>
              work.call((signal) =>
                withSpec(subject, subject.password, (spec) => provisioner.provision(spec, work.fence, signal)),
              ),
            )
        const late = answer.kind === 'working' && work.overdue()
        const outcome = late ? refused(`given up after too long; the last answer: ${answer.detail}`) : answer
        if (outcome.kind === 'done') {
          const ending = ended(outcome, rule(rules.markResourceActive), 'made')
          return ending.kind === 'finish'
            ? { ...ending, values: { connection: sealedUrl(subject, outcome.value) } }
            : ending
        }
        // Stale at the row's own generation: an earlier claim gave up, removed what there was, and did not live to say so.
        // Asking for the removal again proves that; should a later claim be at work instead, it is stale, too.
        const removed = outcome.kind === 'stale'
        if (outcome.kind !== 'refused' && !removed) return ended(outcome, rule(rules.markResourceActive), '')
        const gone = await untilDone(work, () =>
          work.call((signal) => provisioner.deprovision(refOf(subject), work.fence, signal)),
        )
        if (gone.kind !== 'done') {
          return {
            kind: 'postpone',
            outcome: `${outcome.reason}${notRemoved}, ${detailOf(gone)}`,
            failed: true,
          }
        }
        // Of a removal that took more than one claim, the first one knew why.
        const [first] = (work.operation.outcome ?? '').split(notRemoved)
        const why = removed && work.operation.outcome?.includes(notRemoved) ? String(first) : outcome.reason
        return { kind: 'finish', rule: rule(rules.markResourceFailed), outcome: why }
      },
    },
    certain('resource.pause', rules.markResourcePaused, (provisioner, subject, { fence }, signal) =>
      provisioner.pause(refOf(subject), fence, signal),
    ),
    // A release that these supersede would leave the resource read only: ACTIVE means that it can be written to.
    certain('resource.resume', rules.markResourceResumed, async (provisioner, subject, { fence }, signal) => {
      const outcome = await provisioner.resume(refOf(subject), fence, signal)
      return outcome.kind === 'done' ? provisioner.setWritable(refOf(subject), true, fence, signal) : outcome
    }),
    certain(
      'resource.rotate',
      rules.markResourceRotated,
      async (provisioner, subject, { fence }, signal) => {
        const writable = await provisioner.setWritable(refOf(subject), true, fence, signal)
        if (writable.kind !== 'done') return writable
        const next = subject.nextPassword ?? subject.password
        return withSpec(subject, next, (spec) => provisioner.rotate(spec, fence, signal))
      },
      (subject, connection: ResourceConnection) => ({ connection: sealedUrl(subject, connection) }),
    ),
    certain('resource.suspend', rules.markResourceSuspended, (provisioner, subject, { fence }, signal) =>
      provisioner.setWritable(refOf(subject), false, fence, signal),
    ),
    certain('resource.release', rules.markResourceReleased, (provisioner, subject, { fence }, signal) =>
      provisioner.setWritable(refOf(subject), true, fence, signal),
    ),
    certain('resource.deprovision', rules.markResourceDeleted, (provisioner, subject, { fence }, signal) =>
      provisioner.deprovision(refOf(subject), fence, signal),
    ),
  ]
}
