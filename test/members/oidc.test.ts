// Members by an OIDC issuer: a real issuer, its JWTs at the door, and which team is meant when somebody is in several.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOidcVerifier } from '../../src/oidc.ts'
import { createTeam, type TestTeam } from '../fixture.ts'
import { putInvitation, putMember } from '../member-row.ts'
import { audience, startIssuer, startOfTime, type TestIssuer } from '../oidc-issuer.ts'
import { withTriggersOff } from '../row.ts'
import { type Api, openApi } from '../schema/api.ts'
import { mutate } from '../schema/call.ts'

let issuer: TestIssuer
let api: Api
let second: TestTeam
beforeAll(async () => {
  issuer = await startIssuer()
  const oidc = createOidcVerifier({ issuer: issuer.url, audience, now: () => startOfTime + 1_000 })
  api = await openApi({ oidc })
  second = await createTeam(api.database.url, { name: 'second' })
})
afterAll(async () => {
  await api.close()
  await issuer.stop()
})

const jwtOf = (sub: string, claims: object = {}) => issuer.token({ claims: { sub, ...claims } })
const identityOf = (sub: string) => `oidc:${issuer.url}#${sub}`
const ask = async (query: string, token: string, team?: string) => {
  const answer = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      authorization: `Bearer ${token}`,
      ...(team === undefined ? {} : { 'pawl-team': team }),
    },
    body: JSON.stringify({ query }),
  })
  return { status: answer.status, ...(await answer.json()) }
}
const viewer = '{ viewer { role scopes token { id } member { id name email } team { id } teams { teamId } } }'
const join = `... on AcceptInvitationPayload { plaintext token { id } member { id name email role } } ... on AlreadyMember { member { id } }`

describe('an identity of the issuer', () => {
  test('that is no member may accept an invitation and nothing else; then it acts by its role, with no token of ours', async () => {
    const jwt = await jwtOf('ada', { name: 'Ada', email: 'ada@corp.example', email_verified: true })
    expect(await ask(viewer, jwt)).toMatchObject({ status: 403, errors: [{ extensions: { missing: 'read' } }] })
    expect(await mutate(api, 'createTeam', { name: 'mine' }, '... on Forbidden { missing }', jwt)).toMatchObject({
      missing: 'admin',
    })
    const { token } = await putInvitation(api.database.url, { teamId: api.team.teamId, role: 'admin' })
    const joined = await mutate(api, 'acceptInvitation', { token, idempotencyKey: 'k' }, join, jwt)
    expect(joined).toMatchObject({
      plaintext: null,
      token: null,
      member: { name: 'Ada', email: 'ada@example.org', role: 'ADMIN' },
    })
    const { data } = await ask(viewer, jwt)
    expect(data.viewer).toMatchObject({
      role: 'ADMIN',
      scopes: expect.arrayContaining(['admin', 'deploy', 'read']),
      token: null,
      member: { id: joined.member.id },
      team: { id: api.team.teamId },
      teams: [{ teamId: api.team.teamId }],
    })
    const more = await putInvitation(api.database.url, { teamId: api.team.teamId })
    expect(await mutate(api, 'acceptInvitation', { token: more.token }, join, jwt)).toMatchObject({
      __typename: 'AlreadyMember',
      member: { id: joined.member.id },
    })
    // What it does is done by the member: its events, and the tokens that it makes for its programs.
    const made = await mutate(
      api,
      'createApiToken',
      { name: 'ci', scopes: ['deploy'] },
      '... on CreateApiTokenPayload { token { member { id } } }',
      jwt,
    )
    expect(made.token.member.id).toBe(joined.member.id)
    const [row] = await rows(
      `select actor_kind, actor_id from event where subject_type = 'ApiToken' order by id desc limit 1`,
    )
    expect(row).toEqual({ actor_kind: 'member', actor_id: joined.member.id })
  })

  test('of several teams says which one; where it is not a member it is told so, as of a team that is not there', async () => {
    const identity = identityOf('eve')
    await putMember(api.database.url, { teamId: api.team.teamId, role: 'viewer', identity })
    await putMember(api.database.url, { teamId: second.teamId, role: 'owner', identity })
    const jwt = await jwtOf('eve')
    const unclear = await ask(viewer, jwt)
    expect(unclear).toMatchObject({ status: 400, errors: [{ extensions: { code: 'TEAM_REQUIRED' } }] })
    for (const id of [api.team.teamId, second.teamId]) expect(unclear.errors[0].message).toContain(id)
    expect((await ask(viewer, jwt, api.team.teamId)).data.viewer).toMatchObject({
      role: 'VIEWER',
      team: { id: api.team.teamId },
    })
    expect((await ask(viewer, jwt, second.teamId)).data.viewer).toMatchObject({
      role: 'OWNER',
      team: { id: second.teamId },
    })
    const third = await createTeam(api.database.url)
    const answers = await Promise.all(
      [third.teamId, 'team_nobody'].map(async (id) => {
        const { status, errors } = await ask(viewer, jwt, id)
        return [status, errors[0].extensions.code, errors[0].message.replace(id, 'ID')]
      }),
    )
    expect(answers[0]).toEqual([
      403,
      'NOT_A_MEMBER',
      'You are no member of a team "ID", which the header Pawl-Team names.',
    ])
    expect(answers[1]).toEqual(answers[0])
    // A token of ours has one team; the header may say so, and nothing else.
    expect((await ask(viewer, second.token, second.teamId)).status).toBe(200)
    expect((await ask(viewer, second.token, api.team.teamId)).status).toBe(403)
  })

  test('is let in no more once it is removed', async () => {
    const { id } = await putMember(api.database.url, {
      teamId: second.teamId,
      role: 'viewer',
      identity: identityOf('bob'),
    })
    const jwt = await jwtOf('bob')
    expect((await ask(viewer, jwt)).status).toBe(200)
    expect(
      await mutate(api, 'removeMember', { id }, '... on RemoveMemberPayload { member { state } }', second.token),
    ).toMatchObject({ member: { state: 'REMOVED' } })
    expect((await ask(viewer, jwt)).status).toBe(403)
  })
})

test('a JWT that is not good is a bad token; one whose key cannot be had is told to come again', async () => {
  const good = await jwtOf('ada')
  for (const bad of [`${good.slice(0, -4)}AAAA`, await issuer.token({ claims: { aud: 'others' } }), 'a.b.c']) {
    expect(await ask(viewer, bad)).toMatchObject({ status: 401, errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] })
  }
  const other = await openApi({
    oidc: createOidcVerifier({ issuer: issuer.url, audience, now: () => startOfTime + 1_000 }),
  })
  await issuer.stop()
  try {
    const answer = await other.call(viewer, {}, good)
    expect(answer.status).toBe(503)
    expect(answer.errors?.[0]?.extensions).toMatchObject({
      code: 'TEMPORARILY_UNAVAILABLE',
      retryAfterMs: expect.any(Number),
    })
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    // A token of ours needs no issuer.
    expect((await other.call(viewer, {}, other.team.token)).status).toBe(200)
  } finally {
    await issuer.start()
    await other.close()
  }
})

test('without an issuer no JWT is taken', async () => {
  const plain = await openApi()
  expect((await plain.call(viewer, {}, await jwtOf('ada'))).status).toBe(401)
  await plain.close()
})

async function rows(query: string) {
  let found: unknown[] = []
  await withTriggersOff(api.database.url, async (sql) => {
    found = [...(await sql.unsafe(query))]
  })
  return found
}
