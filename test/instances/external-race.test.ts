// EXTERNAL instances under calls and passes at once: each order is forced at the statements that decide, and every guard is seen
// to matter by taking it out.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { settleExternal } from '../../src/loops/external-instances.ts'
import { isRefusal } from '../../src/refusals.ts'
import { heartbeatInstance, type InstancePayload, removeInstance } from '../../src/resolvers/instance.ts'
import { hold, holdCounters, holdKey, holdRow, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import { chainOf, openWorld, type World } from '../races/world.ts'
import { createTeam, putDeployment, withTriggersOff } from '../row.ts'
import { countedInstances, type InstanceFacts, putInstance, storedInstance } from './row.ts'

let real: World
let bare: World
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
  await bare.stranger`alter table instance disable trigger user`
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const put = (world: World, facts: Omit<InstanceFacts, 'teamId'>) =>
  putInstance(world.stranger, { teamId: world.team.teamId, ...facts })
const stateOf = async (world: World, id: string) => (await storedInstance(world.stranger, id)).state
const told = (result: object) => (isRefusal(result) ? result.refusal : (result as InstancePayload).instance.state)
const never = new AbortController().signal
/** One pass; returns how many it moved. */
const pass = (world: World) => settleExternal(world.pool.db, () => {}, never)
/** A part of a statement's condition that is as good as not there. */
const without = (name: string, from: string): Mutation => ({ name, from, to: 'true' })
const anyState = (name: string) => without(name, `"found".state in ('STARTING', 'ONLINE', 'DEGRADED', 'OFFLINE')`)

/** The search, or the guard, that does not ask whether the team is in use. */
const inUse = (name: string, source: string): Mutation => ({
  name,
  from: `w.id = "${source}"."team_id" and w.state in ('ACTIVE')`,
  to: `w.id = "${source}"."team_id"`,
})

describe('R13', () => {
  const heartbeatBehindRemoval = async (world: World) => {
    const id = await put(world, { state: 'ONLINE' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const removal = underWay(removeInstance(world.context, { id }))
    await untilBlocked(world.stranger, 'removeInstance')
    const beat = underWay(heartbeatInstance(world.context, { id }))
    await untilBlocked(world.stranger, 'heartbeatInstance')
    await counters.release()
    return [told(await removal), told(await beat), await stateOf(world, id)]
  }

  test('R13 a heartbeat that waits for a removal does not bring the instance back', async () => {
    expect(await heartbeatBehindRemoval(real)).toEqual(['REMOVED', 'IllegalState', 'REMOVED'])
    const mutant = bare.withMutants(anyState('heartbeatInstance'))
    expect(await heartbeatBehindRemoval(mutant)).toEqual(['REMOVED', 'ONLINE', 'ONLINE'])
    // Without that guard the database itself refuses it.
    await expect(heartbeatBehindRemoval(real.withMutants(anyState('heartbeatInstance')))).rejects.toMatchObject({
      constraint: 'instance_lifecycle',
    })
  })

  test('R13 a removal that waits for a heartbeat removes what the heartbeat has left; the next one is refused', async () => {
    const id = await put(real, { state: 'OFFLINE' })
    const before = await countedInstances(real.stranger, real.team.teamId)
    const key = crypto.randomUUID()
    const stop = await holdKey(real.stranger, real.team.actor.id, 'heartbeatInstance', key)
    const beat = underWay(heartbeatInstance(real.context, { id, idempotencyKey: key }))
    await untilBlocked(real.stranger, 'heartbeatInstance')
    const removal = underWay(removeInstance(real.context, { id }))
    await untilBlocked(real.stranger, 'removeInstance')
    await stop.undo()
    expect([told(await beat), told(await removal)]).toEqual(['ONLINE', 'REMOVED'])
    expect(told(await heartbeatInstance(real.context, { id, healthy: false }))).toBe('IllegalState')
    // The repeat of the heartbeat that won is told what it won, and moves nothing.
    expect(await heartbeatInstance(real.context, { id, idempotencyKey: key })).toMatchObject({
      replayed: true,
      instance: { state: 'REMOVED' },
    })
    expect(await chainOf(real, id)).toEqual(['heartbeatInstance OFFLINE→ONLINE', 'removeInstance ONLINE→REMOVED'])
    expect(await countedInstances(real.stranger, real.team.teamId)).toEqual({
      used: before.used - 1,
      live: before.live - 1,
    })
  })

  test('R13 a heartbeat with a condition that it does not know of any more is refused, too', async () => {
    const id = await put(real, { state: 'DEGRADED' })
    await removeInstance(real.context, { id })
    expect(told(await heartbeatInstance(real.context, { id, expectedVersion: '1' }))).toBe('IllegalState')
    expect(await stateOf(real, id)).toBe('REMOVED')
  })
})

describe('a pass against a heartbeat', () => {
  const silent = { state: 'ONLINE', heartbeatSeconds: 5, heardSecondsAgo: 16 } as const
  const staleIn = (source: string) =>
    without(
      'offlineSilentInstance',
      `((coalesce("${source}"."heartbeat_at", "${source}"."state_changed_at") at time zone 'UTC') + least(3 * "${source}"."heartbeat_seconds", case when "${source}"."heartbeat_at" is null then 900 end) * interval '1 second') < now() at time zone 'UTC'`,
    )
  const stalled = stalling('offlineSilentInstance', 'instance', 79)

  const heardMeanwhile = async (world: World) => {
    const id = await put(world, silent)
    const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(79)')
    const late = underWay(pass(world))
    await untilBlocked(world.stranger, 'offlineSilentInstance')
    expect(told(await heartbeatInstance(world.context, { id }))).toBe('ONLINE')
    await stall.release()
    await late
    return stateOf(world, id)
  }

  test('R79 one whose heartbeat came after the pass had looked stays ONLINE', async () => {
    expect(await heardMeanwhile(real.withMutants(...stalled))).toBe('ONLINE')
    // Either half is enough: the search sees the row anew under its lock, and so does the guard.
    expect(await heardMeanwhile(real.withMutants(...stalled, staleIn('instance')))).toBe('ONLINE')
    expect(await heardMeanwhile(real.withMutants(...stalled, staleIn('found')))).toBe('ONLINE')
    const blind = [...stalled, staleIn('instance'), staleIn('found')]
    expect(await heardMeanwhile(real.withMutants(...blind))).toBe('OFFLINE')
  })

  test('R79 a heartbeat that is under way is not waited for, and wins', async () => {
    const id = await put(real, silent)
    const other = await put(real, silent)
    const key = crypto.randomUUID()
    const stop = await holdKey(real.stranger, real.team.actor.id, 'heartbeatInstance', key)
    const beat = underWay(heartbeatInstance(real.context, { id, idempotencyKey: key }))
    await untilBlocked(real.stranger, 'heartbeatInstance')
    // The pass ends while the row is held, and has moved the other.
    await pass(real)
    expect([await stateOf(real, id), await stateOf(real, other)]).toEqual(['ONLINE', 'OFFLINE'])
    await stop.undo()
    expect(told(await beat)).toBe('ONLINE')
    await pass(real)
    expect([await stateOf(real, id), await chainOf(real, id)]).toEqual(['ONLINE', []])
  })

  test('R79 a heartbeat that waits for a pass brings the instance back', async () => {
    const id = await put(real, silent)
    const row = await holdRow(real.stranger, 'instance', id)
    const beat = underWay(heartbeatInstance(real.context, { id }))
    await untilBlocked(real.stranger, 'heartbeatInstance')
    await row.run(
      `update instance set state = 'OFFLINE', state_reason = 'x', version = version + 1, started_at = null where id = '${id}'`,
    )
    await row.release()
    expect(told(await beat)).toBe('ONLINE')
    expect(await storedInstance(real.stranger, id)).toMatchObject({ state: 'ONLINE', reason: null })
    expect(await chainOf(real, id)).toEqual(['heartbeatInstance OFFLINE→ONLINE'])
  })

  test('R11 one that comes back after a day, as the pass is about to remove it, stays', async () => {
    const stalledRemoval = stalling('removeLostInstance', 'instance', 11)
    const lostIn = (source: string) =>
      without(
        'removeLostInstance',
        `"${source}"."state" in ('OFFLINE')
  and "${source}"."state_changed_at" < now() - 24 * interval '1 hour'`,
      )
    const play = async (world: World) => {
      const id = await put(world, { state: 'OFFLINE', heardSecondsAgo: 90_000, sinceSecondsAgo: 86_401 })
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(11)')
      const late = underWay(pass(world))
      await untilBlocked(world.stranger, 'removeLostInstance')
      await heartbeatInstance(world.context, { id })
      await stall.release()
      await late
      return stateOf(world, id)
    }
    expect(await play(real.withMutants(...stalledRemoval))).toBe('ONLINE')
    expect(await play(real.withMutants(...stalledRemoval, lostIn('found')))).toBe('ONLINE')
    expect(await play(real.withMutants(...stalledRemoval, lostIn('instance')))).toBe('ONLINE')
    // Last, for it removes whatever else there is.
    expect(await play(real.withMutants(...stalledRemoval, lostIn('instance'), lostIn('found')))).toBe('REMOVED')
  })
})

describe('a pass', () => {
  test('moves what is due and nothing else: by its own promise, its state and its runtime', async () => {
    const facts: [Omit<InstanceFacts, 'teamId'>, string][] = [
      [{ state: 'ONLINE', heartbeatSeconds: 30, heardSecondsAgo: 89 }, 'ONLINE'],
      [{ state: 'ONLINE', heartbeatSeconds: 30, heardSecondsAgo: 91 }, 'OFFLINE'],
      [{ state: 'DEGRADED', heartbeatSeconds: 5, heardSecondsAgo: 16 }, 'OFFLINE'],
      [{ state: 'DEGRADED', heartbeatSeconds: 3600, heardSecondsAgo: 10_000 }, 'DEGRADED'],
      // Never heard of: no longer than it may be STARTING.
      [{ state: 'STARTING', heartbeatSeconds: 30, heardSecondsAgo: null, sinceSecondsAgo: 89 }, 'STARTING'],
      [{ state: 'STARTING', heartbeatSeconds: 30, heardSecondsAgo: null, sinceSecondsAgo: 91 }, 'OFFLINE'],
      [{ state: 'STARTING', heartbeatSeconds: 3600, heardSecondsAgo: null, sinceSecondsAgo: 899 }, 'STARTING'],
      [{ state: 'STARTING', heartbeatSeconds: 3600, heardSecondsAgo: null, sinceSecondsAgo: 901 }, 'OFFLINE'],
      [{ state: 'OFFLINE', heardSecondsAgo: 90_000, sinceSecondsAgo: 86_399 }, 'OFFLINE'],
      [{ state: 'OFFLINE', heardSecondsAgo: 90_000, sinceSecondsAgo: 86_401 }, 'REMOVED'],
      [{ state: 'OFFLINE', heardSecondsAgo: null, sinceSecondsAgo: 86_401 }, 'REMOVED'],
      [{ state: 'ONLINE', runtime: 'PROCESS', sinceSecondsAgo: 1e6 }, 'ONLINE'],
      [{ state: 'STARTING', runtime: 'DOCKER', sinceSecondsAgo: 1e6 }, 'STARTING'],
      [{ state: 'OFFLINE', runtime: 'PROCESS', sinceSecondsAgo: 1e6 }, 'OFFLINE'],
    ]
    const ids = await Promise.all(facts.map(([each]) => put(real, each)))
    const told_: string[] = []
    const moved = await settleExternal(real.pool.db, ({ name }, count) => void told_.push(`${count} ${name}`), never)
    expect(await Promise.all(ids.map((id) => stateOf(real, id)))).toEqual(facts.map(([, state]) => state))
    expect([moved, told_]).toEqual([6, ['4 offlineSilentInstance', '2 removeLostInstance']])
    const { reason } = await storedInstance(real.stranger, String(ids[1]))
    expect([reason, (await storedInstance(real.stranger, String(ids[5]))).reason]).toEqual([
      'no heartbeat for more than 90 s',
      'it never sent a heartbeat',
    ])
    const { used, live } = await countedInstances(real.stranger, real.team.teamId)
    expect(used).toBe(live)
    // The pass is idempotent, and whoever is OFFLINE is never started again: nothing was accepted.
    expect(await pass(real)).toBe(0)
    const work = await real.stranger`select 1 from operation where subject_id = any(${ids})`
    expect(work).toHaveLength(0)
  })

  test.each(['EXPIRED', 'DELETING', 'DELETED'] as const)(
    'removes what is part of a deployment that is %s',
    async (state) => {
      const { teamId } = real.team
      const [ended, living] = [
        await putDeployment(real.stranger, { teamId, state }),
        await putDeployment(real.stranger, { teamId, state: 'FAILED' }),
      ]
      const [gone, stays] = [
        await put(real, { state: 'ONLINE', subjectId: ended }),
        await put(real, { state: 'ONLINE', subjectId: living }),
      ]
      // What Pawl runs is left to whoever tears it down.
      const managed = await put(real, { state: 'ONLINE', runtime: 'PROCESS', subjectId: ended })
      await pass(real)
      expect(await Promise.all([gone, stays, managed].map((id) => stateOf(real, id)))).toEqual([
        'REMOVED',
        'ONLINE',
        'ONLINE',
      ])
      expect((await storedInstance(real.stranger, gone)).reason).toBe('the deployment that it was part of has ended')
    },
  )

  test('what is left of a deployment is looked for until two days after its end: that bounds the search', async () => {
    const ended = async (daysAgo: number) => {
      const id = await putDeployment(real.stranger, { teamId: real.team.teamId, state: 'DELETED' })
      await withTriggersOff(real.stranger, async (sql) => {
        await sql`update deployment set state_changed_at = now() - ${daysAgo}::int * interval '1 day' where id = ${id}`
      })
      return put(real, { state: 'ONLINE', subjectId: id })
    }
    const [late, early] = [await ended(1), await ended(3)]
    await pass(real)
    expect([await stateOf(real, late), await stateOf(real, early)]).toEqual(['REMOVED', 'ONLINE'])
  })

  test('R12 of a team inside its restore window the units of an ended deployment stay, too', async () => {
    const play = async (world: World) => {
      const { teamId } = await createTeam(world.stranger)
      const subjectId = await putDeployment(world.stranger, { teamId, state: 'DELETED' })
      const id = await putInstance(world.stranger, { teamId, state: 'ONLINE', subjectId })
      await world.stranger`update team set state = 'DELETION_REQUESTED', version = version + 1 where id = ${teamId}`
      await pass(world)
      return stateOf(world, id)
    }
    expect(await play(real)).toBe('ONLINE')
    expect(
      await play(real.withMutants(inUse('removeLeftInstance', 'instance'), inUse('removeLeftInstance', 'found'))),
    ).toBe('REMOVED')
  })

  test('takes more than a batch, and is told off by its signal in between', async () => {
    const { teamId } = await createTeam(real.stranger)
    await withTriggersOff(real.stranger, async (sql) => {
      // What other tests have left may be due by now.
      await sql`delete from instance`
      for (let n = 0; n < 250; n++)
        await sql`insert into instance (id, state, team_id, environment, name, runtime, instance_id, heartbeat_at, heartbeat_seconds)
          values (${newId('Instance')}, 'ONLINE', ${teamId}, 'test', 'many', 'EXTERNAL', ${`many-${n}`}, now() - interval '1 day', 5)`
    })
    const cut = new AbortController()
    expect(await settleExternal(real.pool.db, () => cut.abort(), cut.signal)).toBe(200)
    expect(await pass(real)).toBe(50)
  })

  test('R12 leaves what belongs to a team inside its restore window as it is, for no heartbeat of it is taken', async () => {
    const play = async (world: World) => {
      const team = await createTeam(world.stranger)
      const ask = { teamId: team.teamId, heardSecondsAgo: 1e6, sinceSecondsAgo: 1e6 }
      const ids = [
        await putInstance(world.stranger, { ...ask, state: 'ONLINE' }),
        await putInstance(world.stranger, { ...ask, state: 'OFFLINE' }),
      ]
      await world.stranger`update team set state = 'DELETION_REQUESTED', version = version + 1 where id = ${team.teamId}`
      await pass(world)
      return Promise.all(ids.map((id) => stateOf(world, id)))
    }
    expect(await play(real)).toEqual(['ONLINE', 'OFFLINE'])
    const blind = ['offlineSilentInstance', 'removeLostInstance'].flatMap((name) => [
      inUse(name, 'instance'),
      inUse(name, 'found'),
    ])
    expect(await play(real.withMutants(...blind))).toEqual(['OFFLINE', 'REMOVED'])
  })
})
