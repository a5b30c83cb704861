// Reading back what was decided: for a repeat under an idempotency key, and after a connection that was lost with the
// answer. Fresh statements, so that they see what a statement that waited for a lock could not.
import { and, desc, eq } from 'drizzle-orm'
import { event } from '../db/event.ts'
import { idempotencyKey } from '../db/idempotency-key.ts'
import { operation } from '../db/operation.ts'
import { statementOf } from '../db/prepared.ts'
import type { LifecycleTable } from '../db/tables.ts'
import type { Call, Database, KeyReused, Moved, Replayed, Row } from './transition.ts'
import { textParam } from './transition-statement.ts'

/** What a call that won under this key was told; null when none did. A fresh statement: it sees what a waiter could not. */
export async function answeredBefore(
  db: Database,
  call: Pick<Call, 'actor' | 'idempotency'>,
): Promise<Replayed | KeyReused | null> {
  const { idempotency, actor } = call
  if (!idempotency) return null
  const statement = statementOf(db, 'read:answeredBefore', () =>
    db
      .select()
      .from(idempotencyKey)
      .where(
        and(
          eq(idempotencyKey.actorId, textParam('actorId')),
          eq(idempotencyKey.mutation, textParam('mutation')),
          eq(idempotencyKey.key, textParam('key')),
        ),
      )
      .prepare('read:answeredBefore'),
  )
  const { mutation, key } = idempotency
  const [stored] = await statement.execute({ actorId: actor.id, mutation, key })
  if (!stored) return null
  if (![idempotency.inputHash, ...(idempotency.otherHashes ?? [])].includes(stored.inputHash))
    return { kind: 'key-reused', firstUsedAt: stored.createdAt }
  return { kind: 'replayed', subjectId: stored.subjectId, operationId: stored.operationId, result: stored.result }
}

/** A statement whose answer was lost, by the ids that were made for it here. */
export interface Lost {
  readonly subjectId: string
  readonly operationId: string
  readonly transitionId: string
}

/** After a lost connection: did the statement commit? Its event says so, under the id that was made for it here. */
export async function lookUpLost<T extends LifecycleTable, U extends LifecycleTable>(
  db: Database,
  lost: Lost,
  table: T,
): Promise<Moved<T, U> | null> {
  // Waits for the lost statement to end, should the server still be at it.
  await db
    .select({ id: table.id })
    .from(table as never)
    .where(eq(table.id, lost.subjectId))
    .for('no key update')
  // Who asked by name does not know the subject's id, but its operation does.
  const [queued] = await db
    .select({ subjectId: operation.subjectId })
    .from(operation)
    .where(eq(operation.id, lost.operationId))
  const traceOf = async (subjectId: string) => {
    const [trace] = await db
      .select()
      .from(event)
      .where(and(eq(event.subjectId, subjectId), eq(event.transitionId, lost.transitionId)))
      .orderBy(desc(event.id))
      .limit(1)
    return trace
  }
  const trace = (await traceOf(lost.subjectId)) ?? (queued && (await traceOf(queued.subjectId)))
  if (!trace) return null
  const { subjectId } = trace
  const [row] = (await db
    .select()
    .from(table as never)
    .where(eq(table.id, subjectId))) as Row<T>[]
  if (!row) return null
  const [work] = trace.operationId ? await db.select().from(operation).where(eq(operation.id, trace.operationId)) : []
  return { kind: 'moved', before: null, row, also: null, operation: work ?? null, born: [], data: trace.data }
}
