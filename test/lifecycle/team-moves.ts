// How each move of a team, a member and an invitation is asked for in the matrix, on a row of its own in any state: by the
// mutation where a caller may, by the rule where a loop does. Every way answers with null for a move, or how it was refused.
import type { Actor, Role } from '../../src/auth.ts'
import type { InvitationState } from '../../src/lifecycle/invitation.ts'
import type { MemberState } from '../../src/lifecycle/member.ts'
import type { TeamState } from '../../src/lifecycle/team.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as invitations from '../../src/resolvers/invitation.ts'
import { expireInvitation } from '../../src/resolvers/invitation-rule.ts'
import * as members from '../../src/resolvers/member.ts'
import { setSelfApproval } from '../../src/resolvers/self-approval.ts'
import * as teams from '../../src/resolvers/team.ts'
import { beginTeamDeletion, markTeamDeleted } from '../../src/resolvers/team-end-rule.ts'
import { type Rule, transitionEach } from '../../src/resolvers/transition.ts'
import { putInvitation, putMember } from '../member-row.ts'
import { callOf, type World } from '../races/world.ts'
import { contextFor, createTeam, withTriggersOff } from '../row.ts'

export interface Asked {
  readonly id: string
  readonly ask: () => Promise<string | null>
}
const refusalOf = async (call: Promise<object>) => {
  const result = await call
  return isRefusal(result) ? result.refusal : null
}
const passOf = (world: World, rule: unknown, id: string) => async () => {
  const moved = await transitionEach(world.pool.db, rule as Rule, callOf(world, {}), 1_000)
  return moved.some(({ row }) => row.id === id) ? null : 'refused'
}

/** A team in that state that owns nothing; its window is over where a loop is to see it. */
export async function teamMove(world: World, action: string, state: TeamState): Promise<Asked> {
  const { teamId: id, actor } = await createTeam(world.stranger)
  const byLoop = action === 'beginTeamDeletion' || action === 'markTeamDeleted'
  await withTriggersOff(world.stranger, async (sql) => {
    await sql`update team set state = ${state}, deletion_at = now() + ${byLoop ? -1 : 3_600} * interval '1 second' where id = ${id}`
    if (!byLoop) return
    await sql`update member set state = 'REMOVED' where team_id = ${id}`
    await sql`update api_token set state = 'REVOKED' where team_id = ${id}`
  })
  const context = contextFor(world.pool.db, actor)
  const ways: Record<string, () => Promise<string | null>> = {
    deleteTeam: () => refusalOf(teams.deleteTeam(context, { id })),
    restoreTeam: () => refusalOf(teams.restoreTeam(context, { id })),
    setSelfApproval: () => refusalOf(setSelfApproval(context, { policy: 'ALWAYS' })),
    beginTeamDeletion: passOf(world, beginTeamDeletion, id),
    markTeamDeleted: passOf(world, markTeamDeleted, id),
  }
  return { id, ask: wayOf(ways, action) }
}

export async function memberMove(world: World, action: string, state: MemberState): Promise<Asked> {
  const { id } = await putMember(world.stranger, { teamId: world.team.teamId, role: 'developer', state })
  const ways = {
    setMemberRole: () => refusalOf(members.setMemberRole(world.context, { id, role: 'viewer' as Role })),
    removeMember: () => refusalOf(members.removeMember(world.context, { id })),
  }
  return { id, ask: wayOf(ways, action) }
}

export async function invitationMove(world: World, action: string, state: InvitationState): Promise<Asked> {
  const expiresInSeconds = action === 'expireInvitation' ? -1 : 3_600
  const { id, actor } = await putInvitation(world.stranger, { teamId: world.team.teamId, state, expiresInSeconds })
  const as = (who: Actor) => contextFor(world.pool.db, who)
  const ways = {
    acceptInvitation: () => refusalOf(invitations.acceptInvitation(as(actor), {})),
    withdrawInvitation: () => refusalOf(invitations.withdrawInvitation(world.context, { id })),
    expireInvitation: passOf(world, expireInvitation, id),
  }
  return { id, ask: wayOf(ways, action) }
}

function wayOf(ways: Record<string, () => Promise<string | null>>, action: string): () => Promise<string | null> {
  const way = ways[action]
  if (!way) throw new Error(`no way is known to ask for ${action}`)
  return way
}
