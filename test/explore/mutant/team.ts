// Planted bugs of teams and of those who belong to them: no owner left, more members than there is room for, what ends inside the
// window in which a team may come back, what is born into a team that ends.

import { apiTokenMachine } from '../../../src/lifecycle/api-token.ts'
import { invitationMachine } from '../../../src/lifecycle/invitation.ts'
import { memberMachine } from '../../../src/lifecycle/member.ts'
import { teamMachine } from '../../../src/lifecycle/team.ts'
import type { Subject } from '../play.ts'
import { subjectNamed } from '../subject/all.ts'
import { both, type Mutant, rewritingAll, unlocked, without } from './plant.ts'

const member = subjectNamed('member')
const noOwner = 'u.used + c.n < 1'
const owners = `(select count(*) from member x where x.team_id = u.team_id and x.state = 'ACTIVE' and x.role = 'owner') + c.n < 1`

/** Nothing is left of it but the team. */
const empty: Subject = {
  ...subjectNamed('team.ending'),
  name: 'team.empty',
  scene: (on) => ({ ids: { team: on.teamId } }),
}

export const teamMutants: readonly Mutant[] = [
  {
    name: 'who is the last owner is counted before the other one has gone',
    races: ['R54'],
    subject: member,
    cast: ['demoteFirst', 'demoteSecond'],
    wrap: without('setMemberRole', noOwner, owners),
  },
  {
    name: 'the last owner is removed',
    races: ['R54'],
    subject: member,
    cast: ['removeFirst', 'removeSecond'],
    wrap: without('removeMember', noOwner, owners),
  },
  {
    name: 'a member is removed twice',
    races: ['R17', 'R54'],
    subject: member,
    cast: ['removeDeveloper', 'removeDeveloper'],
    wrap: unlocked('removeMember', memberMachine),
  },
  {
    name: 'who was removed is given a role',
    races: ['R13'],
    subject: member,
    cast: ['removeDeveloper', 'promoteDeveloper'],
    wrap: unlocked('setMemberRole', memberMachine),
  },
  {
    name: 'the last place is given twice: it is held by a count',
    races: ['R85', 'R86'],
    subject: subjectNamed('member.lastPlace'),
    cast: ['one', 'two'],
    wrap: without(
      'acceptInvitation',
      'u.used + c.n > u.cap',
      `(select count(*) from member x where x.team_id = u.team_id and x.state = 'ACTIVE') + c.n > u.cap`,
    ),
  },
  {
    name: 'an invitation is accepted that is withdrawn',
    races: ['R28'],
    subject: subjectNamed('invitation'),
    cast: ['accept', 'withdraw'],
    wrap: unlocked('acceptInvitation', invitationMachine),
  },
  {
    name: 'an invitation is accepted twice: two members',
    races: ['R24', 'R25'],
    subject: subjectNamed('invitation'),
    cast: ['accept', 'accept'],
    before: ['drop index member_identity'],
    wrap: unlocked('acceptInvitation', invitationMachine),
  },
  {
    name: 'an invitation is accepted after its time',
    races: ['R10'],
    subject: subjectNamed('invitation.overdue'),
    cast: ['accept', 'expire'],
    wrap: without('acceptInvitation', '"found"."expires_at" > clock_timestamp()'),
  },
  {
    name: 'a token is revoked that has expired',
    races: ['R15'],
    subject: subjectNamed('token'),
    cast: ['revoke', 'expire'],
    wrap: unlocked('revokeApiToken', apiTokenMachine),
  },
  {
    name: 'things expire while their team could still be restored',
    races: ['R12'],
    subject: subjectNamed('team'),
    cast: ['delete', 'expire'],
    wrap: both(
      rewritingAll(
        /^expireDeployment$/,
        /and exists \(select 1 from "team" w where w\.id = "deployment"[^)]*\('ACTIVE'\)\)/,
        '',
      ),
      rewritingAll(
        /^expireDeployment$/,
        /and exists \(select 1 from "team" w where w\.id = "found"[^)]*\('ACTIVE'\) for share skip locked\)/,
        '',
      ),
    ),
  },
  {
    name: 'things expire in that window because the team is looked at before its lock',
    races: ['R12'],
    subject: subjectNamed('team'),
    cast: ['delete', 'expire'],
    wrap: without('expireDeployment', ' for share skip locked)', ')'),
  },
  {
    name: 'a team is restored whose end has begun',
    races: ['R65'],
    subject: subjectNamed('team.ending'),
    cast: ['restore', 'teardown'],
    wrap: both(
      unlocked('restoreTeam', teamMachine),
      without('restoreTeam', '"found"."deletion_at" > clock_timestamp()'),
    ),
    how: { bound: 2 },
  },
  {
    name: 'a team is asked to be deleted twice',
    races: ['R17'],
    subject: subjectNamed('team'),
    cast: ['delete', 'delete'],
    wrap: unlocked('deleteTeam', teamMachine),
  },
  {
    name: 'the plan of a team that ends stays open: what is born then outlives it',
    races: ['R65'],
    subject: empty,
    cast: ['deploy', 'teardown'],
    wrap: rewritingAll(
      /^beginTeamDeletion$/,
      /set cap = 0 from/,
      `set cap = case when u.kind = 'deployments' then u.cap else 0 end from`,
    ),
    how: { bound: 2 },
  },
]
