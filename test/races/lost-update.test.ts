// Writes that must not be lost: the key of an editor who came second, the patch that answers success, the event of a move.
// The second one waits for the first with a snapshot from before it; a backend dies at every point of a statement.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Channel, openPool } from '../../src/db/client.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { patient } from '../database.ts'
import { createGates, holdCounters, holdQueue, holdRow, mutating, underWay, untilBlocked } from '../interleave.ts'
import { contextFor } from '../row.ts'
import { chainOf, openWorld, outcomeOf, seen, type World } from './world.ts'

let real: World
let bare: World

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

type Patch = Parameters<typeof mutations.mergeDeploymentEnv>[1]
const setting = (id: string, key: string): Patch => ({ id, set: [{ key, value: 'new' }] }) as Patch

test('R41 two editors of one environment keep both keys', async () => {
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const row = await holdRow(world.stranger, 'deployment', id)
    const first = mutations.mergeDeploymentEnv(world.context, setting(id, 'FIRST'))
    await untilBlocked(world.stranger, 'mergeDeploymentEnv')
    const second = underWay(mutations.mergeDeploymentEnv(world.context, setting(id, 'SECOND')))
    await untilBlocked(world.stranger, 'mergeDeploymentEnv', 2)
    await row.release()
    const outcomes = [outcomeOf(await first), outcomeOf(await second)]
    return { outcomes, keys: Object.keys((await seen(world, id)).env).sort() }
  }
  const outcomes = ['HEALTHY', 'HEALTHY']
  expect(await play(real)).toEqual({ outcomes, keys: ['FIRST', 'SECOND'] })
  // Merged into what the snapshot shows instead of what the lock shows.
  const to = '(select d0.env from deployment d0 where d0.id = found.id)'
  expect(await play(bare.withMutants({ name: 'mergeDeploymentEnv', from: '"found"."env"', to }))).toEqual({
    outcomes,
    keys: ['SECOND'],
  })
})

test('R42 a patch that stores nothing never answers success', async () => {
  const play = async (world: World) => {
    const id = await world.deployment({ state: 'HEALTHY' })
    const counters = await holdCounters(world.stranger, world.team.teamId)
    const ending = mutations.deleteDeployment(world.context, { id })
    await untilBlocked(world.stranger, 'deleteDeployment')
    const patch = underWay(mutations.mergeDeploymentEnv(world.context, setting(id, 'LATE')))
    await untilBlocked(world.stranger, 'mergeDeploymentEnv')
    await counters.release()
    await ending
    return { success: !isRefusal(await patch), stored: Object.keys((await seen(world, id)).env) }
  }
  expect(await play(real)).toEqual({ success: false, stored: [] })
  const from = 'left join "moved" on'
  const hopeful = { name: 'mergeDeploymentEnv', from, to: 'left join found "moved" on' }
  expect(await play(bare.withMutants(hopeful))).toEqual({ success: true, stored: [] })
})

describe('R45', () => {
  const name = 'redeployDeployment'
  const openOn = (world: World, wrap: (channel: Channel) => Channel) =>
    openPool({ url: world.url, purpose: 'api', slots: 1, ...patient, wrap })
  const kill = (world: World) => world.stranger`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and query like ${`/* ${name} */%`}`
  const stored = async (world: World, id: string) => ({
    moved: (await seen(world, id)).generation === 2,
    chain: await chainOf(world, id),
  })
  const all = { moved: true, chain: ['redeployDeployment HEALTHY→BUILDING'] }
  const nothing = { moved: false, chain: [] }

  test('R45 a backend that dies half-way through a move leaves neither the state nor its event', async () => {
    const id = await real.deployment({ state: 'HEALTHY' })
    const queue = await holdQueue(real.stranger, real.team.teamId)
    const call = underWay(mutations.redeployDeployment(real.context, { id }))
    // Here the row has its new state, not committed yet.
    await untilBlocked(real.stranger, name)
    await kill(real)
    await queue.release()
    expect(outcomeOf(await call)).toBe('TemporarilyUnavailable')
    expect(await stored(real, id)).toEqual(nothing)
  })

  test('R45 a backend that dies right after a move leaves the state and its event', async () => {
    const gates = createGates()
    const pool = openOn(real, gates.wrap)
    const id = await real.deployment({ state: 'HEALTHY' })
    const gate = gates.park(name, { when: 'after' })
    const call = underWay(mutations.redeployDeployment(contextFor(pool.db, real.team.actor), { id }))
    await gate.reached
    await kill(real)
    expect(await stored(real, id)).toEqual(all)
    gate.release()
    expect(outcomeOf(await call)).toBe('BUILDING')
    await pool.close()
  })

  test('R45 an event that is written after its move is lost with the backend: what one statement is for', async () => {
    // The mutant: the move first, and its event by a second statement.
    const silent = mutating({ name, from: 'from queued q) e)', to: 'from queued q) e where false)' })
    const late = `insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation,
        version, actor_kind, actor_id, request_id, transition_id)
      select now(), team_id, 'Deployment', id, '${name}', 'HEALTHY', state, generation, version, 'token', 't', 'r', 't'
      from deployment where id = $1 and generation = 2`
    const play = async (dies: boolean) => {
      const gates = createGates()
      const split = (channel: Channel): Channel => ({
        async run(statement) {
          const rows = await gates.wrap(silent(channel)).run(statement)
          await channel.run({ sql: late, params: statement.params.slice(0, 1), prepare: false, arrayMode: true })
          return rows
        },
      })
      const pool = openOn(bare, split)
      const id = await bare.deployment({ state: 'HEALTHY' })
      const gate = gates.park(name, { when: 'after' })
      const call = underWay(mutations.redeployDeployment(contextFor(pool.db, bare.team.actor), { id }))
      await gate.reached
      if (dies) await kill(bare)
      gate.release()
      await call.catch(() => {})
      await pool.close()
      return stored(bare, id)
    }
    expect(await play(false)).toEqual(all)
    expect(await play(true)).toEqual({ moved: true, chain: [] })
  })
})
