// How a stream is ended by something else than its client: its credential is worth nothing any more, or something else than
// before, or runs out; the process goes away. Each within a second, with a last word that says why.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOidcVerifier } from '../../src/oidc.ts'
import { createTeam, createToken, type TestTeam } from '../fixture.ts'
import { holdRow, untilBlocked } from '../interleave.ts'
import { putMember } from '../member-row.ts'
import { audience, startIssuer } from '../oidc-issuer.ts'
import type { Subscription } from './client.ts'
import { type LiveStage, openLiveStage, openStreams } from './stage.ts'

const events = 'subscription { events { cursor subjectId } }'

/** Waits for the end of a stream; says how long it took and what was said last. */
async function ending(stream: Subscription, since: number) {
  await stream.over
  const tookMs = performance.now() - since
  const { errors, data } = stream.told.at(-1) ?? {}
  expect([data, errors?.length, stream.completed()]).toEqual([undefined, 1, true])
  return { tookMs, ...errors?.[0]?.extensions } as { tookMs: number } & Record<string, unknown>
}

/** Waits until the stream's credential is being watched: the stream follows, and its watch does. */
const watched = (stage: LiveStage) =>
  expect.poll(() => stage.api.hub.size()).toMatchObject({ followers: 2, waiting: 2 })

async function does(stage: LiveStage, mutation: string, input: object, token: string): Promise<number> {
  const Name = mutation.charAt(0).toUpperCase() + mutation.slice(1)
  const document = `mutation ($input: ${Name}Input!) { ${mutation}(input: $input) { __typename } }`
  const answer = await stage.api.call(document, { input }, token)
  expect(answer.data?.[mutation].__typename, answer.text).toBe(`${Name}Payload`)
  return performance.now()
}

describe.each([
  ['told by nudges', true],
  ['found by polls alone', false],
] as const)('a stream ends within a second, %s', (_, nudges) => {
  let stage: LiveStage
  let team: TestTeam
  beforeAll(async () => {
    stage = await openLiveStage({ nudges })
  })
  afterAll(() => stage.close())

  const opened = async (token: string) => {
    const stream = await stage.subscribe(events, { token })
    await watched(stage)
    return stream
  }

  test('when its token is revoked', async () => {
    team = await createTeam(stage.api.database.url)
    const { token, actor } = await createToken(stage.api.database.url, team.teamId)
    const stream = await opened(token)
    const { tookMs, code } = await ending(stream, await does(stage, 'revokeApiToken', { id: actor.id }, team.token))
    process.stdout.write(`a revoked token lost its stream after ${Math.round(tookMs)} ms, ${_}\n`)
    expect(code).toBe('UNAUTHENTICATED')
    expect(tookMs).toBeLessThan(1_000)
    expect((await stage.subscribe(events, { token })).status).toBe(401)
    await stage.empty()
  })

  test('when its member is removed', async () => {
    const member = await putMember(stage.api.database.url, { teamId: team.teamId, role: 'developer' })
    const stream = await opened(member.token)
    const { tookMs, code } = await ending(stream, await does(stage, 'removeMember', { id: member.id }, team.token))
    expect(code).toBe('UNAUTHENTICATED')
    expect(tookMs).toBeLessThan(1_000)
    await stage.empty()
  })

  test('when its member is given another role: whoever still may subscribes again', async () => {
    const member = await putMember(stage.api.database.url, { teamId: team.teamId, role: 'developer' })
    const stream = await opened(member.token)
    const since = await does(stage, 'setMemberRole', { id: member.id, role: 'VIEWER' }, team.token)
    const { tookMs, code, retryable } = await ending(stream, since)
    expect([code, retryable]).toEqual(['FORBIDDEN', true])
    expect(tookMs).toBeLessThan(1_000)
    ;(await opened(member.token)).cut()
    await stage.empty()
  })

  test('when its team is being deleted', async () => {
    const stream = await opened(team.token)
    const { tookMs, code } = await ending(stream, await does(stage, 'deleteTeam', { id: team.teamId }, team.token))
    expect(code).toBe('FORBIDDEN')
    expect(tookMs).toBeLessThan(1_000)
    await stage.empty()
  })

  test('when its token expires, though nothing happens', async () => {
    const expiresAt = performance.now() + 700
    const { token } = await createToken(stage.api.database.url, stage.api.team.teamId, { expiresInMs: 700 })
    const stream = await stage.subscribe(events, { token })
    const { tookMs, code } = await ending(stream, expiresAt)
    expect(code).toBe('UNAUTHENTICATED')
    expect(tookMs).toBeLessThan(1_000)
    expect(tookMs).toBeGreaterThan(-50)
    await stage.empty()
  })

  test('and goes on when what happens to its team or another token takes nothing from it', async () => {
    const { token, actor } = await createToken(stage.api.database.url, stage.api.team.teamId)
    const stream = await opened(token)
    const [other] = [await createToken(stage.api.database.url, stage.api.team.teamId)]
    await does(stage, 'revokeApiToken', { id: other.actor.id }, stage.api.team.token)
    await does(stage, 'setSelfApproval', { teamId: actor.teamId, policy: 'NEVER' }, stage.api.team.token)
    const id = await stage.deploy()
    for (let told = await stream.next(); told?.data?.events.subjectId !== id; told = await stream.next())
      expect(told).toMatchObject({ data: { events: {} } })
    stream.cut()
    await stage.empty()
  })
})

test('when the JWT that it was opened with runs out', async () => {
  const issuer = await startIssuer()
  const stage = await openLiveStage({ oidc: createOidcVerifier({ issuer: issuer.url, audience }) })
  await putMember(stage.api.database.url, {
    teamId: stage.api.team.teamId,
    role: 'viewer',
    identity: `oidc:${issuer.url}#ada`,
  })
  const exp = Math.ceil(Date.now() / 1_000) + 1
  const token = await issuer.token({ at: Date.now(), claims: { sub: 'ada', exp } })
  const stream = await stage.subscribe(events, { token })
  expect(stream.status).toBe(200)
  const { tookMs, code } = await ending(stream, performance.now() + (exp * 1_000 - Date.now()))
  expect(code).toBe('UNAUTHENTICATED')
  expect(tookMs).toBeLessThan(1_000)
  await stage.close()
  await issuer.stop()
})

test('a process that shuts down sends 500 streams elsewhere within 10 s, and cuts no mutation off', async () => {
  const stage = await openLiveStage()
  const id = await stage.deploy()
  const teams = [stage.api.team, await createTeam(stage.api.database.url), await createTeam(stage.api.database.url)]
  const streams = await stage.subscribeAll(500, (at) => ({ query: events, token: teams[at % 3]?.token ?? '' }))
  expect(await openStreams(stage.api)).toBe(500)
  const stranger = await holdRow(stage.sql, 'deployment', id)
  const changed = stage.change(id)
  await untilBlocked(stage.sql, 'mergeDeploymentEnv')
  const since = performance.now()
  const stopped = stage.api.server.stop(30_000)
  const ends = await Promise.all(streams.map((stream) => ending(stream, since)))
  expect(new Set(ends.map(({ code }) => code))).toEqual(new Set(['SHUTTING_DOWN']))
  for (const { retryAfterMs } of ends) expect(retryAfterMs).toBeGreaterThan(0)
  await stranger.release()
  await changed
  await stopped
  const tookMs = performance.now() - since
  process.stdout.write(`500 streams were sent elsewhere, and the process ended, within ${Math.round(tookMs)} ms\n`)
  expect(tookMs).toBeLessThan(10_000)
  await stage.close()
}, 60_000)
