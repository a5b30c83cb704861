// What teams, members, invitations, tokens, webhooks and instances are refused for.
import { type InvitationFacts, putInvitation } from '../../member-row.ts'
import { ownerOf } from '../../owner.ts'
import { createTeam, withTriggersOff } from '../../row.ts'
import type { Case } from './pair.ts'
import { full, refused } from './scene.ts'
import type { Stage } from './stage.ts'

const soon = () => new Date(Date.now() + 3_600_000)
const leaving = { state: 'DELETION_REQUESTED', deletion_at: soon() }

/** An invitation of another team, as it is told; returns the input that accepts it. */
const invited =
  (facts: Omit<InvitationFacts, 'teamId'>, also: (stage: Stage, teamId: string) => Promise<unknown> = async () => {}) =>
  async (_: unknown, stage: Stage) => {
    const { teamId } = await createTeam(stage.sql)
    const { token } = await putInvitation(stage.sql, { teamId, ...facts })
    await also(stage, teamId)
    return { token }
  }

const members: readonly Case[] = [
  refused('acceptInvitation', 'AlreadyMember', 'of the own team', {
    input: async ({ scene }, { sql }) => ({ token: (await putInvitation(sql, { teamId: scene.teamId })).token }),
  }),
  ...(['WITHDRAWN', 'EXPIRED', 'ACCEPTED'] as const).map((state) =>
    refused('acceptInvitation', 'IllegalState', state, { input: invited({ state }) }),
  ),
  refused('acceptInvitation', 'IllegalState', 'its time is over', { input: invited({ expiresInSeconds: -60 }) }),
  refused('acceptInvitation', 'IllegalState', 'who made it is no member any more', {
    input: invited({}, ({ sql }, teamId) =>
      withTriggersOff(sql, async (tx) => {
        await tx`update member set state = 'REMOVED' where id = ${ownerOf(teamId)}`
      }),
    ),
  }),
  refused('acceptInvitation', 'QuotaExceeded', 'no room for members', {
    input: invited({}, (stage, teamId) => full('members')(stage, { scene: { teamId, token: '', of: {} } })),
  }),
  refused('acceptInvitation', 'QuotaExceeded', 'no room for owners', {
    input: invited({ role: 'owner' }, (stage, teamId) =>
      full('owners')(stage, { scene: { teamId, token: '', of: {} } }),
    ),
  }),
  refused('acceptInvitation', 'Forbidden', 'its team is being deleted', {
    input: invited({}, ({ sql }, teamId) =>
      withTriggersOff(sql, async (tx) => {
        await tx`update team set ${tx(leaving)} where id = ${teamId}`
      }),
    ),
  }),
  ...['ACCEPTED', 'WITHDRAWN', 'EXPIRED'].map((state) =>
    refused('withdrawInvitation', 'IllegalState', state, { but: { Invitation: { state } } }),
  ),
  ...['setMemberRole', 'removeMember'].flatMap((mutation) => [
    refused(mutation, 'IllegalState', 'REMOVED', { but: { Member: { state: 'REMOVED' } } }),
    refused(mutation, 'LastOwner', 'the only one', { input: ({ scene }) => ({ id: ownerOf(scene.teamId) }) }),
  ]),
  refused('setMemberRole', 'QuotaExceeded', 'no room for owners', { input: { role: 'OWNER' }, also: full('owners') }),
  refused('revokeApiToken', 'TokenAlreadyRevoked', 'REVOKED', { but: { ApiToken: { state: 'REVOKED' } } }),
  refused('revokeApiToken', 'TokenAlreadyRevoked', 'EXPIRED', { but: { ApiToken: { state: 'EXPIRED' } } }),
]

const teams: readonly Case[] = [
  refused('deleteTeam', 'IllegalState', 'asked for already', { but: { Team: leaving } }),
  refused('restoreTeam', 'IllegalState', 'ACTIVE', { but: { Team: { state: 'ACTIVE' } } }),
  refused('setSelfApproval', 'IllegalState', 'its deletion is asked for meanwhile', {
    also: async (stage, { scene }) =>
      stage.before('setSelfApproval', () =>
        withTriggersOff(stage.sql, async (tx) => {
          await tx`update team set ${tx(leaving)} where id = ${scene.teamId}`
        }),
      ),
  }),
]

const webhook = (state: string) => ({ Webhook: { state, ...(state === 'DELETED' ? { secret: null } : {}) } })
const webhooks: readonly Case[] = [
  refused('createWebhook', 'AddressRefused', 'it is private', { input: { url: 'https://private.example/' } }),
  refused('createWebhook', 'QuotaExceeded', 'no room', { also: full('webhooks') }),
  refused('updateWebhook', 'AddressRefused', 'it is private', { input: { url: 'https://private.example/' } }),
  refused('updateWebhook', 'IllegalState', 'DELETED', { but: webhook('DELETED') }),
  refused('deleteWebhook', 'IllegalState', 'DELETED', { but: webhook('DELETED') }),
  ...['PENDING', 'SENDING'].map((state) =>
    refused('redeliverWebhookEvent', 'IllegalState', state, { but: { WebhookDelivery: { state } } }),
  ),
  // “Enable the webhook, then redeliver.”
  refused('redeliverWebhookEvent', 'IllegalState', 'the webhook is DISABLED', { but: webhook('DISABLED') }),
  refused('redeliverWebhookEvent', 'IllegalState', 'the webhook is DELETED', { but: webhook('DELETED') }),
]

const run = {
  runtime: 'PROCESS',
  incarnation: 'run',
  heartbeat_at: null,
  heartbeat_seconds: null,
  instance_id: 'known',
}
const ended = { Deployment: { env: {}, state: 'DELETED' } }
const known = (columns: object = {}) => ({ Instance: { instance_id: 'known', ...columns } })
const instances: readonly Case[] = [
  ...['heartbeatInstance', 'removeInstance'].flatMap((mutation) => [
    refused(mutation, 'IllegalState', 'REMOVED', {
      but: known({ state: 'REMOVED' }),
      again: { registerInstance: 'IllegalState' },
    }),
    refused(mutation, 'IllegalState', 'run by Pawl', { but: { Instance: run } }),
  ]),
  refused('heartbeatInstance', 'IllegalState', 'what it is part of has ended', { but: ended }),
  refused('registerInstance', 'IllegalState', 'its id is that of one that lives', {
    but: known(),
    input: { instanceId: 'known' },
    again: { heartbeatInstance: 'IllegalState' },
  }),
  refused('registerInstance', 'IllegalState', 'its id is that of one that was removed', {
    but: known({ state: 'REMOVED' }),
    input: { instanceId: 'known' },
    again: { registerInstance: 'IllegalState' },
  }),
  refused('registerInstance', 'IllegalState', 'its id is that of one that is run by Pawl', {
    but: { Instance: run },
    input: { instanceId: 'known' },
  }),
  refused('registerInstance', 'IllegalState', 'its id is that of one that is part of what has ended', {
    but: { ...known(), ...ended },
    input: { instanceId: 'known', deploymentId: null },
  }),
  refused('registerInstance', 'IllegalState', 'the deployment has ended', { but: ended }),
  refused('registerInstance', 'QuotaExceeded', 'no room', { also: full('instances') }),
]

export const teamCases: readonly Case[] = [...members, ...teams, ...webhooks, ...instances]
