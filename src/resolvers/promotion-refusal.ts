// Why a promotion was not made, told read only and before anything is changed: the approval stays as it is and can be used
// once the cause is mended.
import { and, eq } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { operation } from '../db/operation.ts'
import { planUsage } from '../db/team.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import {
  advice,
  callInstead,
  lookAt,
  type Refusal,
  type RefusalName,
  type Remedy,
  refuse,
  validationFailed,
} from '../refusals.ts'
import { wrongEnvironment } from './approval-use.ts'
import { maxEnvBytes } from './env.ts'
import { membersById } from './member-read.ts'
import { planIsFull } from './plan.ts'
import { type PromotionPlan, planPromotion } from './promotion-plan.ts'
import { type ApprovalView, openApprovalOf, type SeenApproval } from './promotion-read.ts'
import { unresolved } from './promotion-unresolved.ts'
import * as stackWhy from './stack-refusal.ts'
import { planTwin, waysToTwin } from './twin-plan.ts'

type Approval = ApprovalView

const look = (approval: Approval, why = 'See what became of it.') =>
  lookAt('promotionApproval', { id: approval.id }, why)
const about = (
  name: RefusalName,
  approval: Approval,
  message: string,
  remedies: Refusal['remedies'],
  more: object = {},
) => refuse(name, { message, facts: { promotionApproval: approval, ...more }, remedies })

type Asked = 'promoteStack' | 'requestPromotion'

/** Source or target is on its way out: told before anything else of them, and before that the plan is another one now. */
async function refuseDeleting(
  context: Context,
  { source, ending }: PromotionPlan,
  asked: Asked = 'promoteStack',
): Promise<Refusal | null> {
  const stack = liveStackStates.includes(source.state) ? ending : source
  return stack && stackWhy.wrongState(context, 'promoteStack', stack, { asked })
}

/** What promoteStack would refuse of the plan itself. */
async function unfit(context: Context, plan: PromotionPlan, asked: Asked): Promise<Refusal | null> {
  const refusal = wrongEnvironment('stack', plan) ?? (await preflight(context, plan, null, asked))
  // Room can be made before the approval is used; until then the plan says what is lacking.
  return refusal?.refusal === 'QuotaExceeded' ? null : refusal
}

/** Why no approval of the plan is asked for: what promoteStack would refuse, and a plan that changes nothing. */
export async function refuseRequest(context: Context, plan: PromotionPlan): Promise<Refusal | null> {
  const { source, target, isEmpty, toEnvironment } = plan
  const refusal = await unfit(context, plan, 'requestPromotion')
  if (refusal) return refusal
  if (!isEmpty || !target) return null
  return refuse('NothingToPromote', {
    message: `${target.name} in ${toEnvironment} has all that the stack in ${source.environment} has. Nothing is to be approved.`,
    facts: { stack: target },
    remedies: [lookAt('stack', { id: target.id }, 'Look at the target.')],
  })
}

/** What leads to an approval, best first: one that can be used now, one that waits for a decision, the call that asks for one. */
export async function waysToApproval(context: Context, plan: PromotionPlan): Promise<Remedy[]> {
  if (await refuseRequest(context, plan)) return []
  const { source, toEnvironment, envPolicy, secretPolicy, digest } = plan
  const known = await openApprovalOf(context.db, source.teamId, source.id, digest)
  if (known?.state === 'APPROVED') {
    const input = { stackId: source.id, toEnvironment, approvalId: known.id }
    const use = callInstead('promoteStack', input, 'Use the approval of this plan that is there.')
    return (await preflight(context, plan, null)) ? [] : [use]
  }
  if (known) return [lookAt('promotionApproval', { id: known.id }, 'One is asked for already: somebody decides on it.')]
  const input = { stackId: source.id, toEnvironment, envPolicy, secretPolicy }
  return [callInstead('requestPromotion', input, 'Ask for the approval of the plan as it is now.')]
}

/** No approval was named: what no approval would help against is told first. */
export async function approvalRequired(context: Context, plan: PromotionPlan): Promise<Refusal> {
  const refusal = await unfit(context, plan, 'promoteStack')
  if (refusal) return refusal
  const { target, toEnvironment, isEmpty } = plan
  const needed = `A promotion into ${toEnvironment} needs an approval, and none was named.`
  if (isEmpty && target) {
    const message = `${needed} There is nothing to ask for: ${target.name} in ${toEnvironment} has all already.`
    return refuse('ApprovalRequired', {
      message,
      remedies: [lookAt('stack', { id: target.id }, 'Look at the target.')],
    })
  }
  return refuse('ApprovalRequired', {
    message: needed,
    remedies: [...(await waysToApproval(context, plan)), advice('Somebody with the scope approve approves it.')],
  })
}

/** What leads to another approval like this one, which cannot be used any more. */
export async function askAgain(context: Context, row: Approval): Promise<readonly Remedy[]> {
  const { db } = context
  const { teamId, subjectId, toEnvironment } = row
  if (row.kind === 'TWIN') {
    const plan = await planTwin(db, teamId, subjectId, toEnvironment)
    return plan ? waysToTwin(context, plan) : []
  }
  const plan = await planPromotion(db, teamId, subjectId, toEnvironment, row)
  return plan ? waysToApproval(context, plan) : []
}

export const stale = async (context: Context, approval: Approval, plan: PromotionPlan): Promise<Refusal> =>
  about(
    'ApprovalStale',
    approval,
    'Source, target or secrets have changed since this plan was approved: what it would do now is another plan. The approval was not used up.',
    await waysToApproval(context, plan),
  )

/** The approval is for another subject, environment or kind than what is planned; null when it is for that. */
export function mismatch(
  approval: Approval,
  { source, toEnvironment }: { source: { id: string }; toEnvironment: string },
  kind: Approval['kind'],
): Refusal | null {
  if (approval.kind === kind && approval.subjectId === source.id && approval.toEnvironment === toEnvironment)
    return null
  const of = `${approval.kind === 'STACK' ? 'the promotion' : 'a twin'} of ${approval.subjectId} into ${approval.toEnvironment}`
  return about('ApprovalMismatch', approval, `The approval is for ${of}, not for this. It was not used up.`, [
    look(approval, 'See what it is for.'),
  ])
}

/** Why this approval cannot be used for this plan; null when it can. */
export const unusable = async (
  context: Context,
  approval: SeenApproval,
  plan: PromotionPlan,
): Promise<Refusal | null> =>
  mismatch(approval, plan, 'STACK') ??
  (await notApproved(context, approval)) ??
  (await refuseDeleting(context, plan)) ??
  (approval.planDigest === plan.digest ? null : stale(context, approval, plan))

/** Why an approval that is for the right thing cannot be used; null when its state is right. */
export async function notApproved(context: Context, approval: SeenApproval): Promise<Refusal | null> {
  const { db } = context
  const { state, stateChangedAt, expiresAt } = approval
  const since = stateChangedAt.toISOString()
  if (state === 'EXECUTED') {
    const [used] = await db
      .select()
      .from(operation)
      .where(and(eq(operation.id, String(approval.operationId)), eq(operation.teamId, approval.teamId)))
    const message = `The approval was used up at ${since} by the operation ${approval.operationId}. It is used once.`
    return about(
      'ApprovalAlreadyExecuted',
      approval,
      message,
      [used ? lookAt('operation', { id: used.id }, 'See what became of the promotion that used it.') : look(approval)],
      { operation: used ?? null },
    )
  }
  const over = state === 'EXPIRED' || ((state === 'PENDING' || state === 'APPROVED') && approval.isOver)
  if (over) {
    return about('ApprovalExpired', approval, `The approval could be used until ${expiresAt.toISOString()}.`, [
      ...(await askAgain(context, approval)),
      look(approval),
    ])
  }
  if (state === 'APPROVED') return null
  return about(
    'ApprovalNotApproved',
    approval,
    `The approval has been ${state} since ${since}; only one that is APPROVED can be used.`,
    // Whether who asked may approve is the team's word: nothing is promised to them here.
    state === 'PENDING' && !(await isWhoAsked(context, approval))
      ? [callInstead('approvePromotion', { id: approval.id }, 'Approve it.'), look(approval)]
      : [...(state === 'PENDING' ? [] : await askAgain(context, approval)), look(approval)],
  )
}

/** The same member, or the same identity under another one: whether they may approve is the team's word. */
async function isWhoAsked({ db, actor }: Context, { teamId, requestedBy }: Approval): Promise<boolean> {
  const { memberId } = actor
  if (requestedBy === memberId || requestedBy === null || memberId === null) return requestedBy === memberId
  const [asker, self] = await membersById(db, teamId, [requestedBy, memberId])
  return asker?.identity !== undefined && asker.identity === self?.identity
}

/** What can be known to be wrong before anything is changed, in the order in which a user would mend it. */
export async function preflight(
  context: Context,
  plan: PromotionPlan,
  approval: Approval | null,
  asked: Asked = 'promoteStack',
): Promise<Refusal | null> {
  const { source } = plan
  const facts = { stack: source, ...(approval ? { promotionApproval: approval } : {}) }
  const deleting = await refuseDeleting(context, plan, asked)
  if (deleting) return deleting
  if (source.services.length === 0) {
    const message = `${source.name} in ${source.environment} has no services.`
    return refuse('NoServices', {
      message,
      facts,
      remedies: [lookAt('stack', { id: source.id }, 'Look at the stack; redeployStack gives it services.')],
    })
  }
  const missing = await missingImages(context, plan)
  if (missing.length > 0) {
    return refuse('MissingImage', {
      message: `The runtime does not know the image of ${missing.join(', ')}. Nothing was changed${approval ? ', and the approval can still be used' : ''}.`,
      facts: { ...facts, services: missing },
      remedies: [lookAt('stack', { id: source.id }, 'See the services and their images.')],
    })
  }
  if (plan.unresolved.length > 0) {
    const more = approval ? [] : await byCopying(context, plan)
    return unresolved(context.db, plan, facts, more)
  }
  if (plan.tooLarge) {
    return validationFailed([
      {
        path: ['input', 'toEnvironment'],
        message: `would have more than ${maxEnvBytes} bytes of variables after the promotion`,
      },
    ])
  }
  return hasRoom(context, plan)
}

/** Where no secret is copied for want of an approval, one that copies what is lacking may be asked for. */
async function byCopying(context: Context, plan: PromotionPlan): Promise<Remedy[]> {
  const { source, toEnvironment, envPolicy, secretPolicy } = plan
  if (secretPolicy !== 'KEEP_TARGET') return []
  const policies = { envPolicy, secretPolicy: 'COPY_MISSING' } as const
  const copying = await planPromotion(context.db, source.teamId, source.id, toEnvironment, policies)
  const ways = copying ? await waysToApproval(context, copying) : []
  return ways.length === 0 ? [] : [...ways, advice('An approval may copy the secrets that the environment lacks.')]
}

/** Services whose image the runtime refuses; any doubt is left to the roll-out, which asks again. */
export async function missingImages(context: Context, { source }: PromotionPlan): Promise<string[]> {
  const outcomes = await Promise.all(
    source.services.map(async ({ name, image }) => {
      const { kind } = await context.images.resolveImage(image, AbortSignal.timeout(5_000))
      return kind === 'refused' ? [name] : []
    }),
  )
  return outcomes.flat()
}

/** A first look at the counters, which decide in the statement. */
async function hasRoom({ db, actor }: Context, { takes }: PromotionPlan): Promise<Refusal | null> {
  for (const kind of ['stacks', 'secrets'] as const) {
    if (takes[kind] === 0) continue
    const [usage] = await db
      .select()
      .from(planUsage)
      .where(and(eq(planUsage.teamId, actor.teamId), eq(planUsage.kind, kind)))
    if (usage && usage.used + takes[kind] > usage.cap) return planIsFull(db, actor.teamId, kind)
  }
  return null
}

/** The counters decided that there is no room: told of the one that lacks it. */
export const quotaExceeded = async (context: Context, plan: PromotionPlan): Promise<Refusal> =>
  (await hasRoom(context, plan)) ?? planIsFull(context.db, context.actor.teamId, 'stacks')
