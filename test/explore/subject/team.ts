// Teams on the stage, and whoever belongs to them: members, invitations, tokens, and the end of all of it.

import type { Role } from '../../../src/auth.ts'
import { createApiToken, revokeApiToken } from '../../../src/resolvers/api-token.ts'
import { deleteDeployment, deploy } from '../../../src/resolvers/deployment.ts'
import { heartbeatInstance, removeInstance } from '../../../src/resolvers/instance.ts'
import { acceptInvitation, inviteMember, withdrawInvitation } from '../../../src/resolvers/invitation.ts'
import { removeMember, setMemberRole } from '../../../src/resolvers/member.ts'
import { withdrawPromotion } from '../../../src/resolvers/promotion-decision.ts'
import { deleteResource } from '../../../src/resolvers/resource.ts'
import { setSecret } from '../../../src/resolvers/secret.ts'
import { setSelfApproval } from '../../../src/resolvers/self-approval.ts'
import { deleteStack } from '../../../src/resolvers/stack.ts'
import { deleteTeam, restoreTeam } from '../../../src/resolvers/team.ts'
import { updateWebhook } from '../../../src/resolvers/webhook.ts'
import { ownerOf } from '../../owner.ts'
import { type Actor, calls, type Play, type Subject } from '../play.ts'
import { expires, settles, tearsDown } from '../runner.ts'
import { hoursFromNow, type Scene } from '../scene.ts'

const giving = (role: Role, whom: string, by?: string) =>
  calls((context, ids) => setMemberRole(context, { id: String(ids[whom]), role }), by)
const removing = (whom: string, by?: string) =>
  calls((context, ids) => removeMember(context, { id: String(ids[whom]) }), by)

const people = (scene: Scene) => {
  const second = scene.member('owner')
  const developer = scene.member('developer')
  const ids = { first: ownerOf(scene.teamId), second: String(second.memberId), developer: String(developer.memberId) }
  return { ids, callers: { second } }
}

const revoke = calls((context, ids) => revokeApiToken(context, { id: String(ids.token) }))
const accept = (key?: string) =>
  calls((context) => acceptInvitation(context, key ? { idempotencyKey: key } : {}), 'invited')
const withdraw = calls((context, ids) => withdrawInvitation(context, { id: String(ids.invitation) }))
const ofTeam = (scene: Scene) => ({ team: scene.teamId })
const endOfTeam = ['beginTeamDeletion', 'deleteDeployment.ofEnded', 'removeMember.ofEnded', 'markTeamDeleted']

/** What ends teams is many moves, between which others come; what it leaves is what the next pass finds. */
const teardown: Actor = {
  ...tearsDown(...endOfTeam),
  kind: 'runner',
  run: async (play, seat, requestId) => void (await tearsDown().run(play, seat, requestId)),
}

/** Passes of the loops until the team is gone. */
async function ends(play: Play): Promise<string | null> {
  const [seat] = play.stage.seats
  let left: string | null = null
  for (let passes = 0; seat && passes < 4 && left === null; passes++) {
    await tearsDown().run(play, seat, 'settle')
    for (const of of ['Deployment', 'Resource', 'Stack'] as const) left ??= await settles(of)(play)
  }
  return left
}

export const teamSubjects: readonly Subject[] = [
  {
    name: 'member',
    scene: people,
    actors: {
      demoteFirst: giving('developer', 'first', 'second'),
      demoteSecond: giving('viewer', 'second'),
      removeFirst: removing('first', 'second'),
      removeSecond: removing('second'),
      removeDeveloper: removing('developer'),
      promoteDeveloper: giving('owner', 'developer'),
    },
  },
  {
    name: 'member.lastPlace',
    scene: (scene) => {
      scene.room.members = 1
      const [one, two] = [scene.invitation(), scene.invitation()]
      return { ids: {}, callers: { one, two } }
    },
    actors: {
      one: calls((context) => acceptInvitation(context, {}), 'one'),
      two: calls((context) => acceptInvitation(context, {}), 'two'),
    },
  },
  {
    name: 'invitation',
    scene: (scene) => {
      const { ids, callers } = people(scene)
      const invited = scene.invitation({ invited_by: ids.second, role: 'admin' })
      return { ids: { ...ids, invitation: invited.id }, callers: { ...callers, invited } }
    },
    actors: {
      accept: accept(),
      keyed: accept('k'),
      withdraw,
      removeInviter: removing('second'),
      demoteInviter: giving('developer', 'second'),
      invite: calls((context) => inviteMember(context, { email: 'bob@example.org', role: 'viewer' }), 'second'),
    },
  },
  {
    name: 'invitation.overdue',
    scene: (scene) => {
      const invited = scene.invitation({ expires_at: hoursFromNow(-1) })
      return { ids: { invitation: invited.id }, callers: { invited } }
    },
    actors: { accept: accept(), withdraw, expire: expires('expireInvitation') },
  },
  {
    name: 'token',
    scene: (scene) => {
      const { ids, callers } = people(scene)
      const token = scene.token({ member_id: ids.developer, expires_at: hoursFromNow(-1) })
      return { ids: { ...ids, token }, callers }
    },
    actors: {
      revoke,
      expire: expires('expireApiToken'),
      create: calls((context) => createApiToken(context, { name: 'new', scopes: ['read'] }), 'second'),
      removeMember: removing('developer'),
      removeMaker: removing('second'),
      teardown: tearsDown('revokeApiToken.ofEnded'),
    },
  },
  {
    name: 'team',
    scene: (scene) => ({ ids: { ...ofTeam(scene), id: scene.deployment({ expires_at: hoursFromNow(-1) }) } }),
    actors: {
      delete: calls((context, ids) => deleteTeam(context, { id: String(ids.team) })),
      restore: calls((context, ids) => restoreTeam(context, { id: String(ids.team) })),
      expire: expires('expireDeployment'),
      deploy: calls((context) => deploy(context, { name: 'new', image: 'hello' })),
      selfApproval: calls((context) => setSelfApproval(context, { policy: 'NEVER' })),
    },
  },
  {
    // It may still come back.
    name: 'team.leaving',
    team: () => ({ state: 'DELETION_REQUESTED', deletion_at: hoursFromNow(1) }),
    scene: (scene) => ({ ids: { ...ofTeam(scene), id: scene.deployment({ expires_at: hoursFromNow(-1) }) } }),
    actors: {
      restore: calls((context, ids) => restoreTeam(context, { id: String(ids.team) })),
      delete: calls((context, ids) => deleteTeam(context, { id: String(ids.team) })),
      expire: expires('expireDeployment'),
      deleteDeployment: calls((context, ids) => deleteDeployment(context, { id: String(ids.id) })),
      teardown,
    },
    settles: settles('Deployment'),
  },
  {
    name: 'team.ending',
    team: () => ({ state: 'DELETION_REQUESTED', deletion_at: hoursFromNow(-1) }),
    scene: (scene) => {
      const invited = scene.invitation()
      return { ids: { ...ofTeam(scene), id: scene.deployment(), invitation: invited.id }, callers: { invited } }
    },
    actors: {
      restore: calls((context, ids) => restoreTeam(context, { id: String(ids.team) })),
      deploy: calls((context) => deploy(context, { name: 'new', image: 'hello' })),
      deleteDeployment: calls((context, ids) => deleteDeployment(context, { id: String(ids.id) })),
      accept: accept(),
      teardown,
    },
    settles: ends,
  },
  {
    name: 'team.owning',
    team: () => ({ state: 'DELETING', deletion_at: hoursFromNow(-1) }),
    scene: (scene) => {
      const hook = scene.webhook(204)
      const ids = {
        ...ofTeam(scene),
        stack: scene.stack(),
        resource: scene.resource(),
        secret: scene.secret({ name: 'key' }),
      }
      const more = {
        hook,
        unit: scene.external(),
        approval: scene.approval({ state: 'APPROVED', to_environment: 'staging', expires_at: hoursFromNow(1) }),
      }
      return { ids: { ...ids, ...more } }
    },
    actors: {
      teardown: { ...teardown, stops: (label) => label.endsWith('.ofEnded') },
      heartbeat: calls((context, ids) => heartbeatInstance(context, { id: String(ids.unit) })),
      remove: calls((context, ids) => removeInstance(context, { id: String(ids.unit) })),
      setSecret: calls((context) => setSecret(context, { name: 'key', value: 'w' })),
      deleteStack: calls((context, ids) => deleteStack(context, { id: String(ids.stack) })),
      deleteResource: calls((context, ids) => deleteResource(context, { id: String(ids.resource) })),
      disable: calls((context, ids) => updateWebhook(context, { id: String(ids.hook), enabled: false })),
      withdraw: calls((context, ids) => withdrawPromotion(context, { id: String(ids.approval) })),
    },
    settles: ends,
  },
]
