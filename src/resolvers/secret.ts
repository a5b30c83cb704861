// What callers may ask of secrets: keep a value, replace it, erase it. A value comes in, is sealed before the one statement
// that stores it, and is in no answer, event or log; what tells a repeat from another input is a keyed digest, because a
// plain hash of a guessable value would be as good as the value to whoever can read the table.
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { entityOfId, newId } from '../db/id.ts'
import type { secret } from '../db/secret.ts'
import { notFound, type Refusal, refuse } from '../refusals.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  keyReused,
  type Payload,
  type Result,
  refuseFaults,
  versionConflict,
} from './call.ts'
import { type Checked, check } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import { secretPlace } from './reference.ts'
import { deleteSecretInput, setSecretInput } from './secret-input.ts'
import { newestSecretNamed, type SecretView, secretNamed, secretsById } from './secret-read.ts'
import * as rules from './secret-rule.ts'
import { type Answer, bring, type KeyReused, type Replayed, type Row, startsFrom, transition } from './transition.ts'

export interface SecretPayload extends Payload {
  readonly secret: SecretView
}
export interface SetSecretPayload extends SecretPayload {
  /** Whether there was none of that name before. */
  readonly created: boolean
}

export interface SetSecretInput extends CallInput {
  readonly name: string
  readonly environment?: string | null
  readonly value: string
}

/** How often a value is sealed anew because somebody else has set another meanwhile, before the caller is told Busy. */
const sealedAtMost = 8

/** Replaces the value of the live secret of that name, or makes the first one. */
export const setSecret = (context: Context, input: SetSecretInput): Promise<Result<SetSecretPayload>> =>
  answer(context, 'Secret', 'setSecret', () => whileNameMoves(() => decideSet(context, input), sealedAtMost))

async function decideSet(context: Context, input: SetSecretInput): Promise<Result<SetSecretPayload>> {
  const checked = check(setSecretInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { name, environment, value } = checked.value
  const { db, sealing, actor } = context
  const live = await secretNamed(db, actor.teamId, environment, name)
  const { id, revision } = live ?? { id: newId('Secret'), revision: 0 }
  const call = {
    ...causeOf(context),
    id,
    values: {
      id,
      teamId: actor.teamId,
      name,
      environment,
      revision,
      sealed: sealing.seal(value, secretPlace({ teamId: actor.teamId, id, revision: revision + 1 })),
    },
    ...callOptions('setSecret', input, checked, sealing.digests),
  }
  if (!live && checked.expectedVersion !== null) {
    const before = await answeredBefore(db, call)
    return before ? replayed(context, 'setSecret', before) : noneNamed(name, environment)
  }
  const found = await (live
    ? transition(db, rules.setSecret, call)
    : bring(db, rules.createSecret, call).catch((error: unknown) => constrained(context, error)))
  if ('refusal' in found) return found
  switch (found.kind) {
    case 'moved':
      return { secret: shown(found.row), created: !live, replayed: false }
    case 'refused':
      if (found.found.revision === revision && startsFrom(rules.setSecret).includes(found.found.state))
        return stale(found.found, checked) ?? unexplained(id)
      throw new NameMoved()
    case 'missing':
      throw new NameMoved()
    default:
      return replayed(context, 'setSecret', found)
  }
}

/** A constraint decided a first value: somebody else has kept one meanwhile, or the plan is full. */
async function constrained({ db, actor }: Context, error: unknown): Promise<Refusal> {
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'secret_name') throw new NameMoved()
  if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'secrets')
  throw error
}

export interface DeleteSecretInput extends CallInput {
  readonly id?: string | null
  readonly name?: string | null
  readonly environment?: string | null
}

/** Erases the value for good. What runs keeps what it was given; what refers to it does not start any more. */
export const deleteSecret = (context: Context, input: DeleteSecretInput): Promise<Result<SecretPayload>> =>
  answer(context, 'Secret', 'deleteSecret', () => whileNameMoves(() => decideDelete(context, input)))

async function decideDelete(context: Context, input: DeleteSecretInput): Promise<Result<SecretPayload>> {
  const checked = check(deleteSecretInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { db, actor } = context
  const { name } = checked.value
  const environment = checked.value.environment ?? 'development'
  const id = checked.value.id ?? (await secretNamed(db, actor.teamId, environment, String(name)))?.id ?? null
  const call = {
    ...causeOf(context),
    values: { id, teamId: actor.teamId },
    ...callOptions('deleteSecret', input, checked),
  }
  if (id === null) {
    const before = await answeredBefore(db, call)
    return before ? replayed(context, 'deleteSecret', before) : gone(context, environment, String(name))
  }
  if (entityOfId(id) !== 'Secret') return notFound('secret', id)
  const found = await transition(db, rules.deleteSecret, call)
  switch (found.kind) {
    case 'moved':
      return { secret: shown(found.row), replayed: false }
    case 'refused':
      if (!startsFrom(rules.deleteSecret).includes(found.found.state)) return alreadyDeleted(shown(found.found))
      return stale(found.found, checked) ?? unexplained(id)
    case 'missing':
      return notFound('secret', id)
    default:
      return replayed(context, 'deleteSecret', found)
  }
}

/** Nothing live has the name: was there ever one? */
async function gone({ db, actor }: Context, environment: string, name: string): Promise<Refusal> {
  const newest = await newestSecretNamed(db, actor.teamId, environment, name)
  if (!newest) return noneNamed(name, environment)
  if (startsFrom(rules.deleteSecret).includes(newest.state)) throw new NameMoved()
  return alreadyDeleted(newest)
}

const alreadyDeleted = (found: SecretView): Refusal =>
  refuse('SecretAlreadyDeleted', {
    message: `${found.name} in ${found.environment} was deleted at ${found.stateChangedAt.toISOString()}. Nothing more is to be done.`,
    facts: { secret: found },
  })

const noneNamed = (name: string, environment: string): Refusal => notFound('secret', `${name} in ${environment}`)

function stale(found: Row<typeof secret>, { expectedVersion }: Pick<Checked<unknown>, 'expectedVersion'>) {
  return expectedVersion !== null && found.version !== expectedVersion
    ? versionConflict('secret', shown(found), expectedVersion)
    : null
}

function unexplained(id: string): never {
  throw new Error(`${id} was not moved for no reason that is known`)
}

/** What may leave this file: a secret without its sealed value. */
function shown({ value: _value, ...view }: Row<typeof secret>): SecretView {
  return view
}

type Before = Extract<Answer<typeof secret>, Replayed | KeyReused>

/** The answer that an earlier call under the same key was given, with the secret as it is now. */
async function replayed(context: Context, mutation: string, before: Before): Promise<Result<SetSecretPayload>> {
  if (before.kind === 'key-reused') return keyReused(mutation, before)
  const [found] = await secretsById(context.db, context.actor.teamId, [before.subjectId])
  if (!found) throw new Error(`the replayed secret ${before.subjectId} is gone`)
  return { secret: found, created: before.result?.created === true, replayed: true }
}
