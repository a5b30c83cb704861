// One service of a stack: a workload of its own, whose incarnation is the stack's with its name. How it is started, stopped
// and removed under the stack's claim, and what is stored of it once that is settled. Nothing is written down here.
import { done, type Outcome, unknown, unreachable } from '../drivers/outcome.ts'
import type { RunningWorkload, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import type { subjectOf } from '../resolvers/operation.ts'
import { discreet } from './discreet.ts'
import { detailOf, untilDone, type Work } from './effect.ts'
import type { Filled } from './filled-in.ts'

export type Subject = NonNullable<Awaited<ReturnType<typeof subjectOf<'Stack'>>>>
export type Service = Subject['services'][number]
export type Texts = Readonly<Record<string, string>>

/** What is stored of a service once it is settled at this generation. */
export type Settled =
  | { readonly state: 'HEALTHY'; readonly url: string; readonly instanceId: string }
  | { readonly state: 'FAILED'; readonly reason: string }

/** What has been done of several, as one: what is unknown has to be looked at before anything is done again, so it counts first. */
const gravity: Readonly<Record<Outcome<never>['kind'], number>> = {
  unknown: 3,
  unreachable: 2,
  stale: 2,
  refused: 2,
  working: 1,
  done: 0,
}
export const worstOf = (outcomes: readonly Outcome<unknown>[]): Outcome<unknown> =>
  outcomes.reduce((worst, outcome) => (gravity[outcome.kind] > gravity[worst.kind] ? outcome : worst), done(null))

/** Waits for all of them even when one fails: nothing that a claim has begun goes on after its end. */
export async function all<T>(steps: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(steps)
  return Promise.all(steps)
}

/** The addresses that the services of this generation were told of each other, whoever began with it. */
export const addressesOf = ({ services, placed }: Subject): Texts =>
  Object.fromEntries(services.flatMap(({ name }) => (placed[name]?.address ? [[name, placed[name].address]] : [])))

/** What is stored of a service that has settled. */
export const placedAs = (subject: Subject, name: string, settled: Settled) => ({
  [name]: { address: subject.placed[name]?.address, generation: subject.generation, ...settled },
})

export const serviceRef = (subject: Pick<Subject, 'id' | 'incarnation'>, name: string): WorkloadRef => ({
  subjectId: subject.id,
  incarnation: `${subject.incarnation}-${name}`,
})

/** What has become of a service at the stack's generation; null while that is open. */
export function settledOf(subject: Subject, { name }: Service): Settled | null {
  const known = subject.placed[name]
  return known?.generation === subject.generation && known.state !== undefined ? (known as Settled) : null
}

/** Calls on one service, asked again while the driver is at it; what is not done says which service it is about. */
export function serviceCalls(driver: RuntimeDriver, work: Work, subject: Subject, name: string) {
  const ref = serviceRef(subject, name)
  const asked = async <T>(call: (signal: AbortSignal) => Promise<Outcome<T>>): Promise<Outcome<T>> =>
    named(name, await untilDone(work, () => work.call(call)))
  return {
    reserve: () => asked((signal) => driver.reserve(ref, work.fence, signal)),
    stop: () => asked((signal) => driver.stop(ref, work.fence, signal)),
    remove: () => asked((signal) => driver.remove(ref, work.fence, signal)),
  }
}

function named<T>(name: string, outcome: Outcome<T>): Outcome<T> {
  if (outcome.kind === 'done') return outcome
  if (outcome.kind === 'working') return { ...outcome, detail: `${name}: ${outcome.detail}` }
  return { ...outcome, reason: `${name}: ${outcome.reason}` }
}

/** Starts it: healthy, or failed with nothing of it left running; whatever else is open, and says whose it is. */
export async function settle(
  driver: RuntimeDriver,
  work: Work,
  subject: Subject,
  service: Service,
  filled: Filled,
  addresses: Texts,
): Promise<Outcome<Settled>> {
  const outcome = await start(driver, work, subject, service, filled)
  if (outcome.kind !== 'done' && outcome.kind !== 'refused') return named(service.name, outcome)
  const lost = outcome.kind === 'done' && outcome.value.url !== addresses[service.name] && isReferred(subject, service)
  if (outcome.kind === 'done' && !lost) {
    const { url, instanceId } = outcome.value
    return done({ state: 'HEALTHY', url, instanceId })
  }
  const reason =
    outcome.kind === 'refused'
      ? outcome.reason
      : 'its address was lost to a stranger while it started; redeploy the stack'
  const gone = await serviceCalls(driver, work, subject, service.name).stop()
  if (gone.kind === 'done') return done({ state: 'FAILED', reason })
  return gone.kind === 'working' || gone.kind === 'stale'
    ? gone
    : named(service.name, unreachable(`${reason}; what ran before is not stopped yet, ${detailOf(gone)}`))
}

const isReferred = (subject: Subject, { name }: Service): boolean =>
  Object.values(subject.env).some(({ value }) => value === `service://${name}`)

async function start(
  driver: RuntimeDriver,
  work: Work,
  subject: Subject,
  service: Service,
  { env, hidden }: Filled,
): Promise<Outcome<RunningWorkload>> {
  const ref = serviceRef(subject, service.name)
  if (work.recovering) {
    const seen = await work.call((signal) => driver.observe(ref, signal))
    if (seen.kind !== 'done') return unknown(`not observed, ${detailOf(seen)}`)
    const { value } = seen
    if (value.state === 'running' && value.generation === work.operation.generation && value.healthy) {
      return done({ instanceId: value.instanceId, url: value.url })
    }
  }
  const image = await work.call((signal) => driver.resolveImage(service.image, signal))
  if (image.kind !== 'done') return image
  const spec = { ...ref, name: `${subject.name}-${service.name}`, image: service.image, env }
  return untilDone(work, () => work.call((signal) => discreet(hidden, () => driver.ensure(spec, work.fence, signal))))
}
