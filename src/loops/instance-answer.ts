// What follows from the answer about a run. Gone: its instance goes OFFLINE and its restart is accepted in one statement, guarded
// by all that was captured. Running: its health is noted, many at once, and a state follows from several checks in a row. Whatever
// else is said, nothing.
import type { InstanceObservation } from '../drivers/runtime/driver.ts'
import * as deployment from '../resolvers/deployment-restart-rule.ts'
import { type Askable, maxRecentRestarts, type Note, noteAnswers } from '../resolvers/instance-check.ts'
import * as check from '../resolvers/instance-check-rule.ts'
import * as stack from '../resolvers/stack-restart-rule.ts'
import { type Cause, type Database, type Rule, transition, transitionEach } from '../resolvers/transition.ts'
import { atMost } from './at-most.ts'
import { storable } from './claim.ts'
import type { Told } from './count.ts'
import { crashLoop } from './crash-loop.ts'

export type Verdict = 'moved' | 'unchanged' | 'skipped' | 'deferred'

/** Decisions that are under way at once: a part of the connections, so that a host that dies takes them from nobody else. */
const decisionsAtOnce = 4
const notesAtOnce = 200

interface Running extends Note {
  readonly detail: string | null
}

/** Says what follows from answers, one by one; the returned function throws what the database could not do. */
export function judge(
  db: Database,
  cause: Cause,
  told: Told,
  signal: AbortSignal,
): (one: Askable, answer: InstanceObservation | null) => Promise<Verdict> {
  const decide = atMost(decisionsAtOnce)
  const note = grouped((notes: readonly Running[]) => noteAll(db, cause, told, notes))

  async function move(given: unknown, values: Readonly<Record<string, string | number | null>>) {
    const rule = given as Rule
    const answer = await transition(db, rule, { ...cause, values })
    if (answer.kind === 'moved') told(rule, 1)
    return answer
  }

  async function gone(one: Askable, said: string): Promise<Verdict> {
    // What was heard of too late is decided by the next pass, which asks again.
    if (signal.aborted) return 'deferred'
    const { subjectId: id, teamId, generation, service, instanceId } = one
    const again = one.recentRestarts < maxRecentRestarts
    const reason = storable(again ? said : crashLoop(one.recentRestarts, said))
    const captured = { teamId, instance: one.id, instanceId, reason }
    const rules =
      one.subjectType === 'Stack'
        ? [stack.restartStack, stack.giveUpStack]
        : [deployment.restartDeployment, deployment.giveUpDeployment]
    const answer = await move(rules[again ? 0 : 1], { ...captured, id, generation, service })
    if (answer.kind === 'moved') return 'moved'
    if (answer.kind !== 'refused' || answer.found.generation <= generation) return 'unchanged'
    return (await move(check.offlineOutdatedInstance, captured)).kind === 'moved' ? 'moved' : 'unchanged'
  }

  return async (one, answer) => {
    switch (answer?.state) {
      case 'gone':
        return decide(() => gone(one, answer.reason))
      case 'running':
        return note({ ...one, healthy: answer.healthy, detail: answer.detail })
      default:
        return 'skipped'
    }
  }
}

/** Notes them all, and makes the moves that follow; answers for each what became of it. */
async function noteAll(db: Database, cause: Cause, told: Told, notes: readonly Running[]): Promise<Verdict[]> {
  const noted = new Map((await noteAnswers(db, notes, 'skip')).map((each) => [each.id, each]))
  const left = notes.filter(({ id }) => !noted.has(id))
  if (left.length > 0) {
    // Another replica that looks for what to take holds what stands beside it for that moment; who holds it for longer, keeps it.
    const more = await noteAnswers(db, left, 'wait').catch(() => [])
    for (const each of more) noted.set(each.id, each)
  }
  const moved = new Set<string>()
  const follow = async (given: unknown, follows: (note: Running, failedChecks: number) => boolean) => {
    const those = notes.filter((each) => follows(each, noted.get(each.id)?.failedChecks ?? 0))
    if (those.length === 0) return
    const facts = those.map(({ id, instanceId, healthy, detail }) => {
      const said = healthy ? null : storable(detail ?? 'its health check failed')
      return [id, { instanceId, detail: said }]
    })
    const values = { ids: those.map(({ id }) => id).join(','), told: JSON.stringify(Object.fromEntries(facts)) }
    const rows = await transitionEach(db, given as Rule, { ...cause, values }, those.length)
    for (const { row } of rows) moved.add((row as { id: string }).id)
    if (rows.length > 0) told(given as Rule, rows.length)
  }
  const { checksInARow } = check
  await follow(check.degradeInstance, ({ state }, failed) => state === 'ONLINE' && failed >= checksInARow)
  await follow(check.recoverInstance, ({ state }, failed) => state === 'DEGRADED' && failed <= -checksInARow)
  await follow(check.markInstanceOnline, ({ state }, failed) => state === 'STARTING' && failed < 0)
  return notes.map(({ id }) => (moved.has(id) ? 'moved' : 'unchanged'))
}

/** One statement for all that come while the one before is under way: alone when little is to do, many when much is. */
function grouped<T, R>(all: (items: readonly T[]) => Promise<R[]>): (item: T) => Promise<R> {
  const waiting: { readonly item: T; readonly told: PromiseWithResolvers<R> }[] = []
  let isRunning = false
  async function run(): Promise<void> {
    isRunning = true
    for (let group = waiting.splice(0, notesAtOnce); group.length > 0; group = waiting.splice(0, notesAtOnce)) {
      try {
        const results = await all(group.map(({ item }) => item))
        group.forEach(({ told }, at) => {
          told.resolve(results[at] as R)
        })
      } catch (error) {
        for (const { told } of group) told.reject(error)
      }
    }
    isRunning = false
  }
  return (item) => {
    const told = Promise.withResolvers<R>()
    waiting.push({ item, told })
    if (!isRunning) void run()
    return told.promise
  }
}
