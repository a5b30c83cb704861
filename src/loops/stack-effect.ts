// The effects of a stack: roll-out and teardown of all its services; a restart has a file of its own. Each claim starts from the
// row as it is now and may be repeated at any point: what has become of a service is stored as soon as it is known, under the
// fence of generation and claim.
import { done, type Outcome } from '../drivers/outcome.ts'
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import { unitsOf } from '../resolvers/instance-rule.ts'
import { subjectOf } from '../resolvers/operation.ts'
import * as rules from '../resolvers/stack-rule.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { detailOf, type Effect, type Ending, ended, movedOn, rule, type Work } from './effect.ts'
import { type Filled, filledIn } from './filled-in.ts'
import { runtimeOf } from './instance-runtime.ts'
import { stackRestart, type Tools } from './stack-restart.ts'
import {
  addressesOf,
  all,
  placedAs,
  type Service,
  type Settled,
  type Subject,
  serviceCalls,
  settle,
  settledOf,
  type Texts,
  worstOf,
} from './stack-workload.ts'

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
        await stopOpen(tools, work, subject)
        return failedWith(tools, subject, [...failuresOf(subject), outcome].join('; '), failedAll(subject, outcome))
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
        const removed = await all([...names].map((name) => serviceCalls(driver, work, subject, name).remove()))
        return ended(worstOf(removed), rule(rules.markStackDeleted), 'nothing of it is left')
      },
    },
    stackRestart(tools),
  ]
}

const openOf = (subject: Subject): Service[] =>
  subject.services.filter((service) => settledOf(subject, service) === null)

const failedAll = (subject: Subject, reason: string): object =>
  Object.assign({}, ...openOf(subject).map(({ name }) => placedAs(subject, name, { state: 'FAILED', reason })))

const failuresOf = (subject: Subject): string[] =>
  subject.services.flatMap((service) => {
    const settled = settledOf(subject, service)
    return settled?.state === 'FAILED' ? [`${service.name}: ${settled.reason}`] : []
  })

const stopOpen = async ({ driver }: Tools, work: Work, subject: Subject): Promise<Outcome<unknown>> =>
  worstOf(await all(openOf(subject).map(({ name }) => serviceCalls(driver, work, subject, name).stop())))

const unitsOfAll = ({ driver }: Tools, { services }: Subject) =>
  unitsOf(
    runtimeOf(driver),
    services.map(({ name }) => name),
  )

const failedWith = (tools: Tools, subject: Subject, outcome: string, more: object = {}): Ending => ({
  kind: 'finish',
  rule: rule(rules.markStackFailed),
  outcome,
  values: { placed: JSON.stringify(more), removed: '', ...unitsOfAll(tools, subject) },
})

async function rollOut(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  if (subject.state !== 'BUILDING' && subject.state !== 'DEPLOYING') return movedOn
  const addresses = subject.state === 'BUILDING' ? await prepare(tools, work, subject) : done(addressesOf(subject))
  if (addresses.kind !== 'done') return endedEarly(tools, work, subject, addresses)
  const env = await filledIn(tools.db, tools.sealing, subject, addresses.value)
  if (env.kind !== 'done') return endedEarly(tools, work, subject, env)
  const deploying = subject.state === 'DEPLOYING' ? subject : await begin(tools, work, subject, addresses.value)
  return deploying ? startAll(tools, work, deploying, env.value, addresses.value) : movedOn
}

const droppedOf = (subject: Subject): string[] => {
  const wanted = new Set(subject.services.map(({ name }) => name))
  return Object.keys(subject.placed).filter((name) => !wanted.has(name))
}

/** Services that are not wanted any more go first; then every service has its address before any of them runs. */
async function prepare({ driver }: Tools, work: Work, subject: Subject): Promise<Outcome<Texts>> {
  const removed = await all(droppedOf(subject).map((name) => serviceCalls(driver, work, subject, name).remove()))
  const left = worstOf(removed)
  // A removal that is refused is not done: it is tried until it is, and then given up.
  if (left.kind === 'refused') return { kind: 'unreachable', reason: left.reason }
  if (left.kind !== 'done') return left
  const addresses: Record<string, string> = {}
  for (const { name } of subject.services) {
    const outcome = await serviceCalls(driver, work, subject, name).reserve()
    if (outcome.kind !== 'done') return outcome
    addresses[name] = outcome.value.url
  }
  return done(addresses)
}

/** Stores the addresses and forgets what was removed; null when the stack or the claim has moved on. */
async function begin(tools: Tools, work: Work, subject: Subject, addresses: Texts): Promise<Subject | null> {
  const entries = Object.entries(addresses).map(([name, address]) => [name, { ...subject.placed[name], address }])
  const placed = Object.fromEntries(entries)
  const values = {
    placed: JSON.stringify(placed),
    removed: droppedOf(subject).join(','),
    ...unitsOfAll(tools, subject),
  }
  const outcome = 'the services are being started'
  return (await work.move(rule(rules.rollOutStack), { ...values, outcome })) ? { ...subject, placed } : null
}

/** All services side by side; what becomes of each is stored as soon as it is known, one after another: they share a row. */
async function startAll(tools: Tools, work: Work, subject: Subject, filled: Filled, addresses: Texts): Promise<Ending> {
  let last: Promise<boolean> = Promise.resolve(true)
  const store = ({ name }: Service, settled: Settled): Promise<boolean> => {
    const units = unitsOf(runtimeOf(tools.driver), [name])
    const values = { placed: JSON.stringify(placedAs(subject, name, settled)), removed: '', ...units }
    const step = () => work.move(rule(rules.progressStack), { ...values, outcome: `${name} is ${settled.state}` })
    last = last.then(step, step)
    return last
  }
  const outcomes = await all(
    subject.services.map(async (service): Promise<Outcome<Settled> | null> => {
      const known = settledOf(subject, service)
      if (known) return done(known)
      const settled = await settle(tools.driver, work, subject, service, filled, addresses)
      return settled.kind !== 'done' || (await store(service, settled.value)) ? settled : null
    }),
  )
  if (outcomes.includes(null)) return movedOn
  const worst = worstOf(outcomes as Outcome<Settled>[])
  if (worst.kind !== 'done') return ended(worst, rule(rules.markStackFailed), '')
  return conclude(tools, subject, outcomes as { value: Settled }[])
}

function conclude(tools: Tools, subject: Subject, outcomes: readonly { value: Settled }[]): Ending {
  const failures = outcomes.flatMap(({ value }, index) =>
    value.state === 'FAILED' ? [`${subject.services[index]?.name}: ${value.reason}`] : [],
  )
  if (failures.length > 0) return failedWith(tools, subject, failures.join('; '))
  const values = unitsOfAll(tools, subject)
  return {
    kind: 'finish',
    rule: rule(rules.markStackHealthy),
    outcome: `${outcomes.length} services are healthy`,
    values,
  }
}

/** Nothing can be started: what is refused for all of them ends the roll-out, and what ran before is stopped first. */
async function endedEarly(tools: Tools, work: Work, subject: Subject, outcome: Outcome<unknown>): Promise<Ending> {
  if (outcome.kind !== 'refused') return ended(outcome, rule(rules.markStackFailed), '')
  const { reason } = outcome
  const left = await stopOpen(tools, work, subject)
  if (left.kind === 'done') return failedWith(tools, subject, reason, failedAll(subject, reason))
  const said = `${reason}; what ran before is not stopped yet, ${detailOf(left)}`
  return { kind: 'postpone', outcome: said, failed: true }
}
