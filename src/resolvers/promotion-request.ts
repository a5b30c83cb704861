// Asking for an approval: the plan is told from the rows as they are, what would be refused of it is refused here already,
// and what is kept is its digest. Nothing of source or target is touched.
import { sql } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { entityOfId, newId } from '../db/id.ts'
import { type CopyPolicy, promotionApproval } from '../db/promotion-approval.ts'
import { approvalHours, promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { notFound, type Refusal } from '../refusals.ts'
import type { Approval } from './approval-refusal.ts'
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
import { check, promotionInput } from './input.ts'
import { replay } from './move-by-id.ts'
import { type PromotionPlan, planPromotion, shownPlan } from './promotion-plan.ts'
import { refuseRequest } from './promotion-refusal.ts'
import { answeredBefore } from './read-back.ts'
import { bring, type Call, defineBirth } from './transition.ts'
import { jsonParam, textParam } from './transition-statement.ts'

const requestRule = (action: 'requestPromotion' | 'requestTwin', kind: Approval['kind']) =>
  defineBirth({
    table: promotionApproval,
    machine: promotionApprovalMachine,
    name: action,
    action,
    values: {
      id: textParam('id'),
      teamId: textParam('teamId'),
      kind: sql.raw(`'${kind}'`),
      subjectId: textParam('subjectId'),
      toEnvironment: textParam('toEnvironment'),
      envPolicy: textParam('envPolicy'),
      secretPolicy: textParam('secretPolicy'),
      planDigest: textParam('digest'),
      plan: jsonParam('plan'),
      requestedBy: textParam('memberId'),
      expiresAt: sql`clock_timestamp() + ${sql.raw(String(approvalHours))} * interval '1 hour'`,
    },
    data: sql`jsonb_build_object('subject', ${textParam('subjectId')}, 'to', ${textParam('toEnvironment')}, 'digest', ${textParam('digest')})`,
  })
const rules = {
  requestPromotion: requestRule('requestPromotion', 'STACK'),
  requestTwin: requestRule('requestTwin', 'TWIN'),
} as const

/** What an approval is asked for. */
export interface Wish {
  readonly subjectId: string
  readonly toEnvironment: string
  readonly envPolicy: CopyPolicy
  readonly secretPolicy: CopyPolicy
  readonly digest: string
  /** As it is shown with the approval: names and revisions, never values. */
  readonly plan: Record<string, unknown>
}
type Options = Pick<Call, 'idempotency'>

/** Keeps the wish as a PENDING approval of the member who asks. */
export async function bringApproval(
  context: Context,
  action: keyof typeof rules,
  wish: Wish,
  options: Options,
): Promise<{ approval: Approval; replayed: boolean } | Refusal> {
  const { teamId, memberId } = context.actor
  const id = newId('PromotionApproval')
  const values = { ...wish, plan: JSON.stringify(wish.plan), teamId, memberId }
  const found = await bring(context.db, rules[action], { ...causeOf(context), id, values, ...options })
  switch (found.kind) {
    case 'moved':
      return { approval: found.row, replayed: false }
    case 'replayed':
      return approvedBefore(context, found)
    case 'key-reused':
      return keyReused(action, found)
    default:
      throw new Error(`a birth cannot be ${found.kind}`)
  }
}

const approvedBefore = async (context: Context, found: Parameters<typeof replay>[2]) => {
  const { row } = await replay<typeof promotionApproval>(
    context,
    { table: promotionApproval, word: 'promotionApproval' },
    found,
  )
  return { approval: row, replayed: true }
}

/** The approval that an earlier call under the same key was given; null when there was none. */
export async function askedBefore(
  context: Context,
  action: keyof typeof rules,
  options: Options,
): Promise<{ approval: Approval; replayed: boolean } | Refusal | null> {
  const before = await answeredBefore(context.db, { ...causeOf(context), ...options })
  if (!before) return null
  return before.kind === 'key-reused' ? keyReused(action, before) : approvedBefore(context, before)
}

export interface RequestPayload extends Payload {
  readonly approval: Approval
  /** As it is now: in a replay perhaps another one than was asked for. */
  readonly plan: PromotionPlan | null
}
export interface RequestInput extends CallInput {
  readonly stackId: string
  readonly toEnvironment: string
  readonly envPolicy?: CopyPolicy | null
  readonly secretPolicy?: CopyPolicy | null
}

/** Asks for the approval of a promotion as it would be now. */
export const requestPromotion = (context: Context, input: RequestInput): Promise<Result<RequestPayload>> =>
  answer(context, 'PromotionApproval', 'requestPromotion', async (): Promise<Result<RequestPayload>> => {
    const checked = check(promotionInput, input)
    if (faulty(checked)) return refuseFaults(checked)
    const { toEnvironment, ...policies } = checked.value
    const options = callOptions('requestPromotion', input, { ...checked, expectedVersion: null })
    const planOf = () => planPromotion(context.db, context.actor.teamId, input.stackId, toEnvironment, policies)
    const repeated = async () => {
      const before = await askedBefore(context, 'requestPromotion', options)
      return before && ('refusal' in before ? before : { ...before, plan: await planOf() })
    }
    const replayed = await repeated()
    if (replayed) return replayed
    const plan = entityOfId(input.stackId) === 'Stack' ? await planOf() : null
    if (!plan) return notFound('stack', input.stackId)
    const refusal = await refuseRequest(context, plan)
    // What was looked at after the key may be what followed from the very call that this one repeats.
    if (refusal) return (await repeated()) ?? refusal
    const wish = { ...policies, subjectId: plan.source.id, toEnvironment, digest: plan.digest, plan: shownPlan(plan) }
    const made = await bringApproval(context, 'requestPromotion', wish, options)
    return 'refusal' in made ? made : { ...made, plan }
  })
