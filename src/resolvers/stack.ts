// What callers may ask of stacks. Each function is one mutation: it checks the input, makes one transition, and answers with
// a payload or a typed refusal. Effects are carried out by the dispatcher, never here.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { type StackService, stack } from '../db/stack.ts'
import { type Fault, type Refusal, validationFailed } from '../refusals.ts'
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
import { type EnvPatch, envValues, mergeCounts } from './env.ts'
import { envRefusal, refuseEnv } from './env-refusal.ts'
import { check, envPatch, nothingElse, redeployStackInput, stackInput } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { type Accepted, type ById, type Kind, moveById, replay } from './move-by-id.ts'
import { planIsFull } from './plan.ts'
import { answeredBefore } from './read-back.ts'
import type { Referring } from './reference.ts'
import { refuseUnresolved } from './reference-refusal.ts'
import { unresolvedConstraint } from './reference-rule.ts'
import * as why from './stack-refusal.ts'
import * as rules from './stack-rule.ts'
import { bring, type Call, type Operation } from './transition.ts'

export type Stack = why.Stack
export interface StackPayload extends Payload {
  readonly stack: Stack
  /** The accepted work; null where the action has no effect outside. */
  readonly operation: Operation | null
}
export interface StackEnvPayload extends StackPayload {
  readonly keysSet: number
  readonly keysDeleted: number
  readonly totalKeys: number
}

const kind: Kind<typeof stack, Parameters<typeof why.wrongState>[1]> = {
  table: stack,
  entity: 'Stack',
  word: 'stack',
  wrongState: (context, action, row) => why.wrongState(context, action, row),
}
/** What is advised instead runs what the caller wants to run. */
const redeployed = (services: readonly StackService[] | null | undefined): typeof kind => ({
  ...kind,
  wrongState: (context, action, row) => why.wrongState(context, action, row, { services }),
})
const payload = ({ row, operation, replayed }: Accepted<typeof stack>): StackPayload => ({
  stack: row,
  operation,
  replayed,
})

export const redeployStack = (
  context: Context,
  input: ById & { services?: readonly StackService[] | null },
): Promise<Result<StackPayload>> =>
  moveById(context, redeployed(input.services), 'redeployStack', rules.redeployStack, redeployStackInput, input, {
    values: ({ services }) => ({ services: services && JSON.stringify(services) }),
    refuseEarly: ({ services }, call) => refuseImages(context, call, services ?? []),
    guard: (row, { services }) => unresolved(context, row, { stack: row }, services ?? row.services),
    payload,
  })

export const deleteStack = (context: Context, input: ById): Promise<Result<StackPayload>> =>
  moveById(context, kind, 'deleteStack', rules.deleteStack, nothingElse, input, { payload })

export const mergeStackEnv = (context: Context, input: ById): Promise<Result<StackEnvPayload>> =>
  moveById(context, kind, 'mergeStackEnv', rules.mergeStackEnv, envPatch, input, {
    values: envValues,
    refuseEarly: ({ set }, call) => refuseEnv(context, call, 'set', set),
    guard: (row, patch) => envRefusal('stack', row, patch),
    payload: (accepted, patch) => ({
      ...payload(accepted),
      ...((accepted.result as Counts | null) ?? {
        ...mergeCounts(accepted.before?.env ?? {}, patch),
        totalKeys: Object.keys(accepted.row.env).length,
      }),
    }),
  })
type Counts = Pick<StackEnvPayload, 'keysSet' | 'keysDeleted' | 'totalKeys'>

/** Images that the runtime cannot run are refused before anything is accepted, unless the call is a repeat of one that won. */
async function refuseImages(
  context: Context,
  call: Call,
  services: readonly Pick<StackService, 'image'>[],
): Promise<Refusal | null> {
  const faults: Fault[] = []
  await Promise.all(
    services.map(async ({ image }, index) => {
      const outcome = await context.images.resolveImage(image, AbortSignal.timeout(5_000))
      // Any doubt is left to the roll-out, which asks again.
      if (outcome.kind !== 'refused') return
      faults.push({
        path: ['input', 'services', String(index), 'image'],
        message: `cannot be run: ${outcome.reason}`,
      })
    }),
  )
  if (faults.length === 0 || (await answeredBefore(context.db, call))) return null
  return validationFailed(faults.sort((a, b) => Number(a.path[2]) - Number(b.path[2])))
}

export interface NewStack extends CallInput {
  readonly name: string
  readonly environment?: string | null
  readonly services: readonly StackService[]
  readonly env?: EnvPatch['set'] | null
}

/** Makes a stack and rolls it out. */
export const createStack = (context: Context, input: NewStack): Promise<Result<StackPayload>> =>
  answer(context, 'Stack', 'createStack', () => whileNameMoves(() => decideCreate(context, input)))

async function decideCreate(context: Context, input: NewStack): Promise<Result<StackPayload>> {
  const checked = check(stackInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { name, environment, services, env } = checked.value
  const id = newId('Stack')
  const call = {
    ...causeOf(context),
    id,
    values: {
      id,
      teamId: context.actor.teamId,
      name,
      environment,
      services: JSON.stringify(services),
      incarnation: randomBytes(12).toString('hex'),
      ...envValues({ set: env, unset: [], expect: [] }),
    },
    ...callOptions('createStack', input, checked),
  }
  const early = (await refuseEnv(context, call, 'env', env)) ?? (await refuseImages(context, call, services))
  if (early) return early
  const found = await bring(context.db, rules.createStack, call).catch((error: unknown) =>
    constrained(context, error, checked.value),
  )
  if ('refusal' in found) return found
  switch (found.kind) {
    case 'moved':
      return { stack: found.row, operation: found.operation, replayed: false }
    case 'replayed':
      return payload(await replay(context, kind, found))
    case 'key-reused':
      return keyReused('createStack', found)
    default:
      throw new Error(`a birth cannot be ${found.kind}`)
  }
}

/** References that lead nowhere, told of the row or of the wish for one. */
const unresolved = (
  context: Context,
  subject: Referring,
  shown: Readonly<Record<string, object>>,
  services: readonly { name: string }[],
) =>
  refuseUnresolved(
    context.db,
    subject,
    shown,
    services.map(({ name }) => name),
  )

interface Wanted {
  readonly environment: string
  readonly name: string
  readonly services: readonly StackService[]
  readonly env: EnvPatch['set']
}

/** A constraint decided a birth: the name is held, the plan is full, or a reference leads nowhere. */
async function constrained(context: Context, error: unknown, wanted: Wanted): Promise<Refusal> {
  const { db, actor } = context
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'stack_name') {
    const holder = await why.liveNamed(db, actor.teamId, wanted.environment, wanted.name)
    if (!holder) throw new NameMoved()
    return why.nameTaken(holder)
  }
  if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'stacks')
  if (error.constraint === unresolvedConstraint) {
    const { environment, env, services } = wanted
    const asked = Object.fromEntries(env.map(({ key, value }) => [key, { value }]))
    return unresolved(context, { teamId: actor.teamId, environment, env: asked }, {}, services)
  }
  throw error
}
