// The effects of a stack: roll-out and teardown of all its services. Each claim starts from the row as it is now and may be
// repeated at any point: what has become of a service is stored as soon as it is known, under the fence of generation and claim.
import { done, type Outcome, refused, unknown, unreachable, working } from '../drivers/outcome.ts'
import type { RunningWorkload, RuntimeDriver, WorkloadRef } from '../drivers/runtime/driver.ts'
import { subjectOf } from '../resolvers/operation.ts'
import { resolveEnv } from '../resolvers/reference.ts'
import * as rules from '../resolvers/stack-rule.ts'
import type { Database, Rule } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { detailOf, type Effect, type Ending, ended, untilDone, type Work } from './effect.ts'

type Subject = NonNullable<Awaited<ReturnType<typeof subjectOf<'Stack'>>>>
type Service = Subject['services'][number]
const movedOn: Ending = { kind: 'moved-on' }
const rule = (of: unknown) => of as Rule

interface Tools {
  readonly db: Database
  readonly driver: RuntimeDriver
  readonly sealing: Sealing
}

/** What is stored of a service once it is settled at this generation. */
type Settled =
  | { readonly state: 'HEALTHY'; readonly url: string; readonly instanceId: string }
  | { readonly state: 'FAILED'; readonly reason: string }

/** The effects that move stacks, on one database and one runtime driver. */
export function stackEffects(db: Database, driver: RuntimeDriver, sealing: Sealing): Effect[] {
  const tools: Tools = { db, driver, sealing }
  return [
    {
      kind: 'stack.roll_out',
      subjectType: 'Stack',
      concurrency: 8,
      maxFailures: 8,
      run: async (work) => {
        const subject = await subjectOf(db, 'Stack', work.operation)
        return subject ? rollOut(tools, work, subject) : movedOn
      },
      // What did not become healthy shall not run either: stopped as far as that can be done now.
      giveUp: async (work, outcome) => {
        const subject = await subjectOf(db, 'Stack', work.operation)
        if (!subject) return movedOn
        const open = subject.services.filter((service) => settledOf(subject, service) === null)
        await Promise.all(open.map((service) => stop(tools, work, subject, service.name)))
        const failed = Object.fromEntries(
          open.map(({ name }) => [name, placed(subject, { state: 'FAILED', reason: outcome })]),
        )
        return failedWith(outcome, failed)
      },
    },
    {
      kind: 'stack.tear_down',
      subjectType: 'Stack',
      concurrency: 8,
      maxFailures: null,
      run: async (work) => {
        const subject = await subjectOf(db, 'Stack', work.operation)
        if (!subject) return movedOn
        const names = new Set([...Object.keys(subject.placed), ...subject.services.map(({ name }) => name)])
        const outcomes = await Promise.all([...names].map((name) => remove(tools, work, subject, name)))
        const left = outcomes.find(({ kind }) => kind !== 'done') ?? done(null)
        return ended(left, rule(rules.markStackDeleted), 'nothing of it is left')
      },
    },
  ]
}

/** A service is a workload of its own: its incarnation is the stack's with its name. */
export const serviceRef = (subject: Pick<Subject, 'id' | 'incarnation'>, name: string): WorkloadRef => ({
  subjectId: subject.id,
  incarnation: `${subject.incarnation}-${name}`,
})

const placed = (subject: Subject, settled: Settled) => ({ generation: subject.generation, ...settled })

function settledOf(subject: Subject, { name }: Service): Settled | null {
  const known = subject.placed[name]
  return known?.generation === subject.generation && known.state !== undefined ? (known as Settled) : null
}

const remove = ({ driver }: Tools, work: Work, subject: Subject, name: string): Promise<Outcome<null>> =>
  untilDone(work, () => work.call((signal) => driver.remove(serviceRef(subject, name), work.fence, signal)))

const stop = ({ driver }: Tools, work: Work, subject: Subject, name: string): Promise<Outcome<null>> =>
  untilDone(work, () => work.call((signal) => driver.stop(serviceRef(subject, name), work.fence, signal)))

const failedWith = (outcome: string, more: object = {}): Ending => ({
  kind: 'finish',
  rule: rule(rules.markStackFailed),
  outcome,
  values: { placed: JSON.stringify(more), removed: '' },
})

/** Stores what has become of services; false when the stack or the claim has moved on. */
const progress = (work: Work, placedNow: object, removed: readonly string[], outcome: string): Promise<boolean> =>
  work.move(rule(rules.progressStack), { placed: JSON.stringify(placedNow), removed: removed.join(','), outcome })

async function rollOut(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  if (subject.state === 'BUILDING') {
    if (!(await work.move(rule(rules.rollOutStack), { outcome: 'the services are being started' }))) return movedOn
  } else if (subject.state !== 'DEPLOYING') return movedOn

  const dropped = await removeDropped(tools, work, subject)
  if (dropped) return dropped
  const addresses = await reserveAll(tools, work, subject)
  if (addresses.kind !== 'done') return endedEarly(tools, work, subject, addresses)
  const env = await referencesOf(tools, subject, addresses.value)
  if (env.kind !== 'done') return endedEarly(tools, work, subject, env)

  const outcomes = await Promise.all(
    subject.services.map(async (service): Promise<Outcome<Settled> | null> => {
      const known = settledOf(subject, service)
      if (known) return done(known)
      const settled = await settle(tools, work, subject, service, env.value, addresses.value)
      if (settled.kind !== 'done') return settled
      const told = { [service.name]: placed(subject, settled.value) }
      const moved = await progress(work, told, [], `${service.name} is ${settled.value.state}`)
      return moved ? settled : null
    }),
  )
  if (outcomes.includes(null)) return movedOn
  const open = outcomes.find((outcome) => outcome?.kind !== 'done')
  if (open) return ended(open, rule(rules.markStackFailed), '')
  return conclude(subject, outcomes as { value: Settled }[])
}

function conclude(subject: Subject, outcomes: readonly { value: Settled }[]): Ending {
  const failures = outcomes.flatMap(({ value }, index) =>
    value.state === 'FAILED' ? [`${subject.services[index]?.name}: ${value.reason}`] : [],
  )
  if (failures.length > 0) return failedWith(failures.join('; '))
  return { kind: 'finish', rule: rule(rules.markStackHealthy), outcome: `${outcomes.length} services are healthy` }
}

/** Services that are not wanted any more go first; null when none is left of them. */
async function removeDropped(tools: Tools, work: Work, subject: Subject): Promise<Ending | null> {
  const wanted = new Set(subject.services.map(({ name }) => name))
  const names = Object.keys(subject.placed).filter((name) => !wanted.has(name))
  if (names.length === 0) return null
  const outcomes = await Promise.all(names.map((name) => remove(tools, work, subject, name)))
  const left = outcomes.find(({ kind }) => kind !== 'done')
  if (left) return ended(left, rule(rules.markStackFailed), '')
  return (await progress(work, {}, names, `${names.join(', ')} removed`)) ? null : movedOn
}

/** The address of every service, before any of them runs, so that they can be told of each other. */
async function reserveAll(
  { driver }: Tools,
  work: Work,
  subject: Subject,
): Promise<Outcome<Readonly<Record<string, string>>>> {
  const addresses: Record<string, string> = {}
  for (const { name } of subject.services) {
    const outcome = await untilDone(work, () =>
      work.call((signal) => driver.reserve(serviceRef(subject, name), work.fence, signal)),
    )
    if (outcome.kind !== 'done') return outcome.kind === 'refused' ? refused(`${name}: ${outcome.reason}`) : outcome
    addresses[name] = outcome.value.url
  }
  return done(addresses)
}

/** How soon a stack is tried again that refers to something on its way. */
const notYetMs = 1_000

async function referencesOf(
  { db, sealing }: Tools,
  subject: Subject,
  addresses: Readonly<Record<string, string>>,
): Promise<Outcome<Record<string, string>>> {
  const resolved = await resolveEnv(db, sealing, subject, addresses)
  switch (resolved.kind) {
    case 'resolved':
      return done(resolved.env)
    case 'not-yet':
      return working(notYetMs, resolved.reason)
    case 'unresolved':
      return refused(resolved.reason)
  }
}

/** Nothing can be started: what is refused for all of them ends the roll-out, and what ran before is stopped first. */
async function endedEarly(tools: Tools, work: Work, subject: Subject, outcome: Outcome<unknown>): Promise<Ending> {
  if (outcome.kind !== 'refused') return ended(outcome, rule(rules.markStackFailed), '')
  const { reason } = outcome
  const open = subject.services.filter((service) => settledOf(subject, service) === null)
  const stopped = await Promise.all(open.map(({ name }) => stop(tools, work, subject, name)))
  const left = stopped.find(({ kind }) => kind !== 'done')
  if (left) return notStopped(reason, left)
  return failedWith(
    reason,
    Object.fromEntries(open.map(({ name }) => [name, placed(subject, { state: 'FAILED', reason })])),
  )
}

const notStopped = (reason: string, left: Outcome<unknown>): Ending => ({
  kind: 'postpone',
  outcome: `${reason}; what ran before is not stopped yet, ${left.kind === 'done' ? '' : detailOf(left)}`,
  failed: true,
})

/** One service: healthy, or failed with nothing of it left running. */
async function settle(
  tools: Tools,
  work: Work,
  subject: Subject,
  service: Service,
  env: Readonly<Record<string, string>>,
  addresses: Readonly<Record<string, string>>,
): Promise<Outcome<Settled>> {
  const outcome = await start(tools, work, subject, service, env)
  if (outcome.kind !== 'done' && outcome.kind !== 'refused') return outcome
  const lost = outcome.kind === 'done' && outcome.value.url !== addresses[service.name] && isReferred(subject, service)
  if (outcome.kind === 'done' && !lost) {
    const { url, instanceId } = outcome.value
    return done({ state: 'HEALTHY', url, instanceId })
  }
  const reason =
    outcome.kind === 'refused'
      ? outcome.reason
      : 'its address was lost to a stranger while it started; redeploy the stack'
  const gone = await stop(tools, work, subject, service.name)
  if (gone.kind === 'done') return done({ state: 'FAILED', reason })
  return gone.kind === 'working' || gone.kind === 'stale'
    ? gone
    : unreachable(`${reason}; what ran before is not stopped yet, ${detailOf(gone)}`)
}

const isReferred = (subject: Subject, { name }: Service): boolean =>
  Object.values(subject.env).some(({ value }) => value === `service://${name}`)

async function start(
  { driver }: Tools,
  work: Work,
  subject: Subject,
  service: Service,
  env: Readonly<Record<string, string>>,
): Promise<Outcome<RunningWorkload>> {
  const ref = serviceRef(subject, service.name)
  if (work.recovering) {
    const seen = await work.call((signal) => driver.observe(ref, signal))
    if (seen.kind !== 'done') return unknown(`${service.name} not observed, ${detailOf(seen)}`)
    const { value } = seen
    if (value.state === 'running' && value.generation === work.operation.generation && value.healthy) {
      return done({ instanceId: value.instanceId, url: value.url })
    }
  }
  const image = await work.call((signal) => driver.resolveImage(service.image, signal))
  if (image.kind !== 'done') return image
  const spec = { ...ref, name: `${subject.name}-${service.name}`, image: service.image, env }
  return untilDone(work, () => work.call((signal) => driver.ensure(spec, work.fence, signal)))
}
