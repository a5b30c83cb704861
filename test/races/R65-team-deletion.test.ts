// R65: a team whose window is over ends wholly, whatever dies on the way: every pass takes up what is left, through the gates
// of each kind, each thing is torn down once, and nothing is born into a team that is ending.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPool, type Pool } from '../../src/db/client.ts'
import { newId } from '../../src/db/id.ts'
import { expireLoop } from '../../src/loops/expire.ts'
import { endTeams } from '../../src/loops/team-end.ts'
import { isRefusal } from '../../src/refusals.ts'
import { deploy } from '../../src/resolvers/deployment.ts'
import { restoreTeam } from '../../src/resolvers/team.ts'
import { putInstance } from '../instances/row.ts'
import { hold, holdCounters, holdKey, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import { putInvitation, putMember } from '../member-row.ts'
import { putResource } from '../resources/row.ts'
import { contextFor, createTeam, putDeployment, type TestTeam, withTriggersOff } from '../row.ts'
import { openWorld, type World } from './world.ts'

let real: World
let bare: World
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const never = new AbortController().signal
const pass = (pool: Pool) =>
  endTeams(pool.db, () => {}, { actor: { kind: 'loop', id: 'teardown' }, requestId: 'test' }, never)
const said = (result: object): string => (isRefusal(result) ? result.refusal : 'moved')
const stateOf = async (world: World, { teamId }: TestTeam) =>
  (await world.stranger<{ state: string }[]>`select state from team where id = ${teamId}`)[0]?.state

/** A team whose window is over, with something of everything. */
async function doomed(world: World, windowSeconds = -1): Promise<TestTeam> {
  const team = await createTeam(world.stranger)
  const { teamId } = team
  await putDeployment(world.stranger, { teamId, state: 'HEALTHY' })
  await putDeployment(world.stranger, { teamId, state: 'STOPPED', expiresInSeconds: -1 })
  await putDeployment(world.stranger, { teamId, state: 'DELETED' })
  await putResource(world.stranger, { teamId, state: 'ACTIVE' })
  await putMember(world.stranger, { teamId, role: 'owner' })
  await putMember(world.stranger, { teamId, role: 'viewer' })
  await putInvitation(world.stranger, { teamId })
  await putInstance(world.stranger, { teamId, state: 'ONLINE' })
  await putInstance(world.stranger, { teamId, state: 'OFFLINE', heardSecondsAgo: 1e6, sinceSecondsAgo: 1e6 })
  await putInstance(world.stranger, { teamId, state: 'ONLINE', runtime: 'PROCESS' })
  await withTriggersOff(world.stranger, async (sql) => {
    await sql`insert into stack (id, state, team_id, environment, name, services, incarnation)
      values (${newId('Stack')}, 'HEALTHY', ${teamId}, 'development', 'web', '[]'::jsonb, ${teamId})`
    await sql`insert into secret (id, state, team_id, environment, name, value, changed_at, changed_by)
      values (${newId('Secret')}, 'ACTIVE', ${teamId}, 'development', 'KEY', 'sealed', now(), 'test')`
    await sql`insert into promotion_approval (id, state, team_id, kind, subject_id, to_environment, plan_digest, plan, expires_at)
      values (${newId('PromotionApproval')}, 'APPROVED', ${teamId}, 'STACK', ${teamId}, 'production', 'x', '{}'::jsonb, now() + interval '1 day')`
    await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind in ('stacks', 'secrets')`
    await sql`update team set state = 'DELETION_REQUESTED', deletion_at = now() + ${windowSeconds} * interval '1 second' where id = ${teamId}`
  })
  return team
}

/** What the runners would do: every operation of the team ends well, and its subject with it. */
const carriedOut = (world: World, { teamId }: TestTeam) =>
  withTriggersOff(world.stranger, async (sql) => {
    for (const table of ['deployment', 'resource', 'stack'])
      await sql.unsafe(`update ${table} set state = 'DELETED' where team_id = '${teamId}' and state = 'DELETING'`)
    // What Pawl runs goes in the statement of its end.
    await sql`update instance set state = 'REMOVED' where team_id = ${teamId} and runtime = 'PROCESS'`
    await sql`update operation set state = 'SUCCEEDED' where team_id = ${teamId}`
  })

/** How many rows of each kind are in which state, and what was accepted for them. */
async function seenOf(world: World, { teamId }: TestTeam): Promise<Record<string, unknown>> {
  const rows: Record<string, string> = {}
  for (const table of [
    'deployment',
    'resource',
    'stack',
    'secret',
    'instance',
    'member',
    'invitation',
    'api_token',
    'promotion_approval',
  ]) {
    const found = await world.stranger.unsafe(
      `select state, count(*)::int as n from ${table} where team_id = '${teamId}' group by 1 order by 1`,
    )
    rows[table] = found.map(({ state, n }) => `${n} ${state}`).join(', ')
  }
  const work = await world.stranger<{ kind: string; n: number }[]>`
    select kind, count(*)::int as n from operation where team_id = ${teamId} group by 1 order by 1`
  const used = await world.stranger<{ n: number }[]>`
    select sum(used)::int as n from plan_usage where team_id = ${teamId}`
  return { ...rows, work: work.map(({ kind, n }) => `${n} ${kind}`), used: used[0]?.n }
}

const torn = ['2 deployment.tear_down', '1 resource.deprovision', '1 stack.tear_down']
const underTeardown = {
  deployment: '1 DELETED, 2 DELETING',
  resource: '1 DELETING',
  stack: '1 DELETING',
  secret: '1 DELETED',
  instance: '1 ONLINE, 2 REMOVED',
  invitation: '1 WITHDRAWN',
  promotion_approval: '1 WITHDRAWN',
  api_token: '3 REVOKED',
  work: torn,
}
const gone = {
  ...underTeardown,
  deployment: '3 DELETED',
  resource: '1 DELETED',
  stack: '1 DELETED',
  instance: '3 REMOVED',
  member: '3 REMOVED',
  used: 0,
}

test('R65 a team ends when all that it owned has ended, its members last', async () => {
  const team = await doomed(real)
  await pass(real.pool)
  expect(await seenOf(real, team)).toEqual({ ...underTeardown, member: '3 ACTIVE', used: 5 })
  expect((await real.stranger`select value from secret where team_id = ${team.teamId}`)[0]?.value).toBe(null)
  // As long as an effect is out, nothing more happens, however often it is looked at.
  await pass(real.pool)
  expect([await stateOf(real, team), (await seenOf(real, team)).member]).toEqual(['DELETING', '3 ACTIVE'])
  await carriedOut(real, team)
  await pass(real.pool)
  expect([await stateOf(real, team), await seenOf(real, team)]).toEqual(['DELETED', gone])
  const chain = await real.stranger<{ kind: string; actor: string }[]>`
    select kind, actor_id as actor from event where subject_id = ${team.teamId} order by id`
  expect(chain.map(({ kind, actor }) => `${kind} ${actor}`)).toEqual([
    'beginTeamDeletion teardown',
    'markTeamDeleted teardown',
  ])
})

test('R65 R12 a team in its window loses nothing, by neither loop', async () => {
  const team = await doomed(real, 3_600)
  const before = await seenOf(real, team)
  await pass(real.pool)
  await expireLoop(real.pool.db, () => {}).pass(never)
  expect([await stateOf(real, team), await seenOf(real, team)]).toEqual(['DELETION_REQUESTED', before])
})

/**
 * A pool whose process dies just before its n-th statement; what has just carried out the one before it, and not heard of it,
 * leaves the same behind.
 */
function mortal(world: World) {
  let left = 0
  const pool = openPool({
    url: world.url,
    purpose: 'worker',
    slots: 1,
    statementTimeoutMs: 5_000,
    wrap: (channel) => ({
      async run(statement) {
        if (--left <= 0) throw new Error('killed')
        return channel.run(statement)
      },
    }),
  })
  const diesAt = async (at: number) => {
    left = at
    await expect(pass(pool)).rejects.toThrow()
  }
  return { diesAt, close: () => pool.close({ timeoutMs: 0 }) }
}

test('R65 whatever dies on the way, before any statement, the next pass finishes it, each thing once', async () => {
  const worker = mortal(real)
  // The first eight begin its end and end what it owns, the last two end its members and itself.
  for (let at = 1; at <= 10; at++) {
    const team = await doomed(real)
    if (at <= 8) await worker.diesAt(at)
    await pass(real.pool)
    await carriedOut(real, team)
    if (at > 8) await worker.diesAt(at)
    await pass(real.pool)
    expect([at, await stateOf(real, team), await seenOf(real, team)]).toEqual([at, 'DELETED', gone])
  }
  await worker.close()
})

test('R65 three replicas at once end it as one would', async () => {
  const team = await doomed(real)
  const pools = [real.openPool(2), real.openPool(2), real.openPool(2)]
  await Promise.all(pools.map(pass))
  await pass(real.pool)
  expect(await seenOf(real, team)).toMatchObject(underTeardown)
  await carriedOut(real, team)
  await Promise.all(pools.map(pass))
  await pass(real.pool)
  expect([await stateOf(real, team), await seenOf(real, team)]).toEqual(['DELETED', gone])
})

test('R65 nothing is born into a team whose end has begun, however long ago the call was let in', async () => {
  /** A call that was let in before the deletion was asked for has come to its statement, and waits; the team ends. */
  const play = async (world: World) => {
    const team = await createTeam(world.stranger)
    await withTriggersOff(world.stranger, async (sql) => {
      await sql`update team set state = 'DELETION_REQUESTED', deletion_at = now() where id = ${team.teamId}`
    })
    const key = await holdKey(world.stranger, team.actor.id, 'deploy', 'late')
    const input = { name: 'late', image: 'hello', idempotencyKey: 'late' }
    const late = underWay(deploy(contextFor(world.pool.db, team.actor), input))
    await untilBlocked(world.stranger, 'deploy')
    await pass(world.pool)
    await key.undo()
    return [said(await late), await stateOf(world, team), (await seenOf(world, team)).deployment]
  }
  expect(await play(real)).toEqual(['QuotaExceeded', 'DELETED', ''])
  // Were it not for the closed plan, the team would be gone, and its deployment run on for ever.
  const open = { name: 'deploy', from: 'u.used + c.n > u.cap', to: 'false' }
  expect(await play(bare.withMutants(open))).toEqual(['moved', 'DELETED', '1 BUILDING'])
})

describe('restoreTeam against the end of its window', () => {
  const due = (world: World, { teamId }: TestTeam) =>
    world.stranger`select pg_sleep_until(deletion_at) from team where id = ${teamId}`
  const states = ['"team"."state" in (\'DELETION_REQUESTED\')', '"found".state in (\'DELETION_REQUESTED\')']
  const begin = (from: string): Mutation => ({ name: 'beginTeamDeletion', from, to: 'true' })

  test('R65 R12 who restores in time keeps the team, though the time passes before it is stored', async () => {
    const team = await createTeam(real.stranger)
    await withTriggersOff(real.stranger, async (sql) => {
      await sql`update team set state = 'DELETION_REQUESTED', deletion_at = clock_timestamp() + interval '0.3 seconds' where id = ${team.teamId}`
    })
    const key = await holdKey(real.stranger, team.actor.id, 'restoreTeam', 'r')
    const restoring = underWay(
      restoreTeam(contextFor(real.pool.db, team.actor), { id: team.teamId, idempotencyKey: 'r' }),
    )
    await untilBlocked(real.stranger, 'restoreTeam')
    await due(real, team)
    await pass(real.pool)
    expect(await stateOf(real, team)).toBe('DELETION_REQUESTED')
    await key.undo()
    expect(said(await restoring)).toBe('moved')
    await pass(real.pool)
    expect(await stateOf(real, team)).toBe('ACTIVE')
  })

  test('R65 a pass that has looked before the team was restored does not end it', async () => {
    const play = async (world: World) => {
      const team = await doomed(world)
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(65)')
      const ending = underWay(pass(world.pool))
      await untilBlocked(world.stranger, 'beginTeamDeletion')
      await withTriggersOff(world.stranger, async (sql) => {
        await sql`update team set state = 'ACTIVE', version = version + 1, deletion_at = null where id = ${team.teamId}`
      })
      await stall.release()
      await ending
      return stateOf(world, team)
    }
    const stalled = stalling('beginTeamDeletion', 'team', 65)
    expect(await play(real.withMutants(...stalled))).toBe('ACTIVE')
    // Its state and its time are asked for twice, by the search and under the lock: all of it out, and the team is lost.
    const timeless = ['"team"."deletion_at" <= now()', '"found"."deletion_at" <= now()']
    expect(await play(bare.withMutants(...states.slice(0, 1).map(begin), begin(String(timeless[0])), ...stalled))).toBe(
      'ACTIVE',
    )
    expect(await play(bare.withMutants(...[...states, ...timeless].map(begin), ...stalled))).not.toBe('ACTIVE')
  })

  test('R65 who restores while the end begins is too late', async () => {
    const play = async (world: World) => {
      const team = await createTeam(world.stranger)
      await withTriggersOff(world.stranger, async (sql) => {
        await sql`update team set state = 'DELETION_REQUESTED', deletion_at = now() where id = ${team.teamId}`
      })
      const counters = await holdCounters(world.stranger, team.teamId)
      const ending = underWay(pass(world.pool))
      await untilBlocked(world.stranger, 'beginTeamDeletion')
      const restoring = underWay(restoreTeam(contextFor(world.pool.db, team.actor), { id: team.teamId }))
      await untilBlocked(world.stranger, 'restoreTeam')
      await counters.release()
      const answer = said(await restoring)
      await ending
      return answer
    }
    const stateless = { name: 'restoreTeam', from: String(states[1]), to: 'true' }
    const timeless = { name: 'restoreTeam', from: '"found"."deletion_at" > clock_timestamp()', to: 'true' }
    expect(await play(real)).toBe('IllegalState')
    // Either of the two guards is enough here.
    expect(await play(bare.withMutants(stateless))).toBe('IllegalState')
    expect(await play(bare.withMutants(timeless))).toBe('IllegalState')
    expect(await play(bare.withMutants(stateless, timeless))).toBe('moved')
  })
})
