// What every use of an approval has in common, whether a stack is promoted or a resource gets a twin: where none is needed,
// that it leads elsewhere, and how the one statement's answer becomes what the caller is told.
import { and, eq } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { operation } from '../db/operation.ts'
import type { resource } from '../db/resource.ts'
import type { stack } from '../db/stack.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { type Refusal, validationFailed } from '../refusals.ts'
import { keyReused } from './call.ts'
import { NameMoved } from './live-named.ts'
import { type ApprovalView, approvalOf } from './promotion-read.ts'
import type { Answer, KeyReused, Operation, Replayed, Row } from './transition.ts'

/** The environment into which nothing has to be approved. */
export const freeEnvironment = 'development'

/** Refused: source and target are the same environment. */
export const wrongEnvironment = (
  word: 'stack' | 'resource',
  { source, toEnvironment }: { source: { environment: string }; toEnvironment: string },
): Refusal | null =>
  source.environment === toEnvironment
    ? validationFailed([
        {
          path: ['input', 'toEnvironment'],
          message: `is ${toEnvironment}, where the ${word} is already: name another one`,
        },
      ])
    : null

type Target = typeof stack | typeof resource

/** What came of a use: the target, its operation, and the approval where one was needed. */
export interface Used<T extends Target> {
  readonly target: Row<T>
  readonly operation: Operation
  readonly approval: ApprovalView | null
  readonly replayed: boolean
}

/** What the statement's answer means. Throws `NameMoved` where something changed since it was looked at: look again. */
export async function useOf<T extends Target>(
  context: Context,
  action: 'promoteStack' | 'twinResource',
  table: T,
  found: Answer<LifecycleTable, LifecycleTable>,
  approval: ApprovalView | null,
): Promise<Used<T> | Refusal> {
  switch (found.kind) {
    case 'moved': {
      const work = found.operation as Operation
      const target = (found.also ?? found.born[0] ?? (await targetOf(context, table, work.subjectId))) as Row<T>
      return { target, operation: work, approval: approval && (found.row as ApprovalView), replayed: false }
    }
    case 'replayed':
    case 'key-reused':
      return usedBefore(context, action, table, found)
    case 'missing':
    case 'refused':
      throw new NameMoved()
  }
}

/** The answer that an earlier call under the same key was given, with the objects as they are now. */
export async function usedBefore<T extends Target>(
  context: Context,
  action: 'promoteStack' | 'twinResource',
  table: T,
  before: Replayed | KeyReused,
): Promise<Used<T> | Refusal> {
  if (before.kind === 'key-reused') return keyReused(action, before)
  const { db, actor } = context
  const [work] = await db
    .select()
    .from(operation)
    .where(and(eq(operation.id, String(before.operationId)), eq(operation.teamId, actor.teamId)))
  if (!work) throw new Error(`the replayed operation ${before.operationId} is gone`)
  const approval = await approvalOf(db, actor.teamId, before.subjectId)
  return { target: await targetOf(context, table, work.subjectId), operation: work, approval, replayed: true }
}

async function targetOf<T extends Target>({ db, actor }: Context, table: T, id: string): Promise<Row<T>> {
  const [row] = (await db
    .select()
    .from(table as never)
    .where(and(eq(table.id, id), eq(table.teamId, actor.teamId)))) as Row<T>[]
  if (!row) throw new Error(`what the approval was used for, ${id}, is gone`)
  return row
}
