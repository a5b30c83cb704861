// The rules of an approval's life up to its use: approved, rejected, withdrawn or expired, each from the row as it is under
// its lock. That it is used up stands in promotion-rule.ts and twin-rule.ts, with what it is used for.
import { and, eq, inArray, type SQL, sql } from 'drizzle-orm'
import { scopesOfRole } from '../auth.ts'
import { quoted } from '../db/columns.ts'
import { member } from '../db/member.ts'
import { promotionApproval } from '../db/promotion-approval.ts'
import { type SelfApproval, team } from '../db/team.ts'
import type { MemberState } from '../lifecycle/member.ts'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { defineRule } from './transition.ts'
import { intParam, textParam } from './transition-statement.ts'

const part = { table: promotionApproval, machine: promotionApprovalMachine } as const
const byId = and(eq(promotionApproval.id, textParam('id')), eq(promotionApproval.teamId, textParam('teamId'))) as SQL
const literal = (name: string) => sql.raw(quoted([name]))

/** Time is the database's, and as late as can be: the lock may have been waited for. */
export const inTime = (found: typeof promotionApproval): SQL => sql`${found.expiresAt} > clock_timestamp()`

const approvers = Object.entries(scopesOfRole).flatMap(([role, scopes]) => (scopes.includes('approve') ? [role] : []))
const policy = (name: SelfApproval) => sql`t.self_approval = ${literal(name)}`
const others = sql`(select count(*) from ${member} m where m.team_id = t.id
  and m.state in (${literal('ACTIVE' satisfies MemberState)}) and m.role in (${sql.raw(quoted(approvers))})) > 1`

/** The environment in which others have to approve as soon as there are any. */
export const guardedEnvironment = 'production'

/**
 * Whether the team lets the member who asked approve. The team's row is read at its newest, so that nobody approves their
 * own wish after the team has said that this is over. Whoever else may approve is counted as the statement began.
 */
const mayApproveOwn = (
  found: typeof promotionApproval,
): SQL => sql`exists (select from ${team} t where t.id = ${found.teamId}
  and (${policy('ALWAYS')} or (${policy('UNLESS_OTHERS_CAN')}
    and (${found.toEnvironment} <> ${literal(guardedEnvironment)} or not ${others}))) for share of t)`

/**
 * Whether who decides is who asked: the same member, or the same identity under another member, as somebody is who has left
 * the team and come back. The identity of a member never changes.
 */
const isWhoAsked = (found: typeof promotionApproval): SQL => sql`(${found.requestedBy} = ${textParam('memberId')}
  or exists (select from ${member} asker join ${member} decider on decider.identity = asker.identity
    where asker.id = ${found.requestedBy} and decider.id = ${textParam('memberId')}))`

const decided = () => ({ decidedBy: textParam('memberId'), decidedAt: sql`clock_timestamp()` })

export const approvePromotion = defineRule({
  name: 'approvePromotion',
  subject: {
    ...part,
    action: 'approvePromotion',
    where: byId,
    // The team is only looked at for a wish of one's own: nobody else's approval waits for it.
    guard: (found) => sql`${inTime(found)} and case when ${isWhoAsked(found)}
      then ${mayApproveOwn(found)} else true end`,
    set: decided,
  },
  called: true,
})

export const rejectPromotion = defineRule({
  name: 'rejectPromotion',
  subject: { ...part, action: 'rejectPromotion', where: byId, set: decided },
  called: true,
})

export const withdrawPromotion = defineRule({
  name: 'withdrawPromotion',
  subject: { ...part, action: 'withdrawPromotion', where: byId },
  called: true,
})

const overdue = (row: typeof promotionApproval) => sql`${row.expiresAt} <= now()`

/** For the expirer. Also of a team in its restore window: time that is over comes back for nobody. */
export const expirePromotion = defineRule({
  name: 'expirePromotion',
  subject: {
    ...part,
    action: 'expirePromotion',
    where: and(inArray(promotionApproval.state, ['PENDING', 'APPROVED']), overdue(promotionApproval)) as SQL,
    batch: { orderBy: sql`${promotionApproval.expiresAt}`, limit: intParam('limit') },
    guard: overdue,
  },
})
