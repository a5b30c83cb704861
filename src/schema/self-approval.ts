// Self-approval in the schema: the team's setting, and the mutation that changes it.
import { teamMachine } from '../lifecycle/team.ts'
import * as calls from '../resolvers/self-approval.ts'
import type { TeamPayload } from '../resolvers/team.ts'
import { builder } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { TeamRef } from './ref.ts'

const told = {
  NEVER: 'Never: somebody else approves, in every environment.',
  UNLESS_OTHERS_CAN:
    'Yes, but for `production` only while the team has no second member whose role has the scope `approve`.',
  ALWAYS: 'Always.',
} as const
const SelfApprovalRef = builder.enumType('SelfApproval', {
  description: 'Whether the member who asked for a promotion may approve it, by whichever of their tokens.',
  values: Object.fromEntries(
    calls.selfApprovals.map((name) => [name, { value: name, description: told[name] }]),
  ) as Record<
    (typeof calls.selfApprovals)[number],
    { value: (typeof calls.selfApprovals)[number]; description: string }
  >,
})

builder.objectField(TeamRef, 'selfApproval', (t) =>
  t.field({
    type: SelfApprovalRef,
    description: 'Whether who asks for a promotion may approve it.',
    resolve: (row) => row.selfApproval,
  }),
)

declareMutation<TeamPayload>({
  name: 'setSelfApproval',
  machine: teamMachine,
  summary:
    'Says whether the member who asks for a promotion may approve it. It counts from now on: what was approved before stays so.',
  undo: 'Set it to what it was.',
  versioned: true,
  input: (t) => ({
    teamId: t.id({ description: 'Id of the caller’s team, `team_…`; may be left out.' }),
    policy: t.field({ type: SelfApprovalRef, required: true, description: 'What it is to be.' }),
  }),
  payload: (t) => ({
    team: t.field({
      type: TeamRef,
      nullable: true,
      description: 'The team after the move; never null here.',
      resolve: (row) => row.team,
    }),
  }),
  refusals: ['IllegalState'],
  resolve: calls.setSelfApproval,
})
