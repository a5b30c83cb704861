// promoteStack: everything that can be told to be wrong is told before, read only, and leaves the approval as it is; then one
// statement decides. What it could not do, for a change that came in between, is looked at and told from the rows anew.
import { randomBytes } from 'node:crypto'
import type { Context } from '../context.ts'
import { DatabaseFault } from '../db/fault.ts'
import { entityOfId, newId } from '../db/id.ts'
import type { promotionApproval } from '../db/promotion-approval.ts'
import { stack } from '../db/stack.ts'
import { notFound, type Refusal } from '../refusals.ts'
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
import { envValues } from './env.ts'
import { check, promoteInput } from './input.ts'
import { NameMoved, whileNameMoves } from './live-named.ts'
import { type PromotionPlan, planPromotion } from './promotion-plan.ts'
import { approvalOf } from './promotion-read.ts'
import * as why from './promotion-refusal.ts'
import * as rules from './promotion-rule.ts'
import { answeredBefore } from './read-back.ts'
import { secretPlace } from './reference.ts'
import { type Call, type Operation, type Row, type Rule, transition } from './transition.ts'

type Stack = Row<typeof stack>
type Approval = Row<typeof promotionApproval>

export interface PromotionPayload extends Payload {
  /** The target. */
  readonly stack: Stack
  readonly operation: Operation
  /** Null where none was needed. */
  readonly approval: Approval | null
}
export interface PromoteInput extends CallInput {
  readonly stackId: string
  readonly toEnvironment: string
  readonly approvalId?: string | null
}

/** Moves a stack into another environment, atomically, once, as approved. */
export const promoteStack = (context: Context, input: PromoteInput): Promise<Result<PromotionPayload>> =>
  answer(context, 'Stack', 'promoteStack', () => whileNameMoves(() => decide(context, input)))

async function decide(context: Context, input: PromoteInput): Promise<Result<PromotionPayload>> {
  const checked = check(promoteInput, input)
  if (faulty(checked)) return refuseFaults(checked)
  const { toEnvironment, approvalId } = checked.value
  const { db, actor } = context
  const options = callOptions('promoteStack', input, { ...checked, expectedVersion: null })
  const repeated = async () => {
    const before = await answeredBefore(db, { ...causeOf(context), ...options })
    return before && told(await usedBefore(context, 'promoteStack', stack, before))
  }
  const replayed = await repeated()
  if (replayed) return replayed

  if (entityOfId(input.stackId) !== 'Stack') return notFound('stack', input.stackId)
  const approval = approvalId === null ? null : await approvalOf(db, actor.teamId, approvalId)
  if (approvalId !== null && !approval) return notFound('promotionApproval', approvalId)
  // Where nobody has to approve nothing secret is copied: a secret leaves its environment by an approval alone.
  const secretPolicy = toEnvironment === freeEnvironment ? 'KEEP_TARGET' : 'COPY_MISSING'
  const policies = approval ?? { envPolicy: 'COPY_MISSING', secretPolicy }
  const plan = await planPromotion(db, actor.teamId, input.stackId, toEnvironment, policies)
  if (!plan) return notFound('stack', input.stackId)
  const refusal =
    wrongEnvironment('stack', plan) ??
    (approval
      ? await why.unusable(context, approval, plan)
      : toEnvironment === freeEnvironment
        ? null
        : await why.approvalRequired(context, plan)) ??
    seenAnother(plan, checked.expectedVersion) ??
    (await why.preflight(context, plan, approval))
  if (refusal) {
    // What was looked at after the key may be the work of the very call that this one repeats.
    const meanwhile = await repeated()
    if (meanwhile) return meanwhile
    // What was looked at after the approval may be the work of that very approval, which is to be told then.
    const now = approval && (await approvalOf(db, actor.teamId, approval.id))
    if (now?.version !== approval?.version) throw new NameMoved()
    return refusal
  }

  const call = callFor(context, plan, approval, { ...options, seenVersion: checked.expectedVersion })
  const found = await transition(db, ruleFor(plan, approval) as unknown as Rule, call).catch((error: unknown) =>
    constrained(context, error, plan),
  )
  return 'refusal' in found ? found : told(await useOf(context, 'promoteStack', stack, found, approval))
}

/** The caller has seen another version of the source; its health counts here, too. */
const seenAnother = ({ source }: PromotionPlan, expected: number | null): Refusal | null =>
  expected === null || expected === source.version ? null : versionConflict('stack', source, expected)

const paid = ({ target, ...rest }: Used<typeof stack>): PromotionPayload => ({ stack: target, ...rest })
const told = (used: Used<typeof stack> | Refusal): Result<PromotionPayload> => ('refusal' in used ? used : paid(used))

function ruleFor(plan: PromotionPlan, approval: Approval | null) {
  if (approval) return plan.target ? rules.promoteInto : rules.promoteNew
  return plan.target ? rules.promoteFreelyInto : rules.promoteFreelyNew
}

function callFor(
  context: Context,
  plan: PromotionPlan,
  approval: Approval | null,
  { seenVersion, ...options }: Pick<Call, 'idempotency'> & { seenVersion: number | null },
): Call {
  const { sealing, actor } = context
  const { teamId } = actor
  const copies = plan.secretsToCopy.map(({ id, name, revision }) => {
    const copy = newId('Secret')
    const value = sealing.open(plan.sealedSecrets.get(id) ?? '', secretPlace({ teamId, id, revision }))
    return { id: copy, name, value: sealing.seal(value, secretPlace({ teamId, id: copy, revision: 1 })) }
  })
  return {
    ...causeOf(context),
    ...options,
    values: {
      id: approval?.id ?? plan.source.id,
      teamId,
      sourceId: plan.source.id,
      sourceSpec: plan.source.specVersion,
      seenVersion,
      targetId: plan.target?.id ?? newId('Stack'),
      targetSpec: plan.target?.specVersion ?? null,
      toEnvironment: plan.toEnvironment,
      name: plan.source.name,
      digest: plan.digest,
      services: JSON.stringify(plan.source.services),
      incarnation: randomBytes(12).toString('hex'),
      secretSources: JSON.stringify(plan.secretsToCopy.map(({ id, revision }) => ({ id, revision }))),
      secretCopies: JSON.stringify(copies),
      secretsNeeded: plan.secretsNeeded.join(','),
      resourcesNeeded: plan.resourcesNeeded.join(','),
      ...envValues({ set: plan.envToCopy, unset: [], expect: [] }),
    },
  }
}

/** A constraint decided: the plan of the team is full, or a name was taken meanwhile, which is looked at again and told. */
async function constrained(context: Context, error: unknown, plan: PromotionPlan): Promise<Refusal> {
  if (!(error instanceof DatabaseFault)) throw error
  if (error.constraint === 'plan_cap') return why.quotaExceeded(context, plan)
  throw error.constraint === 'stack_name' || error.constraint === 'secret_name' ? new NameMoved() : error
}
