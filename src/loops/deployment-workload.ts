// The workload of a deployment: how it is started and stopped under a claim, for whoever rolls out or restarts it. Nothing is
// written down here.
import { type Outcome, unknown } from '../drivers/outcome.ts'
import type { RunningWorkload, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import type { subjectOf } from '../resolvers/operation.ts'
import type { Database } from '../resolvers/transition.ts'
import { discreet } from './discreet.ts'
import { detailOf, type Ending, untilDone, type Work } from './effect.ts'
import type { Filled } from './filled-in.ts'

export type Subject = NonNullable<Awaited<ReturnType<typeof subjectOf<'Deployment'>>>>

export interface Tools {
  readonly db: Database
  readonly driver: RuntimeDriver
  /** The variables with what they refer to filled in. */
  readonly references: (subject: Subject) => Promise<Outcome<Filled>>
}

export const refOf = (subject: Subject): WorkloadRef => ({ subjectId: subject.id, incarnation: subject.incarnation })

/** Makes it run; after a claim whose end is not known what is there is looked at first. */
export async function start(
  { driver, references }: Tools,
  work: Work,
  subject: Subject,
): Promise<Outcome<RunningWorkload>> {
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

export const stop = ({ driver }: Tools, work: Work, subject: Subject): Promise<Outcome<null>> =>
  untilDone(work, () => work.call((signal) => driver.stop(refOf(subject), work.fence, signal)))

/** How a claim ends whose start was refused: what may run all the same is stopped first, since nothing of it shall run then. */
export async function whenStopped(
  tools: Tools,
  work: Work,
  subject: Subject,
  reason: string,
  then: Ending,
): Promise<Ending> {
  const gone = await stop(tools, work, subject)
  if (gone.kind === 'done') return then
  const outcome = `${reason}; what ran before is not stopped yet, ${detailOf(gone)}`
  return { kind: 'postpone', outcome, failed: true }
}
