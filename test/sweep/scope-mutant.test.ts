// That the scope sweep can fail: with the gate of one action after the other left open, or opened by the scope `read` alone,
// the sweep finds it. The gate is exchanged in this test's own copy of the module; the product has no switch for it.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type * as auth from '../../src/auth.ts'
import { type Api, openApi } from '../schema/api.ts'
import { type Caller, openCallers } from './caller.ts'
import { noLimit } from './no-limit.ts'
import { sweepMutation, sweepQuery } from './scope.ts'
import { mutations } from './walk.ts'
import { openWorld, type World } from './world.ts'

/** Which action's gate is another, and which. */
const mutant = vi.hoisted(() => ({ action: '', gate: 'open' as 'open' | 'read' | 'any class' }))
vi.mock('../../src/auth.ts', async (importOriginal) => {
  const original = await importOriginal<typeof auth>()
  return {
    ...original,
    lacking: (actor: auth.Actor, action: auth.Action) => {
      if (action !== mutant.action) return original.lacking(actor, action)
      if (mutant.gate === 'open') return null
      const lack = original.lacking(actor, mutant.gate === 'read' ? 'read' : action)
      return lack?.kind === 'action class' ? null : lack
    },
  }
})

let api: Api
let world: World
let leaving: World
let callers: Caller[]
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
  leaving = await openWorld(api)
  callers = await openCallers(world.sql, world.a.teamId, leaving.a.teamId)
  // Few callers suffice to find it: nobody in particular, one scope each, one role.
  callers = callers.filter(({ name }) => /only the scope (approve|read)|role viewer|all but/.test(name))
})
afterAll(async () => {
  await leaving.close()
  await world.close()
  await api.close()
})

/** Those that need nothing but to be let in have no scope to leave out. All others where PAWL_ROUNDS is set, else one of eight. */
const oneOf = process.env.PAWL_ROUNDS === undefined ? 8 : 1
const gated = mutations.map(({ name }) => name).filter((name, at) => name !== 'acceptInvitation' && at % oneOf === 0)

describe('a gate that is left open is found', () => {
  test.each(gated)('%s', async (name) => {
    mutant.action = name
    mutant.gate = 'open'
    expect(await sweepMutation(world, name, callers)).not.toEqual([])
  })

  test('that of all queries and subscriptions', async () => {
    mutant.action = 'read'
    mutant.gate = 'open'
    expect(await sweepQuery(world, 'deployments', callers)).not.toEqual([])
    expect(await sweepQuery(world, 'events', callers, 'Subscription')).not.toEqual([])
  })
})

test.each(['read', 'any class'] as const)('a gate that asks for too little (%s) is found', async (gate) => {
  mutant.action = 'stopDeployment'
  mutant.gate = gate
  expect(await sweepMutation(world, 'stopDeployment', callers)).not.toEqual([])
})
