// What may be asked of members: another role, or their end. A team keeps an owner, whoever steps down at the same time.

import { lackingForOwner, lackingToGive, type Role } from '../auth.ts'
import type { Context } from '../context.ts'
import { member } from '../db/member.ts'
import { forbidden, lookAt, type Refusal, refuse } from '../refusals.ts'
import { illegalState, type Payload } from './call.ts'
import { nothingElse, roleInput } from './input.ts'
import { membersById } from './member-read.ts'
import * as rules from './member-rule.ts'
import { type Accepted, type ById, type Kind, moveById } from './move-by-id.ts'
import { planIsFull } from './plan.ts'

type Member = typeof member.$inferSelect
export interface MemberPayload extends Payload {
  readonly member: Member
}

const kind: Kind<typeof member, 'setMemberRole' | 'removeMember'> = {
  table: member,
  entity: 'Member',
  word: 'member',
  wrongState: async (_db, action, row) =>
    illegalState(
      'IllegalState',
      `${action} is not possible: ${row.name} has been ${row.state} since ${row.stateChangedAt.toISOString()}. ${action} starts from ACTIVE.`,
      { member: row, action },
      [lookAt('members', { filter: { states: ['ACTIVE'] } }, 'List the members that there are.')],
      false,
    ),
}
const payload = ({ row, replayed }: Accepted<typeof member>): MemberPayload => ({ member: row, replayed })

/** Gives a member another role; it counts from its next request on. */
export const setMemberRole = (context: Context, input: ById & { role: Role }) =>
  moveById(context, kind, 'setMemberRole', rules.setMemberRole, roleInput, input, {
    values: ({ role }) => ({
      role,
      callerRole: context.actor.role,
      lacksToGive: lackingToGive(context.actor, role)?.name ?? null,
    }),
    guard: (_row, { role }) => {
      const lack = lackingToGive(context.actor, role)
      return lack ? forbidden(lack) : ownersOnly(context)()
    },
    constrained: (constraint) => noOwnerOrNoRoom(context, constraint, input.id),
    payload,
  })

/** Takes a member out of the team. Its tokens are dead from then on. */
export const removeMember = (context: Context, input: ById) =>
  moveById(context, kind, 'removeMember', rules.removeMember, nothingElse, input, {
    values: () => ({ callerRole: context.actor.role }),
    guard: ownersOnly(context),
    constrained: (constraint) => noOwnerOrNoRoom(context, constraint, input.id),
    payload,
  })

const ownersOnly =
  ({ actor }: Context) =>
  (): Refusal => {
    const lack = lackingForOwner(actor, 'owner')
    if (!lack) throw new Error('an owner was refused for the lack of the role')
    return forbidden(lack)
  }

async function noOwnerOrNoRoom({ db, actor }: Context, constraint: string, id: string): Promise<Refusal | null> {
  if (constraint === 'plan_cap') return planIsFull(db, actor.teamId, 'owners')
  if (constraint !== 'last_owner') return null
  const [row] = await membersById(db, actor.teamId, [id])
  return refuse('LastOwner', {
    message: `${row?.name ?? id} is the last owner of the team, which keeps at least one. Make another member an owner first.`,
    facts: { member: row ?? null },
    remedies: [
      lookAt('members', { filter: { states: ['ACTIVE'] } }, 'List who could be made an owner by setMemberRole.'),
    ],
  })
}
