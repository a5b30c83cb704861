// Registrations at once: one row under one id, the plan's last place, and a deployment that ends meanwhile.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settleExternal } from '../../src/loops/external-instances.ts'
import { isRefusal } from '../../src/refusals.ts'
import { type InstancePayload, registerInstance } from '../../src/resolvers/instance.ts'
import { holdCounters, underWay, untilBlocked } from '../interleave.ts'
import { openWorld, type World } from '../races/world.ts'
import { contextFor, createTeam, putDeployment } from '../row.ts'
import { countedInstances, storedInstance } from './row.ts'

let real: World
beforeAll(async () => {
  real = await openWorld()
})
afterAll(() => real.close())

const told = (result: object) => (isRefusal(result) ? result.refusal : (result as InstancePayload).instance.state)

describe('registerInstance at once', () => {
  test('R24 of eight under one id one is born; the others are shown it', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => registerInstance(real.context, { name: 'one', instanceId: 'the-one' })),
    )
    expect(answers.map(told).sort()).toEqual([...Array.from({ length: 7 }, () => 'IllegalState'), 'STARTING'])
    const born = await real.stranger<{ id: string }[]>`select id from instance where instance_id = 'the-one'`
    expect(born).toHaveLength(1)
    for (const answer of answers.filter(isRefusal))
      expect(answer).toMatchObject({ facts: { instance: { id: born[0]?.id } } })
  })

  test('R85 the cap holds: the last place goes to the one who came first', async () => {
    const team = await createTeam(real.stranger)
    await real.stranger`update plan_usage set cap = 1 where team_id = ${team.teamId} and kind = 'instances'`
    const context = contextFor(real.pool.db, team.actor)
    const counters = await holdCounters(real.stranger, team.teamId)
    const first = underWay(registerInstance(context, { name: 'first' }))
    await untilBlocked(real.stranger, 'registerInstance')
    const second = underWay(registerInstance(context, { name: 'second' }))
    await untilBlocked(real.stranger, 'registerInstance', 2)
    await counters.release()
    expect([told(await first), told(await second)]).toEqual(['STARTING', 'QuotaExceeded'])
    expect(await countedInstances(real.stranger, team.teamId)).toEqual({ used: 1, live: 1 })
  })

  test('of a deployment that ends meanwhile: refused, or removed by the next pass', async () => {
    const { teamId } = real.team
    const deploymentId = await putDeployment(real.stranger, { teamId, state: 'HEALTHY' })
    const counters = await holdCounters(real.stranger, teamId)
    const early = underWay(registerInstance(real.context, { name: 'early', deploymentId }))
    await untilBlocked(real.stranger, 'registerInstance')
    await counters.run(`update deployment set state = 'DELETING', version = version + 1 where id = '${deploymentId}'`)
    await counters.release()
    const born = await early
    expect(told(born)).toBe('STARTING')
    expect(told(await registerInstance(real.context, { name: 'late', deploymentId }))).toBe('IllegalState')
    await settleExternal(real.pool.db, () => {}, new AbortController().signal)
    const { id } = (born as InstancePayload).instance
    expect(await storedInstance(real.stranger, id)).toMatchObject({ state: 'REMOVED' })
  })
})
