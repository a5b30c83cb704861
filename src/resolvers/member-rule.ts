// The rules of a member's moves. That a team keeps an owner is a counter that changes in the statement of the move itself;
// that owners are made, demoted and removed by owners alone is asked of the row under the lock.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { member } from '../db/member.ts'
import type { LifecycleTable } from '../db/tables.ts'
import { memberMachine } from '../lifecycle/member.ts'
import { defineRule } from './transition.ts'
import { textParam } from './transition-statement.ts'

const part = { table: member, machine: memberMachine } as const
const byId = and(eq(member.id, textParam('id')), eq(member.teamId, textParam('teamId'))) as SQL

/** Whether a row, or what is to become of it, is an owner. */
const isOwner = (role: SQL | typeof member.role) => sql`${role} = 'owner'`
const roleOf = (row: LifecycleTable) => (row as typeof member).role
const byOwner = isOwner(textParam('callerRole'))
/** What the caller lacks to give the role; null when it may. */
const mayGive = sql`${textParam('lacksToGive')} is null`

export const setMemberRole = defineRule({
  name: 'setMemberRole',
  subject: {
    ...part,
    action: 'setMemberRole',
    where: byId,
    guard: (found) =>
      sql`(${mayGive} and (${byOwner} or not (${isOwner(found.role)} or ${isOwner(textParam('role'))})))`,
    set: () => ({ role: textParam('role') }),
  },
  takes: [{ kind: 'owners', when: (row, before) => sql`${isOwner(roleOf(row))} and not ${isOwner(roleOf(before))}` }],
  releases: [
    { kind: 'owners', when: (row, before) => sql`${isOwner(roleOf(before))} and not ${isOwner(roleOf(row))}` },
  ],
  data: (found) => sql`jsonb_build_object('from', ${found.role}, 'to', ${textParam('role')})`,
  called: true,
})

export const removeMember = defineRule({
  name: 'removeMember',
  subject: {
    ...part,
    action: 'removeMember',
    where: byId,
    guard: (found) => sql`(${byOwner} or not ${isOwner(found.role)})`,
  },
  releases: [{ kind: 'members' }, { kind: 'owners', when: (row) => isOwner(roleOf(row)) }],
  called: true,
})
