// The mutations of teams: their inputs, payloads and what the manual says of them beyond what is derived.
import { teamMachine } from '../lifecycle/team.ts'
import * as calls from '../resolvers/team.ts'
import { restoreWindowDays } from '../resolvers/team-rule.ts'
import type { Fields, InputFields } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { ApiTokenRef, MemberRef, TeamRef } from './ref.ts'

const machine = teamMachine

declareMutation<calls.NewTeamPayload>({
  name: 'createTeam',
  machine,
  summary:
    'Makes a team whose first owner is the caller, under the same identity as here, with a first token of that owner: it has the ' +
    'scopes and action classes that the caller has now. The token is what acts for the new team; its plaintext is shown once, here.',
  undo: '`deleteTeam`, with a token of the new team.',
  versioned: false,
  input: (t) => ({
    name: t.string({ required: true, description: 'For people: 1 to 100 characters. Need not be unique.' }),
  }),
  payload: (t) => ({
    team: t.field({
      type: TeamRef,
      nullable: true,
      description: 'The new team; null only in a replay, when the caller is no member of it any more.',
      resolve: (row) => row.team,
    }),
    member: t.field({
      type: MemberRef,
      nullable: true,
      description: 'The caller as its first owner; null as the team is.',
      resolve: (row) => row.member,
    }),
    token: t.field({
      type: ApiTokenRef,
      nullable: true,
      description: 'The first token of that owner; null as the team is.',
      resolve: (row) => row.token as never,
    }),
    plaintext: t.string({
      nullable: true,
      description: 'The token itself. Shown once and kept nowhere: null in a replay.',
      resolve: (row) => row.plaintext,
    }),
  }),
  refusals: [],
  resolve: calls.createTeam,
})

const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the caller’s team, `team_…`.' }) })
const payload = (t: Fields<calls.TeamPayload>) => ({
  team: t.field({
    type: TeamRef,
    nullable: true,
    description: 'The team after the move; never null here.',
    resolve: (row) => row.team,
  }),
})

declareMutation<calls.TeamPayload>({
  name: 'deleteTeam',
  machine,
  summary:
    `Asks for the end of the team that the caller acts for. For ${restoreWindowDays} days it can be restored: its deployments, ` +
    'resources and stacks go on running and nothing expires; its members and tokens come in, but may only read and ' +
    '`restoreTeam`, all else is refused as Forbidden. When that time is over (`deletionAt`) everything that it owns is torn ' +
    'down, its secrets are erased, its tokens revoked, its invitations withdrawn and its members removed.',
  undo: `\`restoreTeam\`, for ${restoreWindowDays} days; none after that.`,
  versioned: true,
  input: id,
  payload,
  refusals: ['IllegalState'],
  resolve: calls.deleteTeam,
})

declareMutation<calls.TeamPayload>({
  name: 'restoreTeam',
  machine,
  summary: 'Takes the deletion of the team back, while it can be: until its `deletionAt`. All is as it was before.',
  undo: '`deleteTeam`.',
  versioned: true,
  input: id,
  payload,
  refusals: ['IllegalState'],
  resolve: calls.restoreTeam,
})
