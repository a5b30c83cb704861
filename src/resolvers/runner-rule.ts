// The operation's half of a move that its subject makes with it, the same for all subjects: under its claim while a runner has
// it, or before it was ever taken up when a caller takes it back. Both halves move, or none.
import { eq, type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { operation } from '../db/operation.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { liveOperationStates, operationMachine } from '../lifecycle/operation.ts'
import { stateIs } from './operation-rule.ts'
import type { Part } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

type Half = Part<typeof operation>

const named = {
  table: operation,
  machine: operationMachine,
  where: eq(operation.id, textParam('operationId')) as SQL,
} as const
const claimed = {
  ...named,
  guard: (found: typeof operation) => sql`${found.claimToken} = ${textParam('claimToken')}`,
} as const
const ended = () => ({ finishedAt: sql`clock_timestamp()`, outcome: textParam('outcome'), claimToken: sql`null` })

/** A step of it is done. */
export const progresses: Half = {
  ...claimed,
  action: 'progressOperation',
  set: () => ({ outcome: textParam('outcome') }),
}
/** Its effect is there. */
export const succeeds: Half = { ...claimed, action: 'succeedOperation', set: ended }
/** Its effect will not be there. */
export const fails: Half = { ...claimed, action: 'failOperation', set: ended }

/** A caller takes back work of that kind, at the subject's generation and before it was ever taken up. */
export const isTakenBack = (kind: string): Half => ({
  ...named,
  action: 'cancelOperation',
  guard: (
    found,
  ) => sql`${found.kind} = ${sql.raw(quoted([kind]))} and ${found.generation} = ${intParam('generation')} and ${found.attempt} = 0
      and (${intParam('operationVersion')} is null or ${found.version} = ${intParam('operationVersion')})`,
  set: () => ({ finishedAt: sql`clock_timestamp()`, outcome: sql`'cancelled'` }),
})

/** For the searches of loops: no operation of that subject is live, as the snapshot shows it. */
export const noLiveOperation = (subjectId: SQLWrapper): SQL => sql`not exists (select 1 from ${operation} o
  where o.subject_id = ${subjectId} and ${stateIs(sql`o.state`, ...liveOperationStates)})`

/** What is looked up beside the row, as live work is, is of the snapshot: a row that has changed since is left to the next pass. */
export const isUnmoved =
  (table: LifecycleTable) =>
  (found: Record<'id' | 'version', SQLWrapper>): SQL =>
    sql`${found.version} = (select s.version from ${table} s where s.id = ${found.id})`
