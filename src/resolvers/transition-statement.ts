// The one statement in which a decision is made and stored: lock the rows, decide from what the lock shows, and let every
// write select FROM that decision (a CTE that matches nothing does not undo its siblings). Built once per rule and named,
// so that the server plans it once. Locks are taken in this order: subject, instances, operation, counters (transition-lock.ts).
import { getTableColumns, type SQL, sql } from 'drizzle-orm'
import { alias, type PgColumn, type PgTable } from 'drizzle-orm/pg-core'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { quoted } from '../db/columns.ts'
import { event } from '../db/event.ts'
import { idempotencyKey } from '../db/idempotency-key.ts'
import { operation } from '../db/operation.ts'
import type { LifecycleTable } from '../db/tables.ts'
import type { Machine, Move } from '../lifecycle/machine.ts'
import { type Count, capStep, closeStep, countSteps } from './transition-counter.ts'
import { type Locked, lockSteps } from './transition-lock.ts'
import type { Birth, Born, Part, Rule, Take } from './transition-rule.ts'
import {
  comma,
  ident,
  insertFrom,
  intParam,
  list,
  listParam,
  literal,
  rowAs,
  textParam,
  unknownColumn,
} from './transition-sql.ts'

export { intParam, jsonParam, listParam, textParam } from './transition-sql.ts'

export function moveOf(part: { machine: Part<LifecycleTable>['machine']; action: string }): Move {
  const move = part.machine.moves[part.action]
  if (!move) throw new Error(`${part.machine.entity} declares no move ${part.action}`)
  return move
}

/** Prepares a rule's statement. Its rows are `{ found, moved, operation, foundAlso, movedAlso, born0, along0 … }`, each null when absent. */
export function prepareRule(db: PostgresJsDatabase, rule: Rule) {
  const { subject, reads, also, carries = [], bears = [] } = rule
  const locked: Locked[] = [{ cte: 'found', part: subject }]
  if (reads) locked.push({ cte: 'found_read', part: reads })
  if (also) locked.push({ cte: 'found_also', part: also as unknown as Part<LifecycleTable> })
  const sources = sql.join(
    locked.map(({ cte }) => ident(cte)),
    comma,
  )
  const carried = carries.map((part, at) => ({ part, from: `found_with_${at}`, cte: `moved_with_${at}` }))
  const conditions = locked.map(({ cte, part }) => decides(part, cte))
  if (rule.called) {
    conditions.push(notYetAnswered)
    conditions.push(sql`(${intParam('expectedVersion')} is null or found.version = ${intParam('expectedVersion')})`)
  }
  const foundRow = rowAs(subject.table, 'found')
  const held = carried.map(({ part, from }) => ({ cte: from, part }))
  // The order of locks: subject, what is part of it, the row that goes with it.
  const ctes: [string, SQL][] = lockSteps([...locked.slice(0, 1), ...held, ...locked.slice(1)], rule.name)
  ctes.push(['go', sql`select found.id as subject_id from ${sources} where ${sql.join(conditions, sql` and `)}`])
  ctes.push(['moved', update(subject, 'found', sources)])
  if (also) ctes.push(['moved_also', update(also, 'found_also', sources)])
  for (const { part, from, cte } of carried)
    ctes.push([cte, update(part, from, sql`${sources}, ${ident(from)}`, decides(part, from))])
  ctes.push(...bears.map((born, at) => bear(born, at, sql`go join found on found.id = go.subject_id`, foundRow)))
  const work = workOfRule(rule)
  if (work) ctes.push(['queued', queue(work, rule.dueAt)])
  const records = [record(subject, 'moved', 'found', work, rule.data?.(foundRow))]
  if (also) records.push(record(also, 'moved_also', 'found_also', work))
  records.push(...carried.map(({ part, from, cte }) => record(part, cte, from, null)))
  if (work) records.push(recordQueued)
  ctes.push(...recordAll([...records, ...bears.map((born, at) => recordBorn(born, at, work))]))
  const released = typeof rule.releases === 'string' ? [{ kind: rule.releases }] : rule.releases
  const own = (takes: readonly Take[] | undefined, by: 1 | -1) => taken('moved', subject.table, takes, 'found', by)
  ctes.push(...countSteps([...own(released, -1), ...own(rule.takes, 1), ...bears.flatMap(takenBorn)]))
  if (rule.closesPlan) ctes.push(['closed', closeStep()])
  if (rule.called)
    ctes.push(['remembered', remember(sql`moved m cross join found`, work !== null, rule.result?.(foundRow))])
  const others = [...carried.map(({ cte }) => cte), ...bears.map((_, at) => `born_${at}`)]
  const counts = others.map((cte, at) => [`along${at}`, sql<number>`(select count(*)::int from ${ident(cte)})`])
  const shown: Shown[] = [
    ['found', 'found', subject.table],
    ['moved', 'moved', subject.table, sql`moved.id = found.id`],
    ...(work
      ? [
          [
            'operation',
            'queued',
            operation,
            work.cte === 'moved' ? sql`queued.subject_id = found.id` : sql`true`,
          ] as const,
        ]
      : []),
    ...(also ? [['foundAlso', 'found_also', also.table, sql`true`] as const] : []),
    ...(also ? [['movedAlso', 'moved_also', also.table, sql`true`] as const] : []),
    ...shownBorn(bears),
  ]
  return read(db, rule.name, ctes, shown, Object.fromEntries(counts))
}

/** Prepares a birth's statement. Its rows are `{ moved, operation, born0 … }`; none when the key was used before. */
export function prepareBirth(db: PostgresJsDatabase, birth: Birth) {
  const move = moveOf(birth)
  const { bears = [] } = birth
  const part: Part<LifecycleTable> = { ...birth, where: sql`true` }
  const values = { state: literal(move.to), stateChangedAt: sql`clock_timestamp()`, ...birth.values }
  const ctes: [string, SQL][] = [
    ['go', sql`/* ${sql.raw(birth.name)} */ select 1 where ${notYetAnswered}`],
    ['moved', sql`${insertFrom(birth.table, values as Record<string, SQL>, sql`go`)} returning ${list(birth.table)}`],
  ]
  const work = workOf([{ cte: 'moved', part }])
  if (work) ctes.push(['queued', queue(work)])
  ctes.push(...bears.map((born, at) => bear(born, at, sql`moved found`, rowAs(birth.table, 'found'))))
  const records = [record(part, 'moved', null, work, birth.data)]
  if (work) records.push(recordQueued)
  ctes.push(...recordAll([...records, ...bears.map((born, at) => recordBorn(born, at, null))]))
  ctes.push(...countSteps([...taken('moved', birth.table, birth.takes), ...bears.flatMap(takenBorn)]))
  if (birth.caps) ctes.push(['caps', capStep(birth.caps)])
  ctes.push(['remembered', remember(sql`moved m`, work !== null, birth.result)])
  return read(db, birth.name, ctes, [
    ['moved', 'moved', birth.table],
    ...(work ? [['operation', 'queued', operation, sql`true`] as const] : []),
    ...shownBorn(bears),
  ])
}

/** Those of which one is born at a time; of many at once only their events tell. */
const shownBorn = (bears: readonly Born[]) =>
  bears.flatMap(({ table, each }, at) => (each ? [] : [[`born${at}`, `born_${at}`, table, sql`true`] as const]))

/** The move that accepts an effect: the CTE that yields its row, and the effect. */
interface Accepts {
  readonly cte: string
  readonly entity: string
  readonly effect: string
}
function workOf(moves: readonly { cte: string; part: { machine: Machine; action: string } }[]): Accepts | null {
  const [work, ...more] = moves.flatMap(({ cte, part }) => {
    const { effect } = moveOf(part)
    return effect ? [{ cte, entity: part.machine.entity, effect }] : []
  })
  if (more.length > 0) throw new Error('of all moves of a rule one has an effect at most')
  return work ?? null
}

const workOfRule = ({ subject, also, bears = [] }: Rule): Accepts | null =>
  workOf([
    { cte: 'moved', part: subject },
    ...(also ? [{ cte: 'moved_also', part: also }] : []),
    ...bears.map((part, at) => ({ cte: `born_${at}`, part })),
  ])

/** Whether the rule accepts an operation for each row that it moves, which then needs an id. */
export const acceptsWork = (rule: Rule): boolean => workOfRule(rule) !== null

/** A row that is born with the move; `source` yields a row, `found`, only when the move is made. */
function bear(born: Born, at: number, source: SQL, found: LifecycleTable): [string, SQL] {
  const values = { state: literal(moveOf(born).to), stateChangedAt: sql`clock_timestamp()`, ...born.values(found) }
  const from = born.each ? sql`${source} cross join ${born.each}` : source
  return [
    `born_${at}`,
    sql`${insertFrom(born.table, values as Record<string, SQL>, from)} returning ${list(born.table)}`,
  ]
}

const recordBorn = (born: Born, at: number, work: Accepts | null) => record(born, `born_${at}`, null, work)

const taken = (
  source: string,
  table: LifecycleTable,
  takes: readonly Take[] = [],
  before = source,
  by: 1 | -1 = 1,
): Count[] =>
  takes.map(({ kind, when }) => ({ source, before, kind, by, when: when?.(rowAs(table, 'r'), rowAs(table, 'b')) }))
const takenBorn = (born: Born, at: number): Count[] => taken(`born_${at}`, born.table, born.takes)

type Shown = readonly [field: string, cte: string, table: PgTable, on?: SQL]

/** Puts the steps together: what the final SELECT shows of which CTE, the first one leading and the rest joined to it. */
function read(
  db: PostgresJsDatabase,
  name: string,
  ctes: readonly (readonly [string, SQL])[],
  shown: readonly Shown[],
  counts: Readonly<Record<string, SQL<number>>> = {},
) {
  const steps = new Map(ctes.map(([cte, body]) => [cte, db.$with(cte, {}).as(body)]))
  const rows = Object.fromEntries(shown.map(([field, cte, table]) => [field, getTableColumns(alias(table, cte))]))
  const [[, first] = ['', ''], ...rest] = shown
  let query = db
    .with(...steps.values())
    .select({ ...rows, ...counts } as typeof rows)
    .from(steps.get(first) as never)
    .$dynamic()
  for (const [, cte, , on] of rest) query = query.leftJoin(steps.get(cte) as never, on)
  return query.prepare(name)
}

const notYetAnswered = sql`not exists (select 1 from ${idempotencyKey} k where k.actor_id = ${textParam('actorId')}
  and k.mutation = ${textParam('mutation')} and k.key = ${textParam('key')})`

function decides(part: Part<LifecycleTable>, source: string): SQL {
  const { from } = moveOf(part)
  if (from === 'birth') throw new Error(`${part.action} is a birth`)
  const state = sql`${ident(source)}.state in (${sql.raw(quoted(from))})`
  return part.guard ? sql`${state} and ${part.guard(rowAs(part.table, source))}` : state
}

function update(part: Part<LifecycleTable>, source: string, sources: SQL, when?: SQL): SQL {
  const move = moveOf(part)
  const columns: Record<string, PgColumn> = getTableColumns(part.table)
  const found = ident(source)
  const assignments = new Map<string, SQL>([['version', sql`${found}.version + 1`]])
  if (move.newGeneration) assignments.set('generation', sql`${found}.generation + 1`)
  if (move.to !== 'same') {
    assignments.set('state', literal(move.to))
    assignments.set('state_changed_at', sql`clock_timestamp()`)
    assignments.set('state_reason', sql`null`)
  }
  for (const [key, value] of Object.entries(part.set?.(rowAs(part.table, source)) ?? {})) {
    assignments.set(columns[key]?.name ?? unknownColumn(part.table, key), value as SQL)
  }
  const set = [...assignments].map(([name, value]) => sql`${ident(name)} = ${value}`)
  return sql`update ${part.table} t set ${sql.join(set, comma)} from go, ${sources}
    where t.id = ${found}.id and go.subject_id = found.id${when ? sql` and ${when}` : sql``} returning ${list(part.table, 't')}`
}

/** The operation is the queue entry. Ids are made by the caller, so that an unknown outcome can be looked up. */
function queue({ cte, entity, effect }: Accepts, dueAt = sql`clock_timestamp()`): SQL {
  const w = ident(cte)
  const values = {
    id: sql`(${listParam('operationIds')})[(row_number() over ())::int]`,
    state: literal('PENDING'),
    stateChangedAt: sql`clock_timestamp()`,
    generation: sql`${w}.generation`,
    teamId: sql`${w}.team_id`,
    kind: literal(effect),
    subjectType: literal(entity),
    subjectId: sql`${w}.id`,
    dueAt,
    retryOf: textParam('retryOf'),
    actor: sql`jsonb_build_object('kind', ${textParam('actorKind')}, 'id', ${textParam('actorId')})`,
    requestId: textParam('requestId'),
  }
  return sql`${insertFrom(operation, values, sql`${w}`)} returning ${list(operation)}`
}

function recordAll(records: readonly (SQL | null)[]): [string, SQL][] {
  const told = records.filter((record) => record !== null)
  if (told.length === 0) return []
  return [
    [
      'recorded',
      sql`insert into ${event} (occurred_at, team_id, subject_type, subject_id, kind, from_state,
  to_state, generation, version, operation_id, data, actor_kind, actor_id, request_id, transition_id)
  select clock_timestamp(), e.*, ${textParam('actorKind')}, ${textParam('actorId')}, ${textParam('requestId')}, ${textParam('transitionId')}
  from (${sql.join(told, sql` union all `)}) e`,
    ],
  ]
}

type Named = { readonly machine: Machine; readonly action: string }

/** What goes with the accepted work names its operation, too; the operation's own event names itself. Null: not told. */
function record(part: Named, moved: string, found: string | null, work: Accepts | null, data?: SQL): SQL | null {
  const { untold } = moveOf(part)
  if (untold === 'always') return null
  const unchanged = untold === 'unchanged' && found !== null
  const { entity, table } = part.machine
  const m = ident(moved)
  const team = table === 'team' ? sql`${m}.id` : sql`${m}.team_id`
  const operationId =
    table === 'operation'
      ? sql`${m}.id`
      : work === null
        ? textParam('operationId')
        : work.cte === moved
          ? sql`(select q.id from queued q where q.subject_id = ${m}.id)`
          : sql`(select min(q.id) from queued q)`
  return sql`select ${team}, ${literal(entity)}, ${m}.id, ${literal(part.action)},
    ${found ? sql`${ident(found)}.state` : sql`null::text`}, ${m}.state, ${m}.generation, ${m}.version, ${operationId}, ${data ?? sql`null::jsonb`}
    from ${m}${found ? sql` join ${ident(found)} on ${ident(found)}.id = ${m}.id` : sql``}${unchanged ? sql` where ${ident(String(found))}.state <> ${m}.state` : sql``}`
}

const recordQueued = sql`select q.team_id, 'Operation', q.id, 'queueOperation', null::text, q.state, q.generation, q.version, q.id, null::jsonb from queued q`

function remember(source: SQL, queued: boolean, result?: SQL): SQL {
  const values = {
    actorId: textParam('actorId'),
    mutation: textParam('mutation'),
    key: textParam('key'),
    inputHash: textParam('inputHash'),
    subjectId: sql`m.id`,
    operationId: queued ? sql`(select q.id from queued q)` : sql`null`,
    result: result ?? sql`null::jsonb`,
    createdAt: sql`now()`,
  }
  return insertFrom(idempotencyKey, values, sql`${source} where ${textParam('key')} is not null`)
}
