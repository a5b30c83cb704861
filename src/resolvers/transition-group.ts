// The statement of a rule for many calls at once: the same steps as for one (transition-statement.ts, transition-record.ts), with
// the calls as rows of a table and what each of them gives as its columns. Each call is decided for itself, on its own subject,
// and all that is accepted is stored together. It waits for nobody: a subject that somebody else holds is left out, and where
// it meets another lock it soon gives up. Of one subject there may be one call only: a row is moved once by a statement.
import { type SQL, sql } from 'drizzle-orm'
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { DatabaseFault } from '../db/fault.ts'
import { operation } from '../db/operation.ts'
import { lockEach } from './transition-lock.ts'
import { caller, queue, record, recordAll, recordQueued, remember } from './transition-record.ts'
import type { Rule } from './transition-rule.ts'
import { columnGiven, comma, givenAs, namesGiven, rowAs, textParam, withColumns } from './transition-sql.ts'
import { accepts, decides, read, type Shown, statementFor, update, workOfRule } from './transition-statement.ts'

/** How long it waits for a lock, in ms: the calls of others ride along. */
const waitsMs = 100

/** What else a rule may have to do with; none of it is told apart by call. */
const alone = ['also', 'reads', 'carries', 'bears', 'takes', 'releases', 'closesPlan'] as const

/** Decides the calls that give these values; rows as of the statement for one, in no order, none for what was not there or not free. */
export type Group = (calls: readonly Readonly<Record<string, unknown>>[]) => Promise<unknown>

/** Prepares it. Throws for a rule that cannot be grouped. */
export function prepareGroup(db: PostgresJsDatabase, rule: Rule): Group {
  const { name, subject } = rule
  const { params } = db
    .select({ id: subject.table.id })
    .from(subject.table as never)
    .where(subject.where)
    .toSQL()
  const byId = namesGiven(params).sort().join() === 'id,teamId'
  const other = alone.find((each) => rule[each] !== undefined)
  if (!rule.called || !byId || subject.batch || other)
    throw new Error(`${name} cannot be grouped: ${other ?? 'its subject is not named by id and team, by a caller'}`)
  const names = namesGiven(statementFor(db, rule).toSQL().params)
  const statement = withColumns(() => groupOf(db, rule, names).prepare(name))
  const given = (values: Readonly<Record<string, unknown>>, each: string) => {
    if (values[each] === undefined)
      throw new DatabaseFault('bug', `no value for ${each} was given`, { statement: name })
    return values[each]
  }
  const rowOf = (values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(names.map((each) => [columnGiven(each), given(values, each)]))
  return async (calls) => statement.execute({ calls: JSON.stringify(calls.map(rowOf)) })
}

function groupOf(db: PostgresJsDatabase, rule: Rule, names: readonly string[]) {
  const { subject } = rule
  const given = sql.join(names.map(givenAs), comma)
  const columns = names.map((each) => sql`${givenAs(each)} text`)
  const found = rowAs(subject.table, 'found')
  const work = workOfRule(rule)
  const ownWork: SQL = work ? sql`(select q.id from queued q where q.subject_id = m.id)` : sql`null`
  const ctes: [string, SQL][] = [
    [
      'calls',
      sql`select c.*, set_config('lock_timeout', '${sql.raw(String(waitsMs))}', true) as waits
        from json_to_recordset(${sql.placeholder('calls')}::text::json) c(${sql.join(columns, comma)})`,
    ],
    ['found', lockEach(subject)],
    [
      'go',
      sql`select found.id as subject_id, ${given} from found join calls on ${givenAs('id')} = found.id
        where ${decides(subject, 'found')} and ${accepts}`,
    ],
    ['moved', update(subject, 'found', sql`found`, undefined, sql`, ${given}`)],
  ]
  if (work) ctes.push(['queued', queue(work, rule.dueAt, textParam('operationIds'))])
  const told = sql`${rule.data?.(found) ?? sql`null::jsonb`}, ${caller}`
  const records = [record(subject, 'moved', 'found', work, told)]
  if (work) records.push(recordQueued(sql`queued q join moved on moved.id = q.subject_id`, sql`null::jsonb, ${caller}`))
  ctes.push(...recordAll(records, sql``))
  ctes.push(['remembered', remember(sql`moved m join found on found.id = m.id`, ownWork, rule.result?.(found))])
  const shown: Shown[] = [
    ['found', 'found', subject.table],
    ['moved', 'moved', subject.table, sql`moved.id = found.id`],
  ]
  if (work) shown.push(['operation', 'queued', operation, sql`queued.subject_id = found.id`])
  return read(db, ctes, shown)
}
