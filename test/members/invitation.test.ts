// Becoming a member over the API: invited, accepted once by the token alone or by somebody who is known already, and told
// by type whatever stands against it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { countedMembers, putInvitation, putMember } from '../member-row.ts'
import { withTriggersOff } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const shown = `... on AcceptInvitationPayload { replayed plaintext invitation { id state } member { id name email role state }
  token { id name scopes actionClasses member { id } } }
  ... on IllegalState { action invitation { id state } } ... on AlreadyMember { member { id role } } ... on QuotaExceeded { limit cap used }
  ... on ValidationFailed { faults { path message } } ... on Forbidden { missing }`
const accept = (input: object, token: string) => mutate(api, 'acceptInvitation', input, shown, token)
const invited =
  '... on InviteMemberPayload { replayed plaintext invitation { id state email role expiresAt invitedBy { id } } } ... on Forbidden { missing }'
const invite = (input: object, token?: string) => mutate(api, 'inviteMember', input, invited, token)
const viewer =
  '{ viewer { member { id } role scopes actionClasses team { id } teams { teamId role state } token { id } } }'

test('somebody who has nothing but the invitation becomes a member with a token of its own', async () => {
  const made = await invite({ email: 'grace@example.org', role: 'DEVELOPER', idempotencyKey: 'i1' })
  expect(made).toMatchObject({ replayed: false, plaintext: expect.stringMatching(/^pawl_\w{12}_\w{36}$/) })
  expect(made.invitation).toMatchObject({ state: 'PENDING', email: 'grace@example.org', role: 'DEVELOPER' })
  const days = (Date.parse(made.invitation.expiresAt) - Date.now()) / 86_400_000
  expect(days).toBeGreaterThan(6.99)
  expect(days).toBeLessThan(7.01)
  const again = await invite({ email: 'grace@example.org', role: 'DEVELOPER', idempotencyKey: 'i1' })
  expect(again).toMatchObject({ replayed: true, plaintext: null, invitation: { id: made.invitation.id } })

  const joined = await accept({ name: 'Grace', idempotencyKey: 'a1' }, made.plaintext)
  expect(joined).toMatchObject({
    __typename: 'AcceptInvitationPayload',
    replayed: false,
    invitation: { id: made.invitation.id, state: 'ACCEPTED' },
    member: { name: 'Grace', email: 'grace@example.org', role: 'DEVELOPER', state: 'ACTIVE' },
    token: { scopes: ['read', 'deploy', 'resource', 'stack', 'promote', 'env:read'], member: { id: joined.member.id } },
  })
  const { data } = await api.call(viewer, {}, joined.plaintext)
  expect(data.viewer).toMatchObject({
    member: { id: joined.member.id },
    role: 'DEVELOPER',
    scopes: ['deploy', 'env:read', 'promote', 'read', 'resource', 'stack'],
    actionClasses: ['creating', 'irreversible', 'read', 'reversible'],
    team: { id: api.team.teamId },
    teams: [{ teamId: api.team.teamId, role: 'DEVELOPER', state: 'ACTIVE' }],
    token: { id: joined.token.id },
  })
  // A repeat is told what it was told, without the token; another call that it is over.
  const { plaintext, ...told } = joined
  expect(plaintext).toMatch(/^pawl_/)
  expect(await accept({ name: 'Grace', idempotencyKey: 'a1' }, made.plaintext)).toEqual({
    ...told,
    plaintext: null,
    replayed: true,
  })
  expect(await accept({}, made.plaintext)).toMatchObject({
    code: 'ILLEGAL_STATE',
    retryable: false,
    action: 'acceptInvitation',
    invitation: { id: made.invitation.id, state: 'ACCEPTED' },
  })
  const { members, counted } = await countedMembers(api.database.url, api.team.teamId)
  expect(counted.members).toBe(members)
})

test('what is kept of the tokens is no use to anybody: neither is in the database or in the log', async () => {
  const made = await invite({ email: 'a@example.org', role: 'VIEWER' })
  const joined = await accept({}, made.plaintext)
  const secrets = [made.plaintext, joined.plaintext].map((text) => String(text).slice(18, 40))
  await withTriggersOff(api.database.url, async (sql) => {
    for (const table of ['invitation', 'member', 'api_token', 'event', 'idempotency_key']) {
      const text = JSON.stringify(await sql.unsafe(`select * from ${table}`))
      for (const secret of secrets) expect(text).not.toContain(secret)
    }
  })
  for (const secret of secrets) expect(api.logged.join()).not.toContain(secret)
})

test('the token of an invitation does nothing else', async () => {
  const { token, id } = await putInvitation(api.database.url, { teamId: api.team.teamId, role: 'owner' })
  expect(await api.call('{ viewer { scopes } }', {}, token)).toMatchObject({ status: 403 })
  expect(await api.call('{ __schema { types { name } } }', {}, token)).toMatchObject({ status: 403 })
  const forbidden = { __typename: 'Forbidden', missing: 'admin' }
  expect(await invite({ email: 'x@example.org', role: 'VIEWER' }, token)).toMatchObject(forbidden)
  expect(await mutate(api, 'createTeam', { name: 'x' }, '... on Forbidden { missing }', token)).toMatchObject(forbidden)
  const { data } = await api.call(
    'query ($id: ID!) { invitation(id: $id) { state allowedActions { action allowed because } } }',
    { id },
  )
  expect(data.invitation).toEqual({
    state: 'PENDING',
    allowedActions: [
      {
        action: 'acceptInvitation',
        allowed: false,
        because: 'It takes the token of the invitation, and somebody who is no member of the team yet.',
      },
      { action: 'withdrawInvitation', allowed: true, because: null },
    ],
  })
})

test('R99 a link scanner accepts nothing: an invitation is accepted by POST alone', async () => {
  const { token, id } = await putInvitation(api.database.url, { teamId: api.team.teamId })
  const query = encodeURIComponent('mutation { acceptInvitation(input: {}) { __typename } }')
  for (const accept of ['application/json', 'text/html', '*/*']) {
    const headers = { authorization: `Bearer ${token}`, accept }
    const answer = await fetch(`${api.url}/graphql?query=${query}`, { headers })
    expect(await answer.text()).not.toContain('AcceptInvitationPayload')
  }
  const { data } = await api.call('query ($id: ID!) { invitation(id: $id) { state } }', { id })
  expect(data.invitation.state).toBe('PENDING')
})

describe('somebody who is known already', () => {
  test('joins under the identity that it has, and acts there by a token of its own', async () => {
    const other = await createTeam(api.database.url)
    const { token } = await putInvitation(api.database.url, { teamId: api.team.teamId, role: 'admin' })
    const joined = await accept({ token }, other.token)
    expect(joined).toMatchObject({
      member: { role: 'ADMIN', name: 'owner' },
      token: { scopes: expect.arrayContaining(['admin']) },
    })
    const { data } = await api.call(viewer, {}, joined.plaintext)
    expect(data.viewer.teams.map(({ teamId }: { teamId: string }) => teamId)).toEqual([other.teamId, api.team.teamId])
    // Already a member: told so, and the invitation is as it was.
    const second = await putInvitation(api.database.url, { teamId: api.team.teamId })
    for (const caller of [other.token, joined.plaintext]) {
      expect(await accept({ token: second.token }, caller)).toMatchObject({
        __typename: 'AlreadyMember',
        code: 'ALREADY_MEMBER',
        member: { id: joined.member.id },
      })
    }
    expect(await accept({}, second.token)).toMatchObject({ __typename: 'AcceptInvitationPayload' })
  })

  test('a token without the class creating may not', async () => {
    const { token } = await putInvitation(api.database.url, { teamId: api.team.teamId })
    const made = await mutate(
      api,
      'createApiToken',
      { name: 'reads', scopes: ['read'], actionClasses: ['read', 'reversible'] },
      '... on CreateApiTokenPayload { plaintext token { scopes actionClasses member { id } } }',
    )
    expect(made.token).toMatchObject({ scopes: ['read'], actionClasses: ['read', 'reversible'] })
    expect(await accept({ token }, made.plaintext)).toMatchObject({ __typename: 'Forbidden', missing: 'creating' })
  })
})

describe('no member is made', () => {
  const count = async () => (await countedMembers(api.database.url, api.team.teamId)).members

  test.each(['ACCEPTED', 'WITHDRAWN', 'EXPIRED'] as const)('by an invitation that is %s', async (state) => {
    const { token, id } = await putInvitation(api.database.url, { teamId: api.team.teamId, state })
    const before = await count()
    const refused = { code: 'ILLEGAL_STATE', action: 'acceptInvitation', invitation: { id, state } }
    expect(await accept({}, token)).toMatchObject(refused)
    expect(await accept({ token }, (await createTeam(api.database.url)).token)).toMatchObject(refused)
    expect(await count()).toBe(before)
  })

  test('by one whose time is over, though no loop has ended it yet; a week later the token is none', async () => {
    const late = await putInvitation(api.database.url, { teamId: api.team.teamId, expiresInSeconds: -1 })
    const refused = await accept({}, late.token)
    expect(refused).toMatchObject({ code: 'ILLEGAL_STATE', invitation: { state: 'PENDING' } })
    expect(refused.message).toMatch(/has expired at \d{4}-/)
    const old = await putInvitation(api.database.url, { teamId: api.team.teamId, expiresInSeconds: -8 * 86_400 })
    expect((await api.call('{ viewer { scopes } }', {}, old.token)).status).toBe(401)
  })

  test('by a token that is none, or none of an invitation, or of another one; and not without', async () => {
    const mine = await putInvitation(api.database.url, { teamId: api.team.teamId })
    const theirs = await putInvitation(api.database.url, { teamId: api.team.teamId })
    for (const token of ['pawl_x', 'pawl_000000000000_000000000000000000000000000000000000', api.team.token]) {
      const answer = await accept({ token }, api.team.token)
      expect(answer).toMatchObject({ code: 'NOT_FOUND', message: 'There is no invitation with this token.' })
    }
    expect(await accept({}, api.team.token)).toMatchObject({
      code: 'VALIDATION_FAILED',
      faults: [{ path: ['input', 'token'] }],
    })
    expect(await accept({ token: theirs.token }, mine.token)).toMatchObject({ code: 'VALIDATION_FAILED' })
    expect(await accept({ token: mine.token }, mine.token)).toMatchObject({ __typename: 'AcceptInvitationPayload' })
  })

  test('into a plan that is full, of members or of owners', async () => {
    for (const [kind, role] of [
      ['members', 'viewer'],
      ['owners', 'owner'],
    ] as const) {
      const team = await createTeam(api.database.url)
      await withTriggersOff(api.database.url, async (sql) => {
        await sql`update plan_usage set cap = 1 where team_id = ${team.teamId} and kind = ${kind}`
      })
      const { token, id } = await putInvitation(api.database.url, { teamId: team.teamId, role })
      expect(await accept({}, token)).toMatchObject({
        code: 'QUOTA_EXCEEDED',
        message: `The plan of that team has room for 1 ${kind}, and all of it is in use. The invitation is as it was.`,
        limit: kind,
        cap: 1,
        used: 1,
      })
      const { data } = await api.call(
        'query ($id: ID!) { invitation(id: $id) { state } members { totalCount } }',
        { id },
        team.token,
      )
      expect(data).toEqual({ invitation: { state: 'PENDING' }, members: { totalCount: 1 } })
    }
  })
})

describe('an invitation', () => {
  test('is withdrawn once, and is good for nothing then', async () => {
    const { token, id } = await putInvitation(api.database.url, { teamId: api.team.teamId })
    const withdraw = () =>
      mutate(
        api,
        'withdrawInvitation',
        { id },
        '... on WithdrawInvitationPayload { invitation { state } } ... on IllegalState { invitation { state } }',
      )
    expect(await withdraw()).toMatchObject({ invitation: { state: 'WITHDRAWN' } })
    expect(await withdraw()).toMatchObject({ code: 'ILLEGAL_STATE', invitation: { state: 'WITHDRAWN' } })
    expect(await accept({}, token)).toMatchObject({ code: 'ILLEGAL_STATE' })
  })

  test('of an owner is made by an owner alone', async () => {
    const admin = await putMember(api.database.url, { teamId: api.team.teamId, role: 'admin' })
    expect(await invite({ email: 'o@example.org', role: 'OWNER' }, admin.token)).toMatchObject({
      __typename: 'Forbidden',
      missing: 'owner',
    })
    expect(await invite({ email: 'o@example.org', role: 'ADMIN' }, admin.token)).toMatchObject({
      plaintext: expect.any(String),
    })
    const developer = await putMember(api.database.url, { teamId: api.team.teamId, role: 'developer' })
    expect(await invite({ email: 'o@example.org', role: 'VIEWER' }, developer.token)).toMatchObject({
      __typename: 'Forbidden',
      missing: 'admin',
    })
  })

  test('is for an address', async () => {
    for (const email of ['', 'nobody', 'a b@example.org', `${'x'.repeat(250)}@example.org`, 'a@\u0000'])
      expect(await invite({ email, role: 'VIEWER' })).toMatchObject({ code: 'VALIDATION_FAILED' })
  })
})
