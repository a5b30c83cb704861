// What must be right though nobody looks: an answer that was lost on its way, and what the loops end.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import { countMoves } from '../../src/loops/count.ts'
import { expireLoop } from '../../src/loops/expire.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { createMetrics } from '../../src/metrics.ts'
import { authenticate } from '../../src/resolvers/authenticate.ts'
import { acceptInvitation } from '../../src/resolvers/invitation.ts'
import { removeMember } from '../../src/resolvers/member.ts'
import { createTeam } from '../../src/resolvers/team.ts'
import { countedMembers, putInvitation, putMember } from '../member-row.ts'
import { openWorld, type World } from '../races/world.ts'
import { contextFor } from '../row.ts'
import { startWireProxy, type WireProxy } from '../wire-proxy.ts'

let world: World
let proxy: WireProxy
let pool: Pool
beforeAll(async () => {
  world = await openWorld()
  proxy = await startWireProxy(world.url)
  pool = openPool({ url: proxy.url, purpose: 'api', slots: 1, statementTimeoutMs: 5_000 })
})
afterAll(async () => {
  await pool.close({ timeoutMs: 0 })
  await proxy.close()
  await world.close()
})

test('an acceptance whose answer is lost still shows the token, which works, and has made one member', async () => {
  const { teamId } = world.team
  const accept = async () => {
    const { actor } = await putInvitation(world.stranger, { teamId })
    const answer = await acceptInvitation(contextFor(pool.db, actor), {})
    return answer as { plaintext: string; member: { id: string }; token: { id: string } }
  }
  // The connection knows the statements by then: one answer each.
  await accept()
  const before = (await countedMembers(world.stranger, teamId)).members
  const lost = proxy.swallow({ after: 1 })
  const answer = await accept()
  await lost
  expect(await authenticate(pool.db, answer.plaintext)).toMatchObject({
    id: answer.token.id,
    memberId: answer.member.id,
  })
  expect((await countedMembers(world.stranger, teamId)).members).toBe(before + 1)
})

test('a team whose answer is lost is there with its owner and its token', async () => {
  const create = () => createTeam(contextFor(pool.db, world.team.actor), { name: 'lost' })
  await create()
  const lost = proxy.swallow({ after: 1 })
  const answer = await create()
  await lost
  const { plaintext, team, member } = answer as { plaintext: string; team: { id: string }; member: { id: string } }
  expect(await authenticate(pool.db, plaintext)).toMatchObject({ teamId: team.id, memberId: member.id, role: 'owner' })
})

test('the loops end invitations whose time is over and tokens whose member was removed, and count it', async () => {
  const { teamId } = world.team
  const late = await putInvitation(world.stranger, { teamId, expiresInSeconds: -1 })
  const open = await putInvitation(world.stranger, { teamId })
  const member = await putMember(world.stranger, { teamId, role: 'developer' })
  await removeMember(contextFor(world.pool.db, world.team.actor), { id: member.id })
  const metrics = createMetrics({ strict: true })
  const signal = new AbortController().signal
  const loops = [expireLoop, teardownLoop].map((loop) =>
    loop(world.pool.db, (rule, count) => countMoves(metrics, rule, count)),
  )
  for (const loop of loops) await loop.pass(signal)
  const states = await world.stranger<{ id: string; state: string }[]>`
    select id, state from invitation where id in (${late.id}, ${open.id}) union all
    select id, state from api_token where id in (${member.actor.id}, ${world.team.actor.id})`
  expect(Object.fromEntries(states.map(({ id, state }) => [id, state]))).toEqual({
    [late.id]: 'EXPIRED',
    [open.id]: 'PENDING',
    [member.actor.id]: 'REVOKED',
    [world.team.actor.id]: 'ACTIVE',
  })
  const text = await metrics.text()
  expect(text).toContain('pawl_transitions_total{entity="invitation",action="expireInvitation",outcome="moved"} 1')
  expect(text).toContain('pawl_transitions_total{entity="api_token",action="revokeApiToken",outcome="moved"} 1')
})
