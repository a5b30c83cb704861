// How a caller's mutation becomes a transition and its answer a payload or a refusal: the same steps, in the same order,
// for every mutation. Scope, input, id, then the one statement; whatever it answers has exactly one typed form.
import { createHash } from 'node:crypto'
import { type Action, type Actor, lacking } from '../auth.ts'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import {
  type Fault,
  forbidden,
  isRefusal,
  labelOf,
  type Refusal,
  type RefusalName,
  refuse,
  spoken,
  validationFailed,
} from '../refusals.ts'
import type { Checked } from './input.ts'
import type { Call, Idempotency, KeyReused } from './transition.ts'

/** What every input may carry. */
export interface CallInput {
  readonly idempotencyKey?: string | null
  readonly expectedVersion?: string | null
}

/** A payload says whether it is the answer to this call or that of an earlier one under the same key. */
export interface Payload {
  readonly replayed: boolean
}

export type Result<P extends Payload> = P | Refusal

/**
 * Runs a mutation: refuses without the scope, counts what became of it, and turns a database that could not decide into
 * a typed, retryable answer. `repeated` answers a call that won before under its key; it is asked only of a caller that
 * lacks something by now, and must not move anything. Everything else that is thrown is a bug and is masked at the door.
 */
export async function answer<P extends Payload>(
  context: Context,
  entity: string,
  action: Action,
  decide: () => Promise<Result<P>>,
  repeated: () => Promise<Result<P> | null> = async () => null,
): Promise<Result<P>> {
  const missing = lacking(context.actor, action)
  const decided = await (missing ? repeated().then((told) => told ?? forbidden(missing)) : decide()).catch(unavailable)
  const result = isRefusal(decided) ? withinScope(decided, context.actor) : decided
  const outcome = !isRefusal(result) ? 'moved' : result.refusal === 'NotFound' ? 'missing' : labelOf(result.refusal)
  if (!isRefusal(result) && result.replayed) return result
  if (!isRefusal(result)) context.nudge()
  context.metrics.transition(entity, action, outcome)
  return result
}

/** A remedy that this caller may not call is none for it. */
const withinScope = (refusal: Refusal, actor: Actor): Refusal => ({
  ...refusal,
  remedies: refusal.remedies.filter(({ mutation, query }) => {
    const action = mutation ?? (query === null ? null : 'read')
    return action === null || lacking(actor, action as Action) === null
  }),
})

/** The database could not decide: typed, retryable, and true about what is known. */
function unavailable(error: unknown): Refusal {
  if (!(error instanceof DatabaseFault)) throw error
  const retryAfterMs = error.retryAfterMs ?? 1_000
  if (error.kind === 'busy') {
    return refuse('Busy', {
      message: `Somebody else is changing this object; it was not free in time. Nothing was changed. Try again in ${retryAfterMs} ms.`,
      retryAfterMs,
    })
  }
  if (error.kind === 'unavailable') {
    // Spread, so that those who were turned away together do not come back together.
    return tooMuch(Math.round(retryAfterMs * (0.5 + Math.random())))
  }
  if (error.kind === 'unknown-outcome') {
    return refuse('TemporarilyUnavailable', {
      message:
        'The connection to the database was lost while it answered, so it is not known whether the change was made. Repeat the ' +
        'call with the same idempotencyKey to learn it; without one, look at the object first.',
      retryAfterMs,
    })
  }
  throw error
}

const tooMuch = (retryAfterMs: number) =>
  refuse('TemporarilyUnavailable', {
    message: `Too much is asked at once, or the database cannot be reached. Nothing was changed. Try again in ${retryAfterMs} ms.`,
    retryAfterMs,
  })

/** The part of a transition's call that comes from the request. */
export const causeOf = (context: Context): Pick<Call, 'actor' | 'requestId'> => ({
  actor: { kind: context.actor.kind, id: context.actor.id },
  requestId: context.requestId,
})

/** What tells inputs apart: the first is stored, and any of them is the same input. */
export type HashInput = (text: string) => readonly [string, ...string[]]
const sha256: HashInput = (text) => [createHash('sha256').update(text).digest('hex')]

/** The caller's idempotency key with a hash of everything else in the input. */
export function idempotencyOf(
  mutation: string,
  input: object,
  key: string | null,
  hash: HashInput = sha256,
): Idempotency | undefined {
  if (key === null) return undefined
  const { idempotencyKey: _, ...rest } = input as Record<string, unknown>
  const [inputHash, ...otherHashes] = hash(canonical(rest))
  return { mutation, key, inputHash, ...(otherHashes.length > 0 ? { otherHashes } : {}) }
}

/** What a checked input adds to a transition's call. */
export function callOptions(
  mutation: string,
  input: object,
  { idempotencyKey, expectedVersion }: Pick<Checked<unknown>, 'idempotencyKey' | 'expectedVersion'>,
  hash?: HashInput,
): Pick<Call, 'idempotency' | 'expectedVersion'> {
  const idempotency = idempotencyOf(mutation, input, idempotencyKey, hash)
  return { ...(idempotency ? { idempotency } : {}), ...(expectedVersion === null ? {} : { expectedVersion }) }
}

/** Absent, undefined and null are the same input; the order of fields does not matter. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner
    const entries = Object.entries(inner).filter(([, field]) => field !== null && field !== undefined)
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
  })

/** Narrows a checked input, or gives the refusal that names all its faults. */
export const faulty = <T>(checked: Checked<T> | { faults: Fault[] }): checked is { faults: Fault[] } =>
  'faults' in checked

export const refuseFaults = ({ faults }: { faults: Fault[] }) => validationFailed(faults)

export const keyReused = (mutation: string, { firstUsedAt }: KeyReused): Refusal<'IdempotencyKeyReused'> =>
  refuse('IdempotencyKeyReused', {
    message:
      `This idempotency key was first used for ${mutation} at ${firstUsedAt.toISOString()}, with another input. ` +
      'Use a new key for a new wish, and the same input for a repeat.',
    facts: { firstUsedAt },
  })

export const versionConflict = (
  what: string,
  found: { id: string; version: number; state: string },
  expected: number | null,
): Refusal<'VersionConflict'> =>
  refuse('VersionConflict', {
    message: `The ${spoken(what)} is at version ${found.version} now, not ${expected}; its state is ${found.state}. Look at it again, then decide.`,
    remedies: [
      {
        mutation: null,
        query: what,
        arguments: { id: found.id },
        explanation: `Read the ${spoken(what)} as it is now.`,
      },
    ],
    facts: { currentVersion: String(found.version), [what]: found },
  })

/** A passing state is worth asking again about; a resting or ended one is not. */
export const illegalState = (
  name: RefusalName,
  message: string,
  facts: Record<string, unknown>,
  remedies: Refusal['remedies'],
  passing: boolean,
): Refusal =>
  refuse(name, { message, facts, remedies, retryable: passing, ...(passing ? { retryAfterMs: 1_000 } : {}) })
