// Whether the member who asks for a promotion may approve it: said by an owner for the whole team. It is looked at by the
// statement that approves (promotion-decision-rule.ts), never before.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import type { Context } from '../context.ts'
import { type SelfApproval, team } from '../db/team.ts'
import { teamMachine } from '../lifecycle/team.ts'
import { lookAt } from '../refusals.ts'
import { type CallInput, illegalState, type Result } from './call.ts'
import { selfApprovalInput } from './input.ts'
import { type Kind, moveById } from './move-by-id.ts'
import type { TeamPayload } from './team.ts'
import { defineRule } from './transition.ts'
import { textParam } from './transition-statement.ts'

export { selfApprovals } from '../db/team.ts'

export const selfApprovalRule = defineRule({
  name: 'setSelfApproval',
  subject: {
    table: team,
    machine: teamMachine,
    action: 'setSelfApproval',
    // A caller's team is the one that it acts for.
    where: and(eq(team.id, textParam('id')), eq(team.id, textParam('teamId'))) as SQL,
    set: () => ({ selfApproval: textParam('policy') }),
  },
  data: (found) => sql`jsonb_build_object('from', ${found.selfApproval}, 'to', ${textParam('policy')})`,
  called: true,
})

const kind: Kind<typeof team, 'setSelfApproval'> = {
  table: team,
  entity: 'Team',
  word: 'team',
  wrongState: async (_db, action, row) =>
    illegalState(
      'IllegalState',
      `${action} is not possible: the team ${row.name} has been ${row.state} since ${row.stateChangedAt.toISOString()}. ${action} starts from ACTIVE.`,
      { team: row, action },
      [lookAt('team', { id: row.id }, 'See what becomes of it, and when.')],
      false,
    ),
}

export interface SelfApprovalInput extends CallInput {
  /** The team that the caller acts for when it is left out. */
  readonly teamId?: string | null
  readonly policy: SelfApproval
}

/** Says it for the team. Approvals that were given before stay as they are. */
export const setSelfApproval = (context: Context, input: SelfApprovalInput): Promise<Result<TeamPayload>> => {
  const asked = { ...input, id: input.teamId ?? context.actor.teamId }
  return moveById(context, kind, 'setSelfApproval', selfApprovalRule, selfApprovalInput, asked, {
    values: ({ policy }) => ({ policy }),
    payload: ({ row, replayed }) => ({ team: row, replayed }),
  })
}
