// Teams over the API: made with a first owner and its token, deleted with a window in which they are read and restored, and
// what members may do to each other.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { countedMembers, putInvitation, putMember } from '../member-row.ts'
import { ownerOf } from '../owner.ts'
import { withTriggersOff } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { deployed, mutate } from '../schema/call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const forbidden = (missing: string) => ({ __typename: 'Forbidden', code: 'FORBIDDEN', missing })
const allowedIn = (actions: { action: string; allowed: boolean }[]) =>
  actions.filter(({ allowed }) => allowed).map(({ action }) => action)

describe('createTeam', () => {
  const selection = `... on CreateTeamPayload { replayed plaintext team { id name state plan } member { id name role } token { id scopes actionClasses } }
    ... on Forbidden { missing }`
  const create = (input: object, token?: string) => mutate(api, 'createTeam', input, selection, token)

  test('makes a team, its owner and a token that acts for it; a repeat makes no second one and shows no token', async () => {
    const made = await create({ name: 'Second', idempotencyKey: 't1' })
    expect(made).toMatchObject({
      replayed: false,
      plaintext: expect.stringMatching(/^pawl_/),
      team: { name: 'Second', state: 'ACTIVE', plan: 'standard' },
      member: { name: 'owner', role: 'OWNER' },
    })
    const { data } = await api.call(
      '{ viewer { role teams { teamId } } team { id usage { kind used cap } members { totalCount nodes { id } } invitations { nodes { id } } } }',
      {},
      made.plaintext,
    )
    expect(data).toEqual({
      viewer: { role: 'OWNER', teams: [{ teamId: api.team.teamId }, { teamId: made.team.id }] },
      team: {
        id: made.team.id,
        usage: [
          { kind: 'deployments', used: 0, cap: 100 },
          { kind: 'resources', used: 0, cap: 20 },
          { kind: 'stacks', used: 0, cap: 50 },
          { kind: 'secrets', used: 0, cap: 200 },
          { kind: 'members', used: 1, cap: 100 },
          { kind: 'owners', used: 1, cap: 100 },
          { kind: 'instances', used: 0, cap: 1000 },
          { kind: 'webhooks', used: 0, cap: 20 },
        ],
        members: { totalCount: 1, nodes: [{ id: made.member.id }] },
        invitations: { nodes: [] },
      },
    })
    const { plaintext: _, ...told } = made
    const again = await create({ name: 'Second', idempotencyKey: 't1' })
    expect(again).toEqual({ ...told, plaintext: null, replayed: true })
    // Who has left since is shown nothing of it any more.
    await withTriggersOff(api.database.url, async (sql) => {
      await sql`update member set state = 'REMOVED' where id = ${made.member.id}`
    })
    expect(await create({ name: 'Second', idempotencyKey: 't1' })).toMatchObject({
      replayed: true,
      team: null,
      member: null,
    })
    expect((await api.call('{ viewer { role } }', {}, made.plaintext)).status).toBe(401)
  })

  test('gives a token no more than its maker has, and takes the scope admin', async () => {
    const made = await mutate(
      api,
      'createApiToken',
      { name: 'narrow', scopes: ['admin', 'read'], actionClasses: ['read', 'creating'] },
      '... on CreateApiTokenPayload { plaintext }',
    )
    const { token } = await create({ name: 'narrow' }, made.plaintext)
    expect(token).toMatchObject({ scopes: ['admin', 'read'], actionClasses: ['read', 'creating'] })
    const developer = await putMember(api.database.url, { teamId: api.team.teamId, role: 'developer' })
    expect(await create({ name: 'x' }, developer.token)).toMatchObject(forbidden('admin'))
    expect(await create({ name: 'a\u202eb' })).toMatchObject({ code: 'VALIDATION_FAILED' })
  })
})

describe('the end of a team', () => {
  const selection = (name: string) =>
    `... on ${name}Payload { team { state deletionAt } } ... on IllegalState { action team { id state } } ... on Forbidden { missing }`
  const remove = (id: string, token: string) => mutate(api, 'deleteTeam', { id }, selection('DeleteTeam'), token)
  const restore = (id: string, token: string) => mutate(api, 'restoreTeam', { id }, selection('RestoreTeam'), token)
  const actions = '{ team { state allowedActions { action allowed because } } }'

  test('can be taken back for seven days, in which it is read and nothing else', async () => {
    const team = await createTeam(api.database.url)
    const invitation = await putInvitation(api.database.url, { teamId: team.teamId })
    const admin = await putMember(api.database.url, { teamId: team.teamId, role: 'admin' })
    const { id } = await deployed(api, 'kept', team.token)
    expect(await remove(team.teamId, admin.token)).toMatchObject(forbidden('owner'))
    const asked = await remove(team.teamId, team.token)
    expect(asked.team.state).toBe('DELETION_REQUESTED')
    expect((Date.parse(asked.team.deletionAt) - Date.now()) / 86_400_000).toBeCloseTo(7, 2)

    const read = await api.call(
      `query ($id: ID!) { deployment(id: $id) { state allowedActions { allowed because } } }`,
      { id },
      team.token,
    )
    expect(read.data.deployment.state).toBe('BUILDING')
    for (const { allowed, because } of read.data.deployment.allowedActions) {
      expect([allowed, because]).toEqual([false, expect.stringContaining('The team is being deleted')])
    }
    for (const [mutation, input] of [
      ['deploy', { name: 'late', image: 'hello' }],
      ['deleteDeployment', { id }],
      ['createApiToken', { name: 'late', scopes: ['read'] }],
      ['inviteMember', { email: 'a@example.org', role: 'VIEWER' }],
      ['createTeam', { name: 'late' }],
    ] as const) {
      const refused = await mutate(api, mutation, input, '... on Forbidden { missing }', team.token)
      expect(refused).toMatchObject({
        ...forbidden('ACTIVE'),
        remedies: [{ mutation: 'restoreTeam', arguments: { input: { id: team.teamId } } }],
      })
    }
    const twice = await remove(team.teamId, team.token)
    expect(twice).toMatchObject({ code: 'ILLEGAL_STATE', remedies: [{ mutation: null, query: 'team' }] })
    expect(twice.message).toContain('is being deleted already')
    // Whoever may not restore it is not told to.
    const refused = await mutate(api, 'deploy', { name: 'late', image: 'hello' }, '', admin.token)
    expect(refused).toMatchObject({ code: 'FORBIDDEN', remedies: [] })
    for (const [input, caller] of [
      [{}, invitation.token],
      [{ token: invitation.token }, api.team.token],
    ] as const) {
      const told = await mutate(api, 'acceptInvitation', input, '... on Forbidden { missing }', caller)
      expect(told).toMatchObject({ ...forbidden('ACTIVE'), remedies: [] })
      expect(told.message).toContain('is being deleted')
    }

    const told = await api.call(actions, {}, team.token)
    expect(allowedIn(told.data.team.allowedActions)).toEqual(['restoreTeam'])
    expect(allowedIn((await api.call(actions, {}, admin.token)).data.team.allowedActions)).toEqual([])
    expect(await restore(team.teamId, admin.token)).toMatchObject(forbidden('owner'))
    expect(await restore(team.teamId, team.token)).toMatchObject({ team: { state: 'ACTIVE', deletionAt: null } })
    expect(allowedIn((await api.call(actions, {}, team.token)).data.team.allowedActions)).toContain('deleteTeam')
    expect(await mutate(api, 'deleteDeployment', { id }, '', team.token)).toMatchObject({
      __typename: 'DeleteDeploymentPayload',
    })
  })

  test('is asked for once, and cannot be taken back when the time is over', async () => {
    const team = await createTeam(api.database.url)
    expect(await restore(team.teamId, team.token)).toMatchObject({
      code: 'ILLEGAL_STATE',
      action: 'restoreTeam',
      team: { state: 'ACTIVE' },
    })
    await remove(team.teamId, team.token)
    await withTriggersOff(api.database.url, async (sql) => {
      await sql`update team set deletion_at = now() - interval '1 second' where id = ${team.teamId}`
    })
    const late = await restore(team.teamId, team.token)
    expect(late).toMatchObject({ code: 'ILLEGAL_STATE', team: { state: 'DELETION_REQUESTED' } })
    expect(late.message).toMatch(/could be restored until \d{4}-/)
    expect((await api.call(actions, {}, team.token)).data.team.allowedActions).toContainEqual({
      action: 'restoreTeam',
      allowed: false,
      because: 'The time to restore it is over.',
    })
  })

  test('is nobody else’s to ask for', async () => {
    const team = await createTeam(api.database.url)
    for (const id of [team.teamId, 'team_01k0000000fk2bcxf0axbft41e']) {
      const refused = await remove(id, api.team.token)
      expect(refused).toMatchObject({
        code: 'NOT_FOUND',
        message: `There is no team "${id}".`,
        remedies: [{ query: 'viewer' }],
      })
    }
    const { data } = await api.call('query ($id: ID!) { team(id: $id) { id } node(id: $id) { id } }', {
      id: team.teamId,
    })
    expect(data).toEqual({ team: null, node: null })
  })
})

describe('members', () => {
  const selection = (name: string) => `... on ${name}Payload { member { id state role version } }
    ... on IllegalState { member { state } } ... on LastOwner { member { id } } ... on Forbidden { missing } ... on VersionConflict { currentVersion }`
  const setRole = (id: string, role: string, token?: string, more: object = {}) =>
    mutate(api, 'setMemberRole', { id, role, ...more }, selection('SetMemberRole'), token)
  const remove = (id: string, token?: string) => mutate(api, 'removeMember', { id }, selection('RemoveMember'), token)
  const actionsOf = async (id: string, token: string) => {
    const { data } = await api.call(
      'query ($id: ID!) { member(id: $id) { allowedActions { action allowed because } } }',
      { id },
      token,
    )
    return allowedIn(data.member.allowedActions)
  }
  const isTrue = async (teamId: string) => {
    const { counted, ...rows } = await countedMembers(api.database.url, teamId)
    expect(counted).toEqual(rows)
    return rows
  }

  test('get another role, which counts from the next request on', async () => {
    const { teamId, token } = await createTeam(api.database.url)
    const member = await putMember(api.database.url, { teamId, role: 'developer' })
    const scopes = async () => (await api.call('{ viewer { role scopes } }', {}, member.token)).data.viewer
    expect(await setRole(member.id, 'VIEWER', token)).toMatchObject({
      member: { role: 'VIEWER', state: 'ACTIVE', version: '2' },
    })
    expect(await scopes()).toEqual({ role: 'VIEWER', scopes: ['read'] })
    expect(await setRole(member.id, 'OWNER', token)).toMatchObject({ member: { role: 'OWNER' } })
    expect((await scopes()).role).toBe('OWNER')
    expect(await isTrue(teamId)).toEqual({ members: 2, owners: 2 })
    expect(await setRole(member.id, 'ADMIN', token, { expectedVersion: '2' })).toMatchObject({
      code: 'VERSION_CONFLICT',
      currentVersion: '3',
    })
    expect(await setRole(ownerOf(teamId), 'ADMIN', member.token)).toMatchObject({ member: { role: 'ADMIN' } })
    expect(await isTrue(teamId)).toEqual({ members: 2, owners: 1 })
  })

  test('are owners by the word of owners alone; an admin does the rest', async () => {
    const { teamId } = await createTeam(api.database.url)
    const admin = await putMember(api.database.url, { teamId, role: 'admin' })
    const developer = await putMember(api.database.url, { teamId, role: 'developer' })
    const owner = ownerOf(teamId)
    expect(await setRole(developer.id, 'OWNER', admin.token)).toMatchObject(forbidden('owner'))
    expect(await setRole(owner, 'VIEWER', admin.token)).toMatchObject(forbidden('owner'))
    expect(await remove(owner, admin.token)).toMatchObject(forbidden('owner'))
    expect(await actionsOf(owner, admin.token)).toEqual([])
    expect(await actionsOf(developer.id, admin.token)).toEqual(['setMemberRole', 'removeMember'])
    expect(await setRole(developer.id, 'VIEWER', developer.token)).toMatchObject(forbidden('admin'))
    expect(await setRole(developer.id, 'ADMIN', admin.token)).toMatchObject({ member: { role: 'ADMIN' } })
    expect(await remove(developer.id, admin.token)).toMatchObject({ member: { state: 'REMOVED' } })
    expect(await isTrue(teamId)).toEqual({ members: 2, owners: 1 })
  })

  test('are gone at once with all their tokens, and not twice', async () => {
    const { teamId, token } = await createTeam(api.database.url)
    const member = await putMember(api.database.url, { teamId, role: 'admin' })
    expect(await remove(member.id, token)).toMatchObject({ member: { state: 'REMOVED' } })
    expect((await api.call('{ viewer { role } }', {}, member.token)).status).toBe(401)
    expect(await remove(member.id, token)).toMatchObject({ code: 'ILLEGAL_STATE', member: { state: 'REMOVED' } })
    expect(await setRole(member.id, 'VIEWER', token)).toMatchObject({
      code: 'ILLEGAL_STATE',
      member: { state: 'REMOVED' },
    })
    expect(await isTrue(teamId)).toEqual({ members: 1, owners: 1 })
  })

  test('leave no team without an owner', async () => {
    const { teamId, token } = await createTeam(api.database.url)
    const owner = ownerOf(teamId)
    for (const answer of [await remove(owner, token), await setRole(owner, 'ADMIN', token)]) {
      expect(answer).toMatchObject({ code: 'LAST_OWNER', retryable: false, member: { id: owner } })
      expect(answer.remedies).toEqual([expect.objectContaining({ query: 'members' })])
    }
    expect(await isTrue(teamId)).toEqual({ members: 1, owners: 1 })
    // What changes nothing about it is no matter.
    expect(await setRole(owner, 'OWNER', token)).toMatchObject({ member: { role: 'OWNER' } })
  })

  test('are made owners only as far as the plan goes', async () => {
    const { teamId, token } = await createTeam(api.database.url)
    const { id } = await putMember(api.database.url, { teamId, role: 'admin' })
    await withTriggersOff(api.database.url, async (sql) => {
      await sql`update plan_usage set cap = 1 where team_id = ${teamId} and kind = 'owners'`
    })
    expect(await setRole(id, 'OWNER', token)).toMatchObject({
      code: 'QUOTA_EXCEEDED',
      remedies: [{ query: 'members' }],
    })
    expect(await isTrue(teamId)).toEqual({ members: 2, owners: 1 })
  })

  test('of another team are not there', async () => {
    const { teamId } = await createTeam(api.database.url)
    const { id } = await putInvitation(api.database.url, { teamId })
    expect(await remove(ownerOf(teamId))).toMatchObject({ code: 'NOT_FOUND' })
    expect(await setRole(ownerOf(teamId), 'VIEWER')).toMatchObject({ code: 'NOT_FOUND' })
    expect(await mutate(api, 'withdrawInvitation', { id })).toMatchObject({ code: 'NOT_FOUND' })
  })
})
