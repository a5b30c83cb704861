// Operations as callers and the dispatcher see them: retry and cancel for callers; claims, heartbeats and look-ups for
// the dispatcher, which has no SQL of its own.
import { and, eq, sql } from 'drizzle-orm'
import { lackingScope, subjectScope } from '../auth.ts'
import type { Context } from '../context.ts'
import type { deployment } from '../db/deployment.ts'
import { entityOfId } from '../db/id.ts'
import { operation } from '../db/operation.ts'
import type { stack } from '../db/stack.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { deploymentMachine } from '../lifecycle/deployment.ts'
import { liveOperationStates, operationMachine } from '../lifecycle/operation.ts'
import { callInstead, forbidden, lookAt, notFound, type Refusal } from '../refusals.ts'
import {
  answer,
  type CallInput,
  causeOf,
  faulty,
  idempotencyOf,
  illegalState,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
  versionConflict,
} from './call.ts'
import { deploymentsById } from './deployment-read.ts'
import { cancelRollOut, retryRollOut } from './deployment-rule.ts'
import { check, nothingElse } from './input.ts'
import { whileNameMoves } from './live-named.ts'
import { type SubjectType, stateIs, subjects } from './operation-rule.ts'
import { answeredBefore } from './read-back.ts'
import { refuseUnresolved } from './reference-refusal.ts'
import { cancelProvision } from './resource-rule.ts'
import { cancelStackRollOut, retryStackRollOut } from './stack-rule.ts'
import { type Call, type Database, type Operation, type Row, type Rule, transition } from './transition.ts'

export interface OperationPayload extends Payload {
  readonly operation: Operation
}
type ById = CallInput & { readonly id: string }

/** How failed work is repeated and how work that has not begun is taken back, by kind; other kinds never are. */
const retries: Readonly<Record<string, Rule>> = {
  'deployment.roll_out': retryRollOut as unknown as Rule,
  'stack.roll_out': retryStackRollOut as unknown as Rule,
}
const cancels: Readonly<Record<string, Rule>> = {
  'deployment.roll_out': cancelRollOut as unknown as Rule,
  'resource.provision': cancelProvision as unknown as Rule,
  'stack.roll_out': cancelStackRollOut as unknown as Rule,
}
export const isRetriable = (kind: string): boolean => Object.hasOwn(retries, kind)
export const isCancellable = (kind: string): boolean => Object.hasOwn(cancels, kind)

/** Repeats a failed roll-out as a new operation of a new generation. */
export const retryOperation = (context: Context, input: ById) => onOperation(context, 'retryOperation', input)

/** Takes back a roll-out or provision that has not begun; its subject becomes FAILED in the same statement. */
export const cancelOperation = (context: Context, input: ById) => onOperation(context, 'cancelOperation', input)

function onOperation(
  context: Context,
  action: 'retryOperation' | 'cancelOperation',
  input: ById,
): Promise<Result<OperationPayload>> {
  const decide = async (): Promise<Result<OperationPayload>> => {
    const checked = check(nothingElse, input)
    if (faulty(checked)) return refuseFaults(checked)
    const idempotency = idempotencyOf(action, input, checked.idempotencyKey)
    const asked: Call = { ...causeOf(context), ...(idempotency ? { idempotency } : {}) }
    const work = entityOfId(input.id) === 'Operation' ? await find(context, input.id) : null
    // An operation that has ended is not kept for ever; what was won with it meanwhile is still told.
    if (!work) return (await repeat(context, asked, action)) ?? notFound('operation', input.id)
    const scope = subjectScope[work.subjectType as SubjectType]
    const lack = lackingScope(context.actor, scope)
    if (lack) return forbidden(lack)
    const call: Call = {
      ...asked,
      operationId: work.id,
      values: {
        id: work.subjectId,
        teamId: work.teamId,
        generation: work.generation,
        operationVersion: checked.expectedVersion,
      },
      ...(action === 'retryOperation' ? { retryOf: work.id } : {}),
    }
    // A FAILED operation is never left again, so what is read here of a retry is still so when it is decided.
    const stale = checked.expectedVersion !== null && checked.expectedVersion !== work.version
    if (work.state !== startingState[action] || stale) {
      return (await repeat(context, call, action)) ?? refusedNow(context, action, work, checked.expectedVersion)
    }
    const rule = (action === 'retryOperation' ? retries : cancels)[work.kind]
    if (!rule) return (await repeat(context, call, action)) ?? notNow(context, action, work)
    const found = await transition(context.db, rule, call)
    switch (found.kind) {
      case 'moved':
        return { operation: found.operation ?? (found.also as Operation), replayed: false }
      case 'replayed':
        return replay(context, found.operationId ?? work.id)
      case 'key-reused':
        return keyReused(action, found)
      case 'missing':
        return notFound('operation', input.id)
      case 'refused':
        return (
          (action === 'retryOperation' ? await unresolved(context, work, found.found) : null) ??
          refusedNow(context, action, (await find(context, work.id)) ?? work, checked.expectedVersion)
        )
    }
  }
  return answer(context, 'Operation', action, () => whileNameMoves(decide))
}

/** The failed subject is as it was, so its references are what has stopped the retry; null when it has moved on. */
async function unresolved(context: Context, work: Operation, found: Row<LifecycleTable>): Promise<Refusal | null> {
  const subject = found as Row<typeof deployment | typeof stack>
  if (!isRetriable(work.kind) || subject.state !== 'FAILED' || subject.generation !== work.generation) return null
  const services = 'services' in subject ? subject.services.map(({ name }) => name) : []
  return refuseUnresolved(context.db, subject, { [work.subjectType.toLowerCase()]: subject }, services)
}

const startingState = { retryOperation: 'FAILED', cancelOperation: 'PENDING' } as const

async function refusedNow(
  context: Context,
  action: keyof typeof startingState,
  work: Operation,
  expected: number | null,
): Promise<Refusal> {
  const stale = expected !== null && expected !== work.version
  return work.state === startingState[action] && stale
    ? versionConflict('operation', work, expected)
    : notNow(context, action, work)
}

async function find(context: Context, id: string): Promise<Operation | null> {
  const [row] = await context.db
    .select()
    .from(operation)
    .where(and(eq(operation.id, id), eq(operation.teamId, context.actor.teamId)))
  return row ?? null
}

async function repeat(context: Context, call: Call, action: string): Promise<Result<OperationPayload> | null> {
  const before = await answeredBefore(context.db, call)
  if (!before) return null
  if (before.kind === 'key-reused') return keyReused(action, before)
  const id = before.operationId ?? call.operationId
  return id === undefined ? null : replay(context, id)
}

async function replay(context: Context, id: string): Promise<OperationPayload> {
  const row = await find(context, id)
  if (!row) throw new Error(`the replayed operation ${id} is gone`)
  return { operation: row, replayed: true }
}

async function notNow(
  context: Context,
  action: 'retryOperation' | 'cancelOperation',
  work: Operation,
): Promise<Refusal> {
  const passing = operationMachine.states[work.state].kind === 'passing'
  const because =
    action === 'retryOperation'
      ? 'only a FAILED roll-out whose subject is still FAILED at the same generation can be repeated'
      : 'only a roll-out or provision that was never taken up can be cancelled; what ends something never'
  return illegalState(
    'IllegalState',
    `${action} is not possible: the operation ${work.kind} has been ${work.state} since ${work.stateChangedAt.toISOString()}, and ${because}.`,
    { operation: work, action },
    [
      lookAt('operation', { id: work.id }, 'See what became of it.'),
      ...(passing && (await canBeStopped(context, work))
        ? [callInstead('stopDeployment', { id: work.subjectId }, 'Stop the deployment: that supersedes the roll-out.')]
        : []),
    ],
    passing && action === 'retryOperation',
  )
}

/** A roll-out of a deployment that nobody has stopped or ended meanwhile. */
async function canBeStopped({ db }: Context, { kind, teamId, subjectId }: Operation): Promise<boolean> {
  if (kind !== 'deployment.roll_out') return false
  const [subject] = await deploymentsById(db, teamId, [subjectId])
  return (deploymentMachine.moves.stopDeployment.from as readonly string[]).includes(subject?.state ?? '')
}

/** Whether any of these kinds has work due now: one cheap statement for an idle poll. */
export async function isAnythingDue(db: Database, kinds: readonly string[]): Promise<boolean> {
  const rows = await db.execute(sql`/* read:isAnythingDue */ select 1 from operation
    where kind = any(string_to_array(${kinds.join(',')}, ',')) and ${stateIs(operation.state, ...liveOperationStates)} and due_at <= now() limit 1`)
  return rows.length > 0
}

export interface Held {
  readonly id: string
  readonly claimToken: string
}
export interface Lease {
  readonly id: string
  /** False when the row was locked by somebody else: neither renewed nor lost. */
  readonly renewed: boolean
  /** Null when the subject is gone. */
  readonly subjectGeneration: number | null
}

/**
 * Renews the leases that are still ours; what is missing in the answer was lost. Rows that others hold are left alone, so
 * that one of them does not cost all the others their leases. No state changes, so no event.
 */
export async function renewLeases(db: Database, held: readonly Held[], leaseMs: number): Promise<Lease[]> {
  if (held.length === 0) return []
  const running = stateIs(sql`o.state`, 'RUNNING')
  const rows = await db.execute<{ id: string; renewed: boolean; generation: number | null }>(sql`/* renewLeases */
    with held as (select * from jsonb_to_recordset(${JSON.stringify(held)}::text::jsonb) as h(id text, "claimToken" text)),
    ours as (select o.id, o.subject_id from operation o join held h on h.id = o.id where ${running} and o.claim_token = h."claimToken"),
    locked as (select o.id from operation o join held h on h.id = o.id where ${running} and o.claim_token = h."claimToken"
      for no key update of o skip locked),
    renewed as (update operation o set due_at = clock_timestamp() + ${leaseMs}::int * interval '1 millisecond' from locked
      where o.id = locked.id returning o.id)
    select ours.id, renewed.id is not null as renewed, coalesce(
      (select d.generation from deployment d where d.id = ours.subject_id),
      (select r.generation from resource r where r.id = ours.subject_id),
      (select s.generation from stack s where s.id = ours.subject_id)) as generation
    from ours left join renewed on renewed.id = ours.id`)
  return rows.map((row) => ({ id: row.id, renewed: row.renewed, subjectGeneration: row.generation }))
}

/** The subject of an operation, as it is now, while its generation is still the one that the operation works for. */
export async function subjectOf<S extends SubjectType>(
  db: Database,
  subjectType: S,
  work: Operation,
): Promise<Row<(typeof subjects)[S]> | null> {
  const table = subjects[subjectType]
  const [row] = (await db
    .select()
    .from(table as never)
    .where(and(eq(table.id, work.subjectId), eq(table.teamId, work.teamId)))) as Row<(typeof subjects)[S]>[]
  return row && (row as { generation: number }).generation === work.generation ? row : null
}
