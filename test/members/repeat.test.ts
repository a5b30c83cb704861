// A repeat under its key is told what it was told, also when the caller lacks by then what it took; and whoever lacks
// something is told what is in the way: the token, or the role behind it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTeam } from '../fixture.ts'
import { putMember } from '../member-row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { capital, mutate } from '../schema/call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const ask = (mutation: string, input: object, token: string) =>
  mutate(api, mutation, input, `... on ${capital(mutation)}Payload { replayed } ... on Forbidden { missing }`, token)

test('a deletion of the team, repeated while it can be restored', async () => {
  const { teamId: id, token } = await createTeam(api.database.url)
  const remove = (more: object) => ask('deleteTeam', { id, ...more }, token)
  expect(await remove({ idempotencyKey: 'd' })).toMatchObject({ replayed: false })
  expect(await remove({ idempotencyKey: 'd' })).toMatchObject({ replayed: true })
  expect(await remove({ idempotencyKey: 'e' })).toMatchObject({ code: 'ILLEGAL_STATE' })
})

test('an owner who has stepped down by the call itself, or whose team is going', async () => {
  const { teamId, token } = await createTeam(api.database.url)
  const self = await putMember(api.database.url, { teamId, role: 'owner' })
  const leave = (role: string, idempotencyKey: string) =>
    ask('setMemberRole', { id: self.id, role, idempotencyKey }, self.token)
  expect(await leave('VIEWER', 'v')).toMatchObject({ replayed: false })
  expect(await leave('VIEWER', 'v')).toMatchObject({ replayed: true })
  expect(await leave('ADMIN', 'v')).toMatchObject({ __typename: 'Forbidden' })
  expect(await leave('VIEWER', 'w')).toMatchObject({ __typename: 'Forbidden' })
  await ask('deleteTeam', { id: teamId }, token)
  expect(await leave('VIEWER', 'v')).toMatchObject({ replayed: true })
})

test('a role that has not got the scope is named, and no token is offered', async () => {
  const { teamId } = await createTeam(api.database.url)
  const { token } = await putMember(api.database.url, { teamId, role: 'developer' })
  const refused = await ask('createTeam', { name: 'x' }, token)
  expect(refused).toMatchObject({
    missing: 'admin',
    message: 'The caller’s role DEVELOPER does not have the scope admin.',
  })
  expect(refused.remedies[0].explanation).toContain('for another role')
  const narrow = await putMember(api.database.url, { teamId, role: 'owner', scopes: ['read'] })
  const lacks = await ask('createTeam', { name: 'x' }, narrow.token)
  expect(lacks.message).toBe('The caller lacks the scope admin.')
  expect(lacks.remedies[0].explanation).toContain('createApiToken')
  const admin = await putMember(api.database.url, { teamId, role: 'admin' })
  expect((await ask('deleteTeam', { id: teamId }, admin.token)).message).toBe('The caller lacks the role OWNER.')
})
