// What must hold after any deaths, whatever was done: the checks that the product has of its own log and rows, and of the world
// outside what its rows cannot know.
import { quoted } from '../../../src/db/columns.ts'
import { deploymentMachine } from '../../../src/lifecycle/deployment.ts'
import { type Machine, statesOfKind } from '../../../src/lifecycle/machine.ts'
import { resourceMachine } from '../../../src/lifecycle/resource.ts'
import { stackMachine } from '../../../src/lifecycle/stack.ts'
import { runCheck } from '../../../src/resolvers/check.ts'
import { eventChecks } from '../../../src/resolvers/event-check.ts'
import { rowChecks } from '../../../src/resolvers/row-check.ts'
import type { Caller, Stage } from './stage.ts'

const subjects: readonly Machine[] = [deploymentMachine, resourceMachine, stackMachine]

/** Everything that is wrong, in words. */
export async function flawsOf(stage: Stage, { teamId }: Caller): Promise<string[]> {
  const { db } = stage
  const flaws: string[] = []
  for (const check of [...eventChecks, ...rowChecks])
    for (const line of (await runCheck(db, check)).lines) flaws.push(`${check.name}: ${line}`)
  flaws.push(...(await unowned(stage, teamId)), ...effectFlaws(stage), ...(await strayFlaws(stage)))
  return flaws
}

/** Whatever is in a passing state has work that will end that. */
async function unowned({ sql }: Stage, teamId: string): Promise<string[]> {
  const all = await Promise.all(
    subjects.map(
      (machine) => sql<
        { id: string; state: string }[]
      >`select id, state from ${sql(machine.table)} s where team_id = ${teamId}
        and state in (${sql.unsafe(quoted(statesOfKind(machine, 'passing')))}) and not exists (select 1 from operation o
          where o.subject_id = s.id and o.generation = s.generation and o.state in ('PENDING', 'RUNNING', 'UNKNOWN'))`,
    ),
  )
  return all.flat().map(({ id, state }) => `${id} is ${state}, and no work is there that would change that`)
}

/** Effects never go back in generation, and nothing is removed twice. */
function* effectFlaws({ outside }: Stage): Generator<string> {
  const newest = new Map<string, number>()
  const removed = new Set<string>()
  for (const { ref, fence, effects, call } of [
    ...outside.runtime.log(),
    ...outside.postgres.log(),
    ...outside.redis.log(),
  ]) {
    if (!ref || !fence || effects.length === 0) continue
    const seen = newest.get(ref.subjectId) ?? 0
    if (fence.generation < seen)
      yield `${call} of generation ${fence.generation} of ${ref.subjectId} came after ${seen}`
    newest.set(ref.subjectId, Math.max(seen, fence.generation))
    if (!effects.some(({ effect }) => effect === 'removed')) continue
    if (removed.has(ref.incarnation)) yield `${ref.incarnation} was removed twice`
    removed.add(ref.incarnation)
  }
}

/** What runs is of a row that is to run, once. */
async function strayFlaws({ sql, outside }: Stage): Promise<string[]> {
  const running = outside.runtime.liveRuns()
  const rows = await sql<
    { id: string; state: string }[]
  >`select id, state from deployment union all select id, state from stack`
  const stateOf = new Map(rows.map(({ id, state }) => [id, state]))
  const seen = new Map<string, number>()
  for (const { incarnation } of running) seen.set(incarnation, (seen.get(incarnation) ?? 0) + 1)
  return [
    ...running.flatMap(({ subjectId }) => {
      const state = stateOf.get(subjectId)
      return state === undefined || ['STOPPED', 'DELETED'].includes(state) ? [`${subjectId} runs, and is ${state}`] : []
    }),
    ...[...seen].filter(([, times]) => times > 1).map(([unit, times]) => `${unit} runs ${times} times`),
  ]
}
