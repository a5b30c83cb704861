// Planted bugs of approvals and of what they are used for: used twice, early, for another plan, after their time; targets that are
// being deleted, and targets made twice.
import { sql } from 'drizzle-orm'
import { newId } from '../../../src/db/id.ts'
import { promotionApprovalMachine } from '../../../src/lifecycle/promotion-approval.ts'
import { stackMachine } from '../../../src/lifecycle/stack.ts'
import { refuse } from '../../../src/refusals.ts'
import { serviceOf } from '../../stacks/row.ts'
import type { Subject } from '../play.ts'
import { hoursFromNow } from '../scene.ts'
import { subjectNamed } from '../subject/all.ts'
import { bornWork, eventOf, queueOf } from './by-hand.ts'
import { both, type Mutant, rewritingAll, unlocked, withActors, without, written } from './plant.ts'

/** A promotion that uses its approval once all looks well, and changes the target afterwards. */
const early = written(async (context, ids) => {
  const work = newId('Operation')
  const [target] = await context.db.execute<{ state: string }>(
    sql`select state from stack where id = ${String(ids.target)}`,
  )
  if (target?.state !== 'HEALTHY') return refuse('StackDeleting', { message: 'The target is not there.' })
  const used = { type: 'PromotionApproval', kind: 'promoteStack', from: 'APPROVED', operationId: work }
  const [won] =
    await context.db.execute(sql`/* useEarly */ with moved as (update promotion_approval set state = 'EXECUTED',
      version = version + 1, operation_id = ${work} where id = ${String(ids.approval)} and state = 'APPROVED' returning *)
    ${eventOf(context, 'moved', used)}`)
  if (!won) return refuse('ApprovalAlreadyExecuted', { message: 'It is used.' })
  const built = { type: 'Stack', kind: 'promoteStack', from: 'HEALTHY', operationId: work }
  await context.db.execute(sql`/* thenPromote */ with moved as (update stack set state = 'BUILDING', version = version + 1,
      generation = generation + 1 where id = ${String(ids.target)} and state = 'HEALTHY' returning *),
    queued as (${queueOf(work, 'Stack', 'stack.roll_out', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', built)}`)
  return { replayed: false }
})

/** A promotion that changes the target, and asks for its approval afterwards. */
const late = written(async (context, ids) => {
  const work = newId('Operation')
  const built = { type: 'Stack', kind: 'promoteStack', from: 'HEALTHY', operationId: work }
  const [changed] =
    await context.db.execute(sql`/* promoteFirst */ with moved as (update stack set state = 'BUILDING', version = version + 1,
      generation = generation + 1 where id = ${String(ids.target)} and state = 'HEALTHY' returning *),
    queued as (${queueOf(work, 'Stack', 'stack.roll_out', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', built)}`)
  if (!changed) return refuse('StackDeleting', { message: 'The target is not there.' })
  const used = { type: 'PromotionApproval', kind: 'promoteStack', from: 'APPROVED', operationId: work }
  const [won] =
    await context.db.execute(sql`/* useLate */ with moved as (update promotion_approval set state = 'EXECUTED',
      version = version + 1, operation_id = ${work} where id = ${String(ids.approval)} and state = 'APPROVED' returning *)
    ${eventOf(context, 'moved', used)}`)
  return won ? { replayed: false } : refuse('ApprovalAlreadyExecuted', { message: 'It is used.' })
})

const approved = subjectNamed('approval.approved')
/** Asked for, and its time is over. */
const due: Subject = {
  ...subjectNamed('approval.overdue'),
  name: 'approval.due',
  scene: (on) => {
    const source = on.stack({ name: 'shop' })
    return {
      ids: {
        source,
        approval: on.approval({ state: 'PENDING', to_environment: 'staging', expires_at: hoursFromNow(-1) }),
      },
    }
  },
}
/** There is room for any number of targets. */
const anew: Subject = {
  ...subjectNamed('approval.new'),
  scene: (on) => ({ ids: { source: on.stack({ name: 'shop', services: [serviceOf('web', 'hello:9')] }) } }),
}
const anyRow = (cte: string, table: string) =>
  `(select x.state from "${table}" x where x.id = "${cte}".id) in ('APPROVED')`
const used = (name: string) => without(name, `"found".state in ('APPROVED')`, anyRow('found', 'promotion_approval'))
const inTime = (name: string) =>
  rewritingAll(new RegExp(`^${name}$`), /"found"\."expires_at" > clock_timestamp\(\)/, 'true')

export const promotionMutants: readonly Mutant[] = [
  {
    name: 'an approval is executed early, and burnt by what comes after',
    races: ['R50', 'R52'],
    subject: withActors('approval.approved', { early }),
    cast: ['early', 'deleteTarget'],
    right: ['promote', 'deleteTarget'],
    how: { bound: 2 },
    guards: true,
  },
  {
    name: 'the target is changed first, and then the approval is lost',
    races: ['R52'],
    subject: withActors('approval.approved', { late }),
    cast: ['late', 'withdraw'],
    right: ['promote', 'withdraw'],
    how: { bound: 2 },
    guards: true,
  },
  {
    name: 'approved and rejected',
    races: ['R28'],
    subject: subjectNamed('approval'),
    cast: ['approve', 'reject'],
    wrap: unlocked('rejectPromotion', promotionApprovalMachine),
  },
  {
    name: 'approved twice',
    races: ['R28'],
    subject: subjectNamed('approval'),
    cast: ['approve', 'approve'],
    wrap: unlocked('approvePromotion', promotionApprovalMachine),
  },
  {
    name: 'one approval, two promotions',
    races: ['R26', 'R28', 'R35'],
    subject: approved,
    cast: ['promote', 'promote'],
    wrap: both(
      used('promoteStack:into'),
      rewritingAll(/^promoteStack:into$/, /"found_also"\."spec_version" = (\$\d+)::text::int/, '$1::text is not null'),
    ),
    how: { bound: 2 },
  },
  {
    name: 'used and withdrawn',
    races: ['R28', 'R52'],
    subject: approved,
    cast: ['promote', 'withdraw'],
    wrap: unlocked('withdrawPromotion', promotionApprovalMachine),
    how: { bound: 2 },
  },
  {
    name: 'a promotion brings back a target that is being deleted',
    races: ['R08'],
    subject: approved,
    cast: ['promote', 'deleteTarget'],
    wrap: unlocked('promoteStack:into', stackMachine, 'promoteStack', 'found_also'),
    how: { bound: 2 },
  },
  {
    name: 'two promotions to a new environment make two targets',
    races: ['R27'],
    subject: anew,
    cast: ['promote', 'createTarget'],
    before: ['drop index stack_name'],
    how: { bound: 2 },
  },
  {
    name: 'an approval is given after its time',
    races: ['R57'],
    subject: due,
    cast: ['approve', 'expire'],
    wrap: inTime('approvePromotion'),
  },
  {
    name: 'the expirer of approvals repeats no time',
    races: ['R57', 'R04'],
    subject: subjectNamed('approval'),
    cast: ['approve', 'expire'],
    wrap: both(
      without('expirePromotion', '"found"."expires_at" <= now()'),
      without('expirePromotion', '"promotion_approval"."expires_at" <= now()'),
    ),
  },
  {
    name: 'one approval, two twins',
    races: ['R51', 'R35'],
    subject: subjectNamed('approval.twin'),
    cast: ['twin', 'twin'],
    wrap: used('twinResource'),
    before: ['drop index resource_name'],
    how: { bound: 2 },
  },
  {
    name: 'a twin is made whose approval is withdrawn',
    races: ['R51'],
    subject: subjectNamed('approval.twin'),
    cast: ['twin', 'withdraw'],
    wrap: used('twinResource'),
    how: { bound: 2 },
  },
]
