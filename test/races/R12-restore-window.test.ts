// R12: what belongs to a team inside its restore window does not expire, whether the window was there before the pass, began
// after its snapshot, or is just beginning. For deployments and resources alike, and with each half of the guard taken out.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expireDeployment } from '../../src/resolvers/deployment-rule.ts'
import { expireResource } from '../../src/resolvers/resource-rule.ts'
import { hold, type Mutation, stalling, underWay, untilBlocked } from '../interleave.ts'
import { giveRoom, putResource } from '../resources/row.ts'
import { createTeam, putDeployment } from '../row.ts'
import { openResourceWorld, passOf, type ResourceWorld } from './resource-world.ts'

let real: ResourceWorld
let bare: ResourceWorld

beforeAll(async () => {
  ;[real, bare] = await Promise.all([openResourceWorld(), openResourceWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const entities = [
  [
    'deployment',
    expireDeployment,
    (world, teamId) => putDeployment(world.stranger, { teamId, state: 'HEALTHY', expiresInSeconds: -1 }),
  ],
  [
    'resource',
    expireResource,
    (world, teamId) => putResource(world.stranger, { teamId, state: 'ACTIVE', expiresInSeconds: -1 }),
  ],
] as const satisfies readonly [string, { name: string }, (world: ResourceWorld, teamId: string) => Promise<string>][]

const request = (teamId: string) =>
  `update team set state = 'DELETION_REQUESTED', version = version + 1 where id = '${teamId}'`
const restore = (teamId: string) => `update team set state = 'ACTIVE', version = version + 1 where id = '${teamId}'`

describe.each(entities)('%s', (table, rule, put) => {
  const { name } = rule
  const searched = {
    name,
    from: `w.id = "${table}"."team_id" and w.state in ('ACTIVE')`,
    to: `w.id = "${table}"."team_id"`,
  }
  const guarded = { name, from: `w.id = "found"."team_id" and w.state in ('ACTIVE')`, to: 'w.id = "found"."team_id"' }
  const unlocked = { name, from: ' for share skip locked', to: '' }
  const teamOf = async (world: ResourceWorld) => {
    const { teamId } = await createTeam(world.stranger)
    await giveRoom(world.stranger, teamId)
    return teamId
  }

  test('R12 nothing of a team in its restore window expires; restored, it expires as ever', async () => {
    const play = async (world: ResourceWorld) => {
      const teamId = await teamOf(world)
      const id = await put(world, teamId)
      await world.stranger.unsafe(request(teamId))
      const taken = (await passOf(world, rule)).includes(id)
      await world.stranger.unsafe(restore(teamId))
      return [taken, (await passOf(world, rule)).includes(id)]
    }
    expect(await play(real)).toEqual([false, true])
    expect(await play(bare.withMutants(searched, guarded))).toEqual([true, false])
    // Either half is enough here; what each is for is below.
    expect(await play(bare.withMutants(searched))).toEqual([false, true])
    expect(await play(bare.withMutants(guarded))).toEqual([false, true])
  })

  test('R12 things of such teams do not stand before those of others in a pass', async () => {
    const play = async (world: ResourceWorld) => {
      const [asleep, other] = [await teamOf(world), await teamOf(world)]
      await world.stranger.unsafe(request(asleep))
      for (let n = 0; n < 100; n++) await put(world, asleep)
      const id = await put(world, other)
      await world.stranger.unsafe(
        `update ${table} set expires_at = expires_at - interval '1 hour' where team_id = '${asleep}'`,
      )
      const taken = (await passOf(world, rule)).includes(id)
      await world.stranger.unsafe(
        `update ${table} set expires_at = now() + interval '1 day' where team_id = '${asleep}'`,
      )
      return taken
    }
    expect(await play(real)).toBe(true)
    // A pass takes 100: without the search's half they are all of the team that is left alone, at each pass anew.
    expect(await play(bare.withMutants(searched))).toBe(false)
  })

  test('R12 a pass whose snapshot is from before the window began leaves things alone', async () => {
    const play = async (world: ResourceWorld) => {
      const teamId = await teamOf(world)
      const id = await put(world, teamId)
      const stall = await hold(world.stranger, 'select pg_advisory_xact_lock(12)')
      const pass = underWay(passOf(world, rule))
      await untilBlocked(world.stranger, name)
      await world.stranger.unsafe(request(teamId))
      await stall.release()
      return (await pass).includes(id)
    }
    const stalled: Mutation[] = stalling(name, table, 12)
    expect(await play(real.withMutants(...stalled))).toBe(false)
    expect(await play(bare.withMutants(...stalled, guarded))).toBe(true)
    // Without its lock the guard sees the team as it was.
    expect(await play(bare.withMutants(...stalled, unlocked))).toBe(true)
  })

  test('R12 while a window begins things are left alone, and no other team waits for that', async () => {
    const [moving, other] = [await teamOf(real), await teamOf(real)]
    const [id, free] = [await put(real, moving), await put(real, other)]
    const begins = await hold(real.stranger, request(moving))
    const taken = await passOf(real, rule)
    expect([taken.includes(id), taken.includes(free)]).toEqual([false, true])
    await begins.undo()
    expect(await passOf(real, rule)).toContain(id)
  })
})
