// The subject of an operation as its runner sees it, with all that a driver is told. What runners that begin in one turn ask for
// is read by one statement.
import DataLoader from 'dataloader'
import { sql } from 'drizzle-orm'
import { statementOf } from '../db/prepared.ts'
import { type SubjectType, subjects } from './operation-rule.ts'
import type { Database, Operation, Row } from './transition.ts'
import { listParam } from './transition-statement.ts'

type Subject<S extends SubjectType> = Row<(typeof subjects)[S]>
type Asked = Pick<Operation, 'subjectId' | 'teamId' | 'generation'>
/** The most that one statement is asked for. */
const maxBatchSize = 100

/** Nothing is kept of what was read: only what is asked at the same moment is asked together. */
const readers = new WeakMap<Database, Map<SubjectType, DataLoader<Asked, Subject<SubjectType> | null>>>()

/** The subject of an operation, as it is now, while its generation is still the one that the operation works for. */
export async function subjectOf<S extends SubjectType>(
  db: Database,
  type: S,
  work: Operation,
): Promise<Subject<S> | null> {
  const ofDatabase = readers.get(db) ?? new Map<SubjectType, DataLoader<Asked, Subject<SubjectType> | null>>()
  readers.set(db, ofDatabase)
  const reader =
    ofDatabase.get(type) ?? new DataLoader((asked) => read(db, type, asked), { cache: false, maxBatchSize })
  ofDatabase.set(type, reader)
  return (await reader.load(work)) as Subject<S> | null
}

async function read(
  db: Database,
  type: SubjectType,
  asked: readonly Asked[],
): Promise<(Subject<SubjectType> | null)[]> {
  const name = `read:${type.toLowerCase()}.ofWork`
  const table = subjects[type]
  const statement = statementOf(db, name, () =>
    db
      .select()
      .from(table as never)
      .where(
        sql`(${table.id}, ${table.teamId}) in (select * from unnest(${listParam('ids')}, ${listParam('teamIds')}))`,
      )
      .prepare(name),
  )
  const values = {
    ids: asked.map((work) => work.subjectId).join(','),
    teamIds: asked.map((work) => work.teamId).join(','),
  }
  const rows = new Map(((await statement.execute(values)) as Subject<SubjectType>[]).map((row) => [row.id, row]))
  return asked.map(({ subjectId, teamId, generation }) => {
    const row = rows.get(subjectId)
    return row?.teamId === teamId && row.generation === generation ? row : null
  })
}
