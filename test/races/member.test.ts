// Who is a member, decided while others decide it, too: one invitation makes one member, a team keeps an owner, the plan's
// room is the plan's room. In each race the winner is held half-way while the loser is seen to queue behind it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Actor } from '../../src/auth.ts'
import { isRefusal } from '../../src/refusals.ts'
import { acceptInvitation, withdrawInvitation } from '../../src/resolvers/invitation.ts'
import { expireInvitation } from '../../src/resolvers/invitation-rule.ts'
import { removeMember, setMemberRole } from '../../src/resolvers/member.ts'
import { transitionEach } from '../../src/resolvers/transition.ts'
import { holdCounters, holdKey, holdRow, type Mutation, underWay, untilBlocked } from '../interleave.ts'
import { countedMembers, putInvitation, putMember } from '../member-row.ts'
import { contextFor, createTeam } from '../row.ts'
import { callOf, openWorld, type World } from './world.ts'

let real: World
let bare: World
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
  await bare.stranger`drop index member_identity`
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const said = (result: object): string => (isRefusal(result) ? result.refusal : 'moved')
const as = (world: World, actor: Actor) => contextFor(world.pool.db, actor)
const stateOf = async (world: World, table: string, id: string) =>
  String((await world.stranger.unsafe(`select state from ${table} where id = '${id}'`))[0]?.state)
const stateGuard = (name: string, state: string): Mutation => ({
  name,
  from: `"found".state in ('${state}')`,
  to: 'true',
})

describe('two owners at once', () => {
  type Step = 'leaves' | 'steps down'
  const names = { leaves: 'removeMember', 'steps down': 'setMemberRole' } as const

  async function play(world: World, steps: readonly [Step, Step]) {
    const team = await createTeam(world.stranger)
    const other = await putMember(world.stranger, { teamId: team.teamId, role: 'owner' })
    const counters = await holdCounters(world.stranger, team.teamId)
    const ask = (actor: Actor, step: Step) => {
      const id = String(actor.memberId)
      return underWay<object>(
        step === 'leaves'
          ? removeMember(as(world, actor), { id })
          : setMemberRole(as(world, actor), { id, role: 'viewer' }),
      )
    }
    const first = ask(team.actor, steps[0])
    await untilBlocked(world.stranger, names[steps[0]])
    const second = ask(other.actor, steps[1])
    await untilBlocked(world.stranger, names[steps[1]], steps[0] === steps[1] ? 2 : 1)
    await counters.release()
    const answers = [said(await first), said(await second)]
    return { answers: answers.sort(), owners: (await countedMembers(world.stranger, team.teamId)).owners }
  }
  const lastOwner = ['removeMember', 'setMemberRole'].map((name) => ({
    name,
    from: 'u.used + c.n < 1 and u.cap > 0',
    to: 'false',
  }))

  test.each([[['leaves', 'leaves']], [['steps down', 'steps down']], [['leaves', 'steps down']]] as [[Step, Step]][])(
    '%s: one of them stays an owner',
    async (steps) => {
      expect(await play(real, steps)).toEqual({ answers: ['LastOwner', 'moved'], owners: 1 })
      expect(await play(bare.withMutants(...lastOwner), steps)).toEqual({ answers: ['moved', 'moved'], owners: 0 })
    },
  )
})

describe('one invitation', () => {
  const membersOf = async (world: World, teamId: string) => {
    const { counted, ...rows } = await countedMembers(world.stranger, teamId)
    expect(counted).toEqual(rows)
    return rows.members - 1 // The owner was there before.
  }

  test('R24 R25 accepted twice at once makes one member', async () => {
    const play = async (world: World) => {
      const team = await createTeam(world.stranger)
      const { actor, id } = await putInvitation(world.stranger, { teamId: team.teamId })
      const counters = await holdCounters(world.stranger, team.teamId)
      const both = [acceptInvitation(as(world, actor), {}), acceptInvitation(as(world, actor), {})].map(underWay)
      await untilBlocked(world.stranger, 'acceptInvitation', 2)
      await counters.release()
      const answers = (await Promise.all(both)).map(said).sort()
      return { answers, members: await membersOf(world, team.teamId), state: await stateOf(world, 'invitation', id) }
    }
    expect(await play(real)).toEqual({ answers: ['IllegalState', 'moved'], members: 1, state: 'ACCEPTED' })
    expect(await play(bare.withMutants(stateGuard('acceptInvitation', 'PENDING')))).toMatchObject({
      answers: ['moved', 'moved'],
      members: 2,
    })
  })

  test('R22 R23 accepted twice at once under one key: the second is told what the first was, without the token', async () => {
    const team = await createTeam(real.stranger)
    const { actor } = await putInvitation(real.stranger, { teamId: team.teamId })
    const counters = await holdCounters(real.stranger, team.teamId)
    const accept = () => underWay(acceptInvitation(as(real, actor), { idempotencyKey: 'once' }))
    const both = [accept(), accept()]
    await untilBlocked(real.stranger, 'acceptInvitation', 2)
    await counters.release()
    const answers = (await Promise.all(both)) as {
      replayed: boolean
      plaintext: string | null
      member: { id: string }
    }[]
    expect(new Set(answers.map(({ member }) => member.id)).size).toBe(1)
    expect(answers.filter(({ replayed, plaintext }) => !replayed && plaintext?.startsWith('pawl_'))).toHaveLength(1)
    expect(answers.filter(({ replayed, plaintext }) => replayed && plaintext === null)).toHaveLength(1)
    expect(await membersOf(real, team.teamId)).toBe(1)
  })

  test('R24 R25 and another, accepted at once by one identity, make it a member once', async () => {
    const play = async (world: World) => {
      const team = await createTeam(world.stranger)
      const { actor } = await createTeam(world.stranger)
      const invitations = [
        await putInvitation(world.stranger, { teamId: team.teamId }),
        await putInvitation(world.stranger, { teamId: team.teamId }),
      ]
      const counters = await holdCounters(world.stranger, team.teamId)
      const both = invitations.map(({ token }) => underWay(acceptInvitation(as(world, actor), { token })))
      await untilBlocked(world.stranger, 'acceptInvitation', 2)
      await counters.release()
      const answers = (await Promise.all(both)).map(said).sort()
      const states = await Promise.all(invitations.map(({ id }) => stateOf(world, 'invitation', id)))
      return { answers, members: await membersOf(world, team.teamId), states: states.sort() }
    }
    expect(await play(real)).toEqual({
      answers: ['AlreadyMember', 'moved'],
      members: 1,
      states: ['ACCEPTED', 'PENDING'],
    })
    expect(await play(bare)).toMatchObject({ answers: ['moved', 'moved'], members: 2 })
  })

  test('withdrawn while it is accepted is accepted; accepted while it is withdrawn makes nobody a member', async () => {
    const play = async (world: World, first: 'accept' | 'withdraw') => {
      const team = await createTeam(world.stranger)
      const { actor, id } = await putInvitation(world.stranger, { teamId: team.teamId })
      const accept = () => underWay<object>(acceptInvitation(as(world, actor), {}))
      const withdraw = () => underWay<object>(withdrawInvitation(as(world, team.actor), { id, idempotencyKey: 'w' }))
      const names = { accept: 'acceptInvitation', withdraw: 'withdrawInvitation' }
      const second = first === 'accept' ? 'withdraw' : 'accept'
      const held =
        first === 'accept'
          ? await holdCounters(world.stranger, team.teamId)
          : await holdKey(world.stranger, team.actor.id, 'withdrawInvitation', 'w')
      const winner = first === 'accept' ? accept() : withdraw()
      await untilBlocked(world.stranger, names[first])
      const loser = first === 'accept' ? withdraw() : accept()
      await untilBlocked(world.stranger, names[second])
      await held.undo()
      return {
        answers: [said(await winner), said(await loser)],
        state: await stateOf(world, 'invitation', id),
        members: await membersOf(world, team.teamId),
      }
    }
    expect(await play(real, 'accept')).toEqual({ answers: ['moved', 'IllegalState'], state: 'ACCEPTED', members: 1 })
    expect(await play(real, 'withdraw')).toEqual({ answers: ['moved', 'IllegalState'], state: 'WITHDRAWN', members: 0 })
    const unguarded = [stateGuard('acceptInvitation', 'PENDING'), stateGuard('withdrawInvitation', 'PENDING')]
    expect(await play(bare.withMutants(...unguarded), 'accept')).toMatchObject({ state: 'WITHDRAWN', members: 1 })
    expect(await play(bare.withMutants(...unguarded), 'withdraw')).toMatchObject({ state: 'ACCEPTED', members: 1 })
    await expect(play(real.withMutants(...unguarded), 'withdraw')).rejects.toMatchObject({
      constraint: 'invitation_lifecycle',
    })
  })

  test('R10 whose time passes while its acceptance waits is not accepted, and one that is being accepted does not expire', async () => {
    const expire = async (world: World) =>
      (await transitionEach(world.pool.db, expireInvitation, callOf(world, {}), 100)).map(({ row }) => row.id)
    const late = async (world: World) => {
      const team = await createTeam(world.stranger)
      const { actor, id } = await putInvitation(world.stranger, { teamId: team.teamId })
      const row = await holdRow(world.stranger, 'invitation', id)
      const accepting = underWay(acceptInvitation(as(world, actor), {}))
      await untilBlocked(world.stranger, 'acceptInvitation')
      await row.run(`update invitation set expires_at = clock_timestamp() where id = '${id}'`)
      await row.release()
      return { answer: said(await accepting), members: await membersOf(world, team.teamId) }
    }
    expect(await late(real)).toEqual({ answer: 'IllegalState', members: 0 })
    const timeless = { name: 'acceptInvitation', from: '"found"."expires_at" > clock_timestamp()', to: 'true' }
    expect(await late(bare.withMutants(timeless))).toEqual({ answer: 'moved', members: 1 })

    const team = await createTeam(real.stranger)
    const { actor, id } = await putInvitation(real.stranger, { teamId: team.teamId })
    const counters = await holdCounters(real.stranger, team.teamId)
    const accepting = underWay(acceptInvitation(as(real, actor), {}))
    await untilBlocked(real.stranger, 'acceptInvitation')
    expect(await expire(real)).not.toContain(id)
    await counters.release()
    expect(said(await accepting)).toBe('moved')
    expect([await expire(real), await stateOf(real, 'invitation', id)]).toEqual([
      expect.not.arrayContaining([id]),
      'ACCEPTED',
    ])
  })
})

test('R85 R86 a place that is given back while somebody waits for one is had', async () => {
  const play = async (world: World) => {
    const team = await createTeam(world.stranger)
    const { id } = await putMember(world.stranger, { teamId: team.teamId, role: 'viewer' })
    await world.stranger`update plan_usage set cap = 2 where team_id = ${team.teamId} and kind = 'members'`
    const { actor } = await putInvitation(world.stranger, { teamId: team.teamId })
    const counters = await holdCounters(world.stranger, team.teamId)
    const removal = underWay(removeMember(as(world, team.actor), { id }))
    await untilBlocked(world.stranger, 'removeMember')
    const joining = underWay(acceptInvitation(as(world, actor), {}))
    await untilBlocked(world.stranger, 'acceptInvitation')
    await counters.release()
    return [said(await removal), said(await joining)]
  }
  expect(await play(real)).toEqual(['moved', 'moved'])
  const ofSnapshot = { name: 'acceptInvitation', from: 'u.used + c.n > u.cap', to: 't.used + c.n > u.cap' }
  expect(await play(bare.withMutants(ofSnapshot))).toEqual(['moved', 'QuotaExceeded'])
})

test('R85 R86 members who join at once do not pass the plan; who finds no room keeps the invitation', async () => {
  const play = async (world: World) => {
    const team = await createTeam(world.stranger)
    await world.stranger`update plan_usage set cap = 2 where team_id = ${team.teamId} and kind = 'members'`
    const invitations = await Promise.all([1, 2, 3].map(() => putInvitation(world.stranger, { teamId: team.teamId })))
    const counters = await holdCounters(world.stranger, team.teamId)
    const all = invitations.map(({ actor }) => underWay(acceptInvitation(as(world, actor), {})))
    await untilBlocked(world.stranger, 'acceptInvitation', 3)
    await counters.release()
    const answers = (await Promise.all(all)).map(said).sort()
    const states = await Promise.all(invitations.map(({ id }) => stateOf(world, 'invitation', id)))
    return { answers, members: (await countedMembers(world.stranger, team.teamId)).members, states: states.sort() }
  }
  expect(await play(real)).toEqual({
    answers: ['QuotaExceeded', 'QuotaExceeded', 'moved'],
    members: 2,
    states: ['ACCEPTED', 'PENDING', 'PENDING'],
  })
  const capless = { name: 'acceptInvitation', from: 'u.used + c.n > u.cap', to: 'false' }
  expect(await play(bare.withMutants(capless))).toMatchObject({ answers: ['moved', 'moved', 'moved'], members: 4 })
})

test('a role that is given to somebody who is being removed is not given, and no counter is wrong afterwards', async () => {
  const play = async (world: World) => {
    const team = await createTeam(world.stranger)
    const { id } = await putMember(world.stranger, { teamId: team.teamId, role: 'viewer' })
    const counters = await holdCounters(world.stranger, team.teamId)
    const removal = underWay(removeMember(as(world, team.actor), { id }))
    await untilBlocked(world.stranger, 'removeMember')
    const promotion = underWay(setMemberRole(as(world, team.actor), { id, role: 'owner' }))
    await untilBlocked(world.stranger, 'setMemberRole')
    await counters.release()
    const answers = [said(await removal), said(await promotion)]
    return { answers, ...(await countedMembers(world.stranger, team.teamId)) }
  }
  const right = { members: 1, owners: 1, counted: { members: 1, owners: 1 } }
  expect(await play(real)).toEqual({ answers: ['moved', 'IllegalState'], ...right })
  expect(await play(bare.withMutants(stateGuard('setMemberRole', 'ACTIVE')))).toEqual({
    answers: ['moved', 'moved'],
    ...right,
    counted: { members: 1, owners: 2 },
  })
})

describe('a removal while its member is made an owner', () => {
  const play = async (world: World, by: 'admin' | 'owner') => {
    const team = await createTeam(world.stranger)
    const admin = await putMember(world.stranger, { teamId: team.teamId, role: 'admin' })
    const { id } = await putMember(world.stranger, { teamId: team.teamId, role: 'developer' })
    const counters = await holdCounters(world.stranger, team.teamId)
    const promotion = underWay(setMemberRole(as(world, team.actor), { id, role: 'owner' }))
    await untilBlocked(world.stranger, 'setMemberRole')
    const removal = underWay(removeMember(as(world, by === 'admin' ? admin.actor : team.actor), { id }))
    await untilBlocked(world.stranger, 'removeMember')
    await counters.release()
    const answers = [said(await promotion), said(await removal)]
    return { answers, ...(await countedMembers(world.stranger, team.teamId)) }
  }
  const left = (members: number, owners: number) => ({ members, owners, counted: { members, owners } })

  test('takes the role as it is under the lock: an admin asked about a developer, and met an owner', async () => {
    expect(await play(real, 'admin')).toEqual({ answers: ['moved', 'Forbidden'], ...left(3, 2) })
    const roleless = { name: 'removeMember', from: '"found"."role" = \'owner\'', to: 'false' }
    expect(await play(bare.withMutants(roleless), 'admin')).toEqual({ answers: ['moved', 'moved'], ...left(2, 1) })
  })

  test('takes the counters as they are under the lock: there are two owners by then, and one may go', async () => {
    expect(await play(real, 'owner')).toEqual({ answers: ['moved', 'moved'], ...left(2, 1) })
    // Of the snapshot there is one owner, and the refusal is false.
    const ofSnapshot = { name: 'removeMember', from: 'u.used + c.n < 1', to: 't.used + c.n < 1' }
    expect(await play(bare.withMutants(ofSnapshot), 'owner')).toEqual({
      answers: ['moved', 'LastOwner'],
      ...left(3, 2),
    })
  })
})
