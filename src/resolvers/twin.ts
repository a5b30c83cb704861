// Twins of resources in other environments: asked for and made. Everything that can be told to be wrong is told before, read
// only; then one statement decides, and what it could not do is looked at and told from the rows anew.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { newId } from '../db/id.ts'
import { resource } from '../db/resource.ts'
import { lookAt, notFound, type Refusal, refuse } from '../refusals.ts'
import type { Approval } from './approval-refusal.ts'
import { freeEnvironment, type Used, usedBefore, useOf, wrongEnvironment } from './approval-use.ts'
import {
  answer,
  type CallInput,
  callOptions,
  causeOf,
  faulty,
  type Payload,
  type Result,
  refuseFaults,
  versionConflict,
} from './call.ts'
import { check, promoteInput, requestTwinInput } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { planIsFull } from './plan.ts'
import { approvalOf, type SeenApproval } from './promotion-read.ts'
import { mismatch, notApproved } from './promotion-refusal.ts'
import { askedBefore, bringApproval } from './promotion-request.ts'
import { answeredBefore } from './read-back.ts'
import { newPassword, type Resource } from './resource.ts'
import { type Call, type Operation, type Rule, transition } from './transition.ts'
import { planTwin, refuseTwin, shownTwin, type TwinPlan, waysToTwin } from './twin-plan.ts'
import * as rules from './twin-rule.ts'

export interface TwinRequestPayload extends Payload {
  readonly approval: Approval
  readonly plan: TwinPlan | null
}
export interface TwinRequestInput extends CallInput {
  readonly resourceId: string
  readonly toEnvironment: string
}

/** Asks for the approval of a twin. */
export const requestTwin = (context: Context, input: TwinRequestInput): Promise<Result<TwinRequestPayload>> =>
  answer(context, 'PromotionApproval', 'requestTwin', async (): Promise<Result<TwinRequestPayload>> => {
    const checked = check(requestTwinInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { toEnvironment } = checked.value
    const options = callOptions('requestTwin', input, { ...checked, expectedVersion: null })
    const planOf = () => planTwin(context.db, context.actor.teamId, input.resourceId, toEnvironment)
    const repeated = async () => {
      const before = await askedBefore(context, 'requestTwin', options)
      return before && ('refusal' in before ? before : { ...before, plan: await planOf() })
    }
    const replayed = await repeated()
    if (replayed) return replayed
    const plan = await planOf()
    if (!plan) return notFound('resource', input.resourceId)
    const refusal = await refuseTwin(context, plan)
    if (refusal) return (await repeated()) ?? refusal
    // Nothing is copied, so the policies say nothing here.
    const policies = { envPolicy: 'KEEP_TARGET', secretPolicy: 'KEEP_TARGET' } as const
    const wish = {
      ...policies,
      subjectId: plan.source.id,
      toEnvironment,
      digest: plan.digest,
      plan: shownTwin(plan),
    }
    const made = await bringApproval(context, 'requestTwin', wish, options)
    return 'refusal' in made ? made : { ...made, plan }
  })

export interface TwinPayload extends Payload {
  /** The twin. */
  readonly resource: Resource
  readonly operation: Operation
  /** Null where none was needed. */
  readonly approval: Approval | null
}
export interface TwinInput extends TwinRequestInput {
  readonly approvalId?: string | null
}

/** Makes a twin of a resource in another environment, once, as approved. */
export const twinResource = (context: Context, input: TwinInput): Promise<Result<TwinPayload>> =>
  answer(context, 'Resource', 'twinResource', () => whileNameMoves(() => decide(context, input)))

async function decide(context: Context, input: TwinInput): Promise<Result<TwinPayload>> {
  const checked = check(promoteInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { toEnvironment, approvalId } = checked.value
  const { db, actor } = context
  const options = callOptions('twinResource', input, checked)
  const repeated = async () => {
    const before = await answeredBefore(db, { ...causeOf(context), ...options })
    return before && told(await usedBefore(context, 'twinResource', resource, before))
  }
  const replayed = await repeated()
  if (replayed) return replayed

  // In this order: a twin that the plan shows was not made by an approval that is seen unused after it.
  const plan = await planTwin(db, actor.teamId, input.resourceId, toEnvironment)
  if (!plan) return notFound('resource', input.resourceId)
  const approval = approvalId === null ? null : await approvalOf(db, actor.teamId, approvalId)
  if (approvalId !== null && !approval) return notFound('promotionApproval', approvalId)
  const refusal =
    wrongEnvironment('resource', plan) ??
    (approval ? await unusable(context, approval, plan) : null) ??
    seenAnother(plan, checked.expectedVersion) ??
    (await refuseTwin(context, plan)) ??
    (approval || toEnvironment === freeEnvironment ? null : await approvalRequired(context, plan))
  // What was looked at after the key may be the work of the very call that this one repeats.
  if (refusal) return (await repeated()) ?? refusal

  const rule = (approval ? rules.twinResource : rules.twinFreely) as unknown as Rule
  const found = await transition(db, rule, callFor(context, plan, approval, options)).catch((error: unknown) => {
    if (!(error instanceof DatabaseFault)) throw error
    if (error.constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'resources')
    // Somebody has made it meanwhile: it is looked at again, and told.
    if (error.constraint === 'resource_name') throw new NameMoved()
    throw error
  })
  return 'refusal' in found ? found : told(await useOf(context, 'twinResource', resource, found, approval))
}

/** Why this approval cannot be used for this twin; null when it can. */
async function unusable(context: Context, approval: SeenApproval, plan: TwinPlan): Promise<Refusal | null> {
  const wrong = mismatch(approval, plan, 'TWIN') ?? (await notApproved(context, approval))
  if (wrong || approval.planDigest === plan.digest) return wrong
  return refuse('ApprovalStale', {
    message: `The twin would be another one than was approved. The approval was not used up.`,
    facts: { promotionApproval: approval },
    remedies: [
      ...(await waysToTwin(context, plan)),
      lookAt('promotionApproval', { id: approval.id }, 'See what it is for.'),
    ],
  })
}

/** The caller has seen another version of the source. */
const seenAnother = ({ source }: TwinPlan, expected: number | null): Refusal | null =>
  expected === null || expected === source.version ? null : versionConflict('resource', source, expected)

const approvalRequired = async (context: Context, plan: TwinPlan): Promise<Refusal> =>
  refuse('ApprovalRequired', {
    message: `A twin in ${plan.toEnvironment} needs an approval, and none was named.`,
    remedies: await waysToTwin(context, plan),
  })

function callFor(
  context: Context,
  plan: TwinPlan,
  approval: Approval | null,
  { expectedVersion, ...options }: Pick<Call, 'idempotency' | 'expectedVersion'>,
): Call {
  const twinId = newId('Resource')
  return {
    ...causeOf(context),
    ...options,
    values: {
      id: approval?.id ?? plan.source.id,
      teamId: context.actor.teamId,
      sourceId: plan.source.id,
      seenVersion: expectedVersion ?? null,
      twinId,
      toEnvironment: plan.toEnvironment,
      digest: plan.digest,
      incarnation: randomBytes(12).toString('hex'),
      password: newPassword(context, twinId),
    },
  }
}

const paid = ({ target, ...rest }: Used<typeof resource>): TwinPayload => ({ resource: target, ...rest })
const told = (used: Used<typeof resource> | Refusal): Result<TwinPayload> => ('refusal' in used ? used : paid(used))
