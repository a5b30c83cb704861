// Whether accepted work is as promised: one at a time, of a generation that its subject has had, ended once; and whether what is on
// its way has work that will end it.
import { type SQL, sql } from 'drizzle-orm'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { type Machine, statesOfKind } from '../lifecycle/machine.ts'
import { liveOperationStates, type OperationState, soleOperationStates } from '../lifecycle/operation.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import { stackMachine } from '../lifecycle/stack.ts'
import { allOf, type Check, names } from './check.ts'

/** What operations are of. */
const subjects: readonly Machine[] = [deploymentMachine, stackMachine, resourceMachine]
const fromEach = (query: (machine: Machine, entity: SQL, table: SQL) => SQL) =>
  allOf(subjects.map((machine) => query(machine, names([machine.entity]), sql`${sql.identifier(machine.table)}`)))

/** The effects of moves into a state that is only left towards the end: a subject is taken down once. */
const takesDown = subjects.flatMap(({ states, moves }) =>
  Object.values(moves).flatMap(({ to, effect }) =>
    effect && to !== 'same' && states[to]?.kind === 'passing' && (states[to] as { owner: string }).owner === 'teardown'
      ? [effect]
      : [],
  ),
)
const done = names(['SUCCEEDED'] satisfies OperationState[])
const live = names(liveOperationStates)

const operations: Check = {
  name: 'operations',
  steps: {
    subject: fromEach(
      (machine, entity, table) => sql`select ${entity} as entity, id, generation,
        state in (${names(statesOfKind(machine, 'terminal'))}) as ended from ${table}`,
    ),
  },
  looked: sql`select count(*) || ' operations, ' || count(*) filter (where state in (${live})) || ' of them live' from operation`,
  flaws: sql`select format('%s: %s operations of it are carried out at once: %s', subject_id, count(*), string_agg(id, ', ' order by id)) as line
      from operation where state in (${names(soleOperationStates)}) group by subject_id having count(*) > 1
    union all
    select format('%s: was taken down by %s operations: %s', subject_id, count(*), string_agg(id, ', ' order by id)) as line
      from operation where state in (${done}) and kind in (${names(takesDown)}) group by subject_id having count(*) > 1
    union all
    select format('%s: %s', o.id, why) as line from operation o
      left join subject s on s.id = o.subject_id and s.entity = o.subject_type, lateral (select case
        when s.id is null then format('is of %s, which is not there', o.subject_id)
        when o.generation > s.generation then format('is of generation %s of %s, which has come to %s only', o.generation, s.id, s.generation)
        when s.ended and o.state in (${live}) and o.generation = s.generation
          then format('is %s, and %s, which it is to end, has ended', o.state, s.id)
      end as why) flaw where why is not null and o.subject_type in (${names(subjects.map(({ entity }) => entity))})`,
}

/**
 * A move into such a state accepts its operation in the same statement, and what ends the one ends the other; so at each moment all
 * have theirs. One that is lost all the same (a restore, a crash of an older version) is queued again when the deadline of the
 * state is over: until then it is told of and no finding, as in `Query.stuck`.
 */
const passing: Check = {
  name: 'passing',
  steps: {
    passing: fromEach((machine, entity, table) =>
      allOf(
        statesOfKind(machine, 'passing').map((state) => {
          const { deadlineMs } = machine.states[state] as { deadlineMs: number }
          return sql`select ${entity} as entity, id, state, generation, state_changed_at as since,
            state_changed_at < now() - ${sql.raw(String(deadlineMs))} * interval '1 millisecond' as overdue
            from ${table} where state = ${names([state])}`
        }),
      ),
    ),
    judged: sql`select p.*, exists (select 1 from operation o where o.subject_id = p.id and o.generation = p.generation
        and o.state in (${live})) as worked from passing p`,
  },
  looked: sql`select count(*) || ' on their way, ' || count(*) filter (where overdue) || ' past their deadline, '
    || count(*) filter (where not worked) || ' without work' from judged`,
  flaws: sql`select format('%s: is %s since %s, and no live operation of generation %s will change that', id, state,
      to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), generation) as line
    from judged where overdue and not worked order by since, id`,
}

export const workChecks: readonly Check[] = [operations, passing]
