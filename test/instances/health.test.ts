// What follows from health checks: a state changes after two in a row that say the same, so that it does not flap. Checks leave no
// event; a run that lives is never restarted, however ill it is.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Mutation } from '../interleave.ts'
import { openWorld, operationsOf, type World } from '../races/world.ts'
import { withTriggersOff } from '../row.ts'
import { type Asked, eventsOf, instanceOf, passOf } from './fixture.ts'
import { putInstance } from './row.ts'

let real: World
let bare: World
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openWorld(), openWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

type State = 'STARTING' | 'ONLINE' | 'DEGRADED'
async function unit(world: World, state: State) {
  const subjectId = await world.deployment({ state: 'HEALTHY' })
  const facts = { teamId: world.team.teamId, state, runtime: 'PROCESS', subjectId, instanceId: 'run' } as const
  return { subjectId, id: await putInstance(world.stranger, facts) }
}

/** One pass for each check, well or not: the states that follow, one after the other. */
async function states(world: World, state: State, checks: string, meanwhile?: (id: string) => Promise<unknown>) {
  const { subjectId, id } = await unit(world, state)
  const seen: string[] = []
  for (const check of checks) {
    await withTriggersOff(world.stranger, async (sql) => {
      await sql`update instance set asked_at = now() where id <> ${id}`
      await sql`update instance set asked_at = null where id = ${id}`
    })
    const driver: Asked = {
      observeInstance: async () => {
        await meanwhile?.(id)
        return { state: 'running', healthy: check === '+', detail: check === '+' ? null : 'GET /healthz answered 500' }
      },
    }
    await passOf(world.pool.db, driver)
    seen.push((await instanceOf(world.stranger, subjectId)).state)
  }
  return { seen, subjectId, id }
}

test('two failed checks in a row degrade it with what was said, two that pass in a row recover it; one does neither', async () => {
  const { seen, subjectId, id } = await states(real, 'ONLINE', '-+-+--')
  expect(seen).toEqual(['ONLINE', 'ONLINE', 'ONLINE', 'ONLINE', 'ONLINE', 'DEGRADED'])
  expect(await instanceOf(real.stranger, subjectId)).toMatchObject({
    stateReason: 'GET /healthz answered 500',
    failedChecks: 2,
    instanceId: 'run',
  })
  expect(await eventsOf(real.stranger, id)).toEqual(['degradeInstance'])
  const back = await states(real, 'DEGRADED', '+-+--++')
  expect(back.seen.slice(0, -1)).toEqual(Array(6).fill('DEGRADED'))
  expect(back.seen.at(-1)).toBe('ONLINE')
  expect(await instanceOf(real.stranger, back.subjectId)).toMatchObject({ stateReason: null })
  expect(await eventsOf(real.stranger, back.id)).toEqual(['recoverInstance'])
  expect(await operationsOf(real, subjectId)).toEqual([])
})

test('what ran when instances were made known is ONLINE once its run is seen to be well', async () => {
  expect((await states(real, 'STARTING', '-+')).seen).toEqual(['STARTING', 'ONLINE'])
})

test('R80 a state follows for the very run that was asked about: another one is left alone', async () => {
  const another = (world: World) => (id: string) =>
    withTriggersOff(world.stranger, async (sql) => {
      await sql`update instance set instance_id = 'new', failed_checks = 5 where id = ${id}`
    })
  expect((await states(real, 'ONLINE', '-', another(real))).seen).toEqual(['ONLINE'])
  const anyRun: Mutation[] = [
    { name: 'noteAnswers', from: 't."instanceId" = i.instance_id', to: 'true' },
    { name: 'degradeInstance', from: '"found"."instance_id" = ', to: `'' <> ` },
  ]
  expect((await states(bare.withMutants(...anyRun), 'ONLINE', '-', another(bare))).seen).toEqual(['DEGRADED'])
})
