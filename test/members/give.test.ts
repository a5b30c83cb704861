// Nobody gives what it does not have: roles by invitation and by hand, and what an invitation is worth when who made it has
// gone or lost its role.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { putInvitation, putMember } from '../member-row.ts'
import { ownerOf } from '../owner.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const tokenOf = async (scopes: readonly string[], actionClasses: readonly string[], token?: string) => {
  const selection = '... on CreateApiTokenPayload { plaintext }'
  return (await mutate(api, 'createApiToken', { name: 'narrow', scopes, actionClasses }, selection, token)).plaintext
}
const allScopes = ['read', 'deploy', 'resource', 'stack', 'promote', 'approve', 'env:read', 'admin']
const allClasses = ['read', 'reversible', 'creating', 'irreversible']
const invite = (role: string, token: string, more: object = {}) =>
  mutate(
    api,
    'inviteMember',
    { email: 'e@example.org', role, ...more },
    '... on InviteMemberPayload { replayed invitation { id } } ... on Forbidden { missing }',
    token,
  )
const setRole = (id: string, role: string, token: string, more: object = {}) =>
  mutate(
    api,
    'setMemberRole',
    { id, role, ...more },
    '... on SetMemberRolePayload { replayed member { role } } ... on Forbidden { missing }',
    token,
  )

describe('a role is given by who has all of it', () => {
  test.each([
    ['OWNER', ['admin'], allClasses, 'read'],
    ['DEVELOPER', ['admin', 'read', 'deploy'], allClasses, 'resource'],
    ['VIEWER', ['admin', 'read'], ['creating', 'reversible'], 'read'],
    ['OWNER', allScopes, ['read', 'creating', 'reversible'], 'irreversible'],
  ])('not %s by %j and %j', async (role, scopes, classes, missing) => {
    const token = await tokenOf(scopes, classes)
    const forbidden = { __typename: 'Forbidden', missing }
    expect(await invite(role, token)).toMatchObject(forbidden)
    const { id } = await putMember(api.database.url, { teamId: api.team.teamId, role: 'viewer' })
    expect(await setRole(id, role, token)).toMatchObject(forbidden)
  })

  test('a viewer by a token that has as much, and every role by a full one', async () => {
    const narrow = await tokenOf(['admin', 'read'], allClasses)
    expect(await invite('VIEWER', narrow)).toMatchObject({ replayed: false })
    const { id } = await putMember(api.database.url, { teamId: api.team.teamId, role: 'developer' })
    expect(await setRole(id, 'VIEWER', narrow)).toMatchObject({ member: { role: 'VIEWER' } })
    for (const role of ['OWNER', 'ADMIN', 'DEVELOPER']) {
      expect(await invite(role, api.team.token)).toMatchObject({ replayed: false })
      expect(await setRole(id, role, api.team.token)).toMatchObject({ member: { role } })
    }
  })

  test('a repeat by who has lost its role since is told what it was told', async () => {
    const team = await createTeam(api.database.url)
    const owner = await putMember(api.database.url, { teamId: team.teamId, role: 'owner' })
    const first = await invite('OWNER', owner.token, { idempotencyKey: 'i' })
    expect(await setRole(owner.id, 'ADMIN', team.token)).toMatchObject({ member: { role: 'ADMIN' } })
    expect(await invite('OWNER', owner.token, { idempotencyKey: 'i' })).toMatchObject({ ...first, replayed: true })
    expect(await invite('OWNER', owner.token, { idempotencyKey: 'j' })).toMatchObject({ missing: 'owner' })
  })
})

describe('an invitation is worth what who made it may still give', () => {
  const accept = (token: string) =>
    mutate(
      api,
      'acceptInvitation',
      {},
      '... on AcceptInvitationPayload { member { role } } ... on IllegalState { invitation { state } }',
      token,
    )
  const refused = (words: string) => ({
    code: 'ILLEGAL_STATE',
    invitation: { state: 'PENDING' },
    message: expect.stringContaining(words),
  })

  test('nothing when it is no member any more', async () => {
    const { teamId } = await createTeam(api.database.url)
    const { token: owner } = await putMember(api.database.url, { teamId, role: 'owner' })
    const { token } = await putInvitation(api.database.url, { teamId, role: 'viewer' })
    expect(await mutate(api, 'removeMember', { id: ownerOf(teamId) }, '', owner)).toMatchObject({
      __typename: 'RemoveMemberPayload',
    })
    expect(await accept(token)).toMatchObject(refused('is no member of the team any more'))
  })

  test.each([
    ['ADMIN', 'owner', 'may not give the role OWNER any more'],
    ['ADMIN', 'admin', null],
    ['DEVELOPER', 'viewer', 'may not give the role VIEWER any more'],
  ] as const)('who is %s by now and has invited an %s', async (now, role, words) => {
    const { teamId } = await createTeam(api.database.url)
    const { token: owner } = await putMember(api.database.url, { teamId, role: 'owner' })
    const { token } = await putInvitation(api.database.url, { teamId, role })
    expect(await setRole(ownerOf(teamId), now, owner)).toMatchObject({ member: { role: now } })
    expect(await accept(token)).toMatchObject(words ? refused(words) : { member: { role: role.toUpperCase() } })
  })
})
