// The effect that starts services of a stack again after their runs are gone: all that are due, side by side. It is tried until
// the runtime answers; a service that cannot become healthy waits for longer each time, and is given up in the end. A redeploy
// or a deletion supersedes it.
import type { Outcome } from '../drivers/outcome.ts'
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import { maxRecentRestarts, type ToBeStarted, toBeStarted } from '../resolvers/instance-check.ts'
import { subjectOf } from '../resolvers/operation.ts'
import * as rules from '../resolvers/stack-restart-rule.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'
import { crashLoop } from './crash-loop.ts'
import { detailOf, type Effect, type Ending, ended, movedOn, rule, type Work } from './effect.ts'
import { filledIn } from './filled-in.ts'
import {
  addressesOf,
  all,
  placedAs,
  type Service,
  type Settled,
  type Subject,
  serviceCalls,
  settle,
  worstOf,
} from './stack-workload.ts'

export interface Tools {
  readonly db: Database
  readonly driver: RuntimeDriver
  readonly sealing: Sealing
}
/** A service that is due. */
interface Due {
  readonly service: Service
  readonly recentRestarts: number
}
interface Ended extends Due {
  readonly settled: Settled
}

const finish = (of: unknown, outcome: string, values: Readonly<Record<string, string>>): Ending => ({
  kind: 'finish',
  rule: rule(of),
  outcome,
  values,
})

export const stackRestart = (tools: Tools): Effect => ({
  kind: 'stack.restart',
  subjectType: 'Stack',
  concurrency: 8,
  maxFailures: null,
  run: async (work) => {
    const subject = await subjectOf(tools.db, 'Stack', work.operation)
    return subject?.state === 'HEALTHY' || subject?.state === 'FAILED' ? restart(tools, work, subject) : movedOn
  },
})

async function restart(tools: Tools, work: Work, subject: Subject): Promise<Ending> {
  const units = await toBeStarted(tools.db, subject)
  const now = units.filter(({ dueInMs }) => dueInMs <= 0)
  if (units.length === 0)
    return finish(rules.markStackRestarted, 'nothing was left to be started again', { placed: '{}' })
  if (now.length === 0) {
    const afterMs = Math.min(...units.map(({ dueInMs }) => dueInMs))
    return { kind: 'postpone', outcome: 'no service is due yet', failed: false, afterMs }
  }
  const due = servicesOf(subject, now)
  const names = due.map(({ service }) => service.name).join(', ')
  const begins = now.some(({ state }) => state === 'OFFLINE')
  const begin = rule(rules.beginStackRestart)
  if (begins && !(await work.move(begin, { outcome: `${names}: being started again` }))) return movedOn
  return startDue(tools, work, subject, due)
}

const servicesOf = (subject: Subject, units: readonly ToBeStarted[]): Due[] =>
  units.flatMap(({ service: name, recentRestarts }) => {
    const service = subject.services.find((each) => each.name === name)
    return service ? [{ service, recentRestarts }] : []
  })

async function startDue(tools: Tools, work: Work, subject: Subject, due: readonly Due[]): Promise<Ending> {
  const { db, driver, sealing } = tools
  const addresses = addressesOf(subject)
  const env = await filledIn(db, sealing, subject, addresses)
  if (env.kind === 'refused') return refusedForAll(tools, work, subject, due, env.reason)
  if (env.kind !== 'done') return ended(env, rule(rules.markStackRestarted), '')
  const outcomes = await all(due.map(({ service }) => settle(driver, work, subject, service, env.value, addresses)))
  const settled = due.flatMap((each, at): Ended[] => {
    const outcome = outcomes[at] as Outcome<Settled>
    return outcome.kind === 'done' ? [{ ...each, settled: outcome.value }] : []
  })
  return conclude(work, subject, settled, worstOf(outcomes))
}

/** Its variables lead nowhere: what may run of it all the same is stopped first. */
async function refusedForAll(
  { driver }: Tools,
  work: Work,
  subject: Subject,
  due: readonly Due[],
  reason: string,
): Promise<Ending> {
  const left = worstOf(await all(due.map(({ service }) => serviceCalls(driver, work, subject, service.name).stop())))
  const outcome = `${reason}; what ran before is not stopped yet`
  if (left.kind !== 'done') return { kind: 'postpone', outcome: `${outcome}, ${detailOf(left)}`, failed: true }
  return conclude(
    work,
    subject,
    due.map((each) => ({ ...each, settled: { state: 'FAILED', reason } })),
    left,
  )
}

/** What has become of all services that were due; those that are open are gone on with at the next claim. */
async function conclude(
  work: Work,
  subject: Subject,
  settled: readonly Ended[],
  worst: Outcome<unknown>,
): Promise<Ending> {
  const healthy = settled.filter((each) => each.settled.state === 'HEALTHY')
  const placed = JSON.stringify(
    Object.assign({}, ...healthy.map((each) => placedAs(subject, each.service.name, each.settled))),
  )
  if (worst.kind !== 'done') {
    const outcome = `${healthy.length} services are healthy again; ${detailOf(worst)}`
    const stored = healthy.length === 0 || (await work.move(rule(rules.progressStackRestart), { placed, outcome }))
    return stored ? ended(worst, rule(rules.markStackRestarted), '') : movedOn
  }
  const failed = settled.flatMap((each) =>
    each.settled.state === 'FAILED' ? [{ ...each, reason: each.settled.reason }] : [],
  )
  const again = failed.filter(({ recentRestarts }) => recentRestarts < maxRecentRestarts)
  const exhausted = failed.filter(({ recentRestarts }) => recentRestarts >= maxRecentRestarts)
  const said = failed.map(({ service, reason }) => `${service.name}: ${reason}`).join('; ')
  if (exhausted.length > 0) {
    const last = healthy.length === 0 && again.length === 0
    const values = givenUp(subject, exhausted)
    if (last) return finish(rules.giveUpStackRestart, said, values)
    if (!(await work.move(rule(rules.giveUpStackServices), { ...values, outcome: said }))) return movedOn
  }
  if (again.length === 0)
    return finish(rules.markStackRestarted, `${healthy.length} services are healthy again`, { placed })
  const refused = Object.fromEntries(again.map(({ service, reason }) => [service.name, reason]))
  return finish(rules.restartStackAgain, said, { placed, refused: JSON.stringify(refused) })
}

function givenUp(subject: Subject, services: readonly (Due & { readonly reason: string })[]) {
  const told = services.map(
    ({ service, recentRestarts, reason }) => [service.name, crashLoop(recentRestarts, reason)] as const,
  )
  const placed = told.map(([name, reason]) => placedAs(subject, name, { state: 'FAILED', reason }))
  return {
    placed: JSON.stringify(Object.assign({}, ...placed)),
    refused: JSON.stringify(Object.fromEntries(told)),
    reason: told.map(([name, reason]) => `${name}: ${reason}`).join('; '),
  }
}
