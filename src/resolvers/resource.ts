// What callers may ask of resources. Each function is one mutation: it checks the input, makes one transition, and answers
// with a payload or a typed refusal. Passwords are made here, before the effect, and stored sealed.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { resource } from '../db/resource.ts'
import { type Refusal, refuse } from '../refusals.ts'
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
} from './call.ts'
import { check, nothingElse, resourceInput, resourceTtlInput } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { type Accepted, type ById, type Kind, moveById, replay } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import * as why from './resource-refusal.ts'
import * as rules from './resource-rule.ts'
import { bring, type Operation } from './transition.ts'

export type Resource = why.Resource
export interface ResourcePayload extends Payload {
  readonly resource: Resource
  /** The accepted work; null where the action has no effect outside. */
  readonly operation: Operation | null
}

const kind: Kind<typeof resource, why.ResourceAction> = {
  table: resource,
  entity: 'Resource',
  word: 'resource',
  wrongState: why.wrongState,
}
const payload = ({ row, operation, replayed }: Accepted<typeof resource>): ResourcePayload => ({
  resource: row,
  operation,
  replayed,
})

export const deleteResource = (context: Context, input: ById) =>
  moveById(context, kind, 'deleteResource', rules.deleteResource, nothingElse, input, { payload })

export const pauseResource = (context: Context, input: ById) =>
  moveById(context, kind, 'pauseResource', rules.pauseResource, nothingElse, input, {
    guard: why.rotating('pauseResource'),
    payload,
  })

export const resumeResource = (context: Context, input: ById) =>
  moveById(context, kind, 'resumeResource', rules.resumeResource, nothingElse, input, { payload })

export const rotateResourceCredentials = (context: Context, input: ById) =>
  moveById(context, kind, 'rotateResourceCredentials', rules.rotateResourceCredentials, nothingElse, input, {
    values: () => ({ password: newPassword(context, input.id) }),
    guard: why.rotating('rotateResourceCredentials'),
    payload,
  })

export const setResourceTtl = (context: Context, input: ById & { ttlHours?: number | null }) =>
  moveById(context, kind, 'setResourceTtl', rules.setResourceTtl, resourceTtlInput, input, {
    values: ({ ttlHours }) => ({ ttlHours }),
    payload,
  })

/** What a resource of the standard plan may hold: 1 GiB. */
const standardLimitBytes = 2 ** 30

/** 192 bits, letters and digits only: safe in URLs and in every provider's syntax. */
export const newPassword = (context: Context, resourceId: string) =>
  context.sealing.seal(randomBytes(24).toString('hex'), [context.actor.teamId, resourceId, 'password'])

export interface NewResource extends CallInput {
  readonly type: 'POSTGRES' | 'REDIS'
  readonly name: string
  readonly environment?: string | null
  readonly ttlHours?: number | null
}

/** Makes a resource; it can be connected to once it is ACTIVE. */
export const createResource = (context: Context, input: NewResource): Promise<Result<ResourcePayload>> =>
  answer(context, 'Resource', 'createResource', () => whileNameMoves(() => decideCreate(context, input)))

async function decideCreate(context: Context, input: NewResource): Promise<Result<ResourcePayload>> {
  const checked = check(resourceInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { type, name, environment, ttlHours } = checked.value
  const { teamId } = context.actor
  const id = newId('Resource')
  const incarnation = randomBytes(12).toString('hex')
  const password = newPassword(context, id)
  const call = {
    ...causeOf(context),
    id,
    values: { id, teamId, type, name, environment, ttlHours, incarnation, password, limitBytes: standardLimitBytes },
    ...callOptions('createResource', input, checked),
  }
  const unavailable = context.resourceTypes(type)
  if (unavailable !== null && !(await answeredBefore(context.db, call))) {
    return refuse('ResourceTypeUnavailable', { message: unavailable, facts: { type } })
  }
  const found = await bring(context.db, rules.createResource, call).catch((error: unknown) =>
    constrained(context, error, { environment, name }),
  )
  if ('refusal' in found) return found
  switch (found.kind) {
    case 'moved':
      return { resource: found.row, operation: found.operation, replayed: false }
    case 'replayed':
      return payload(await replay(context, kind, found))
    case 'key-reused':
      return keyReused('createResource', found)
    default:
      throw new Error(`a birth cannot be ${found.kind}`)
  }
}

/** A constraint decided a birth: the name is held, or the plan is full. */
async function constrained(
  { db, actor }: Context,
  error: unknown,
  wanted: { environment: string; name: string },
): Promise<Refusal> {
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'resource_name') {
    const holder = await why.liveNamed(db, actor.teamId, wanted.environment, wanted.name)
    if (!holder) throw new NameMoved()
    return why.nameTaken(holder)
  }
  if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'resources')
  throw error
}
