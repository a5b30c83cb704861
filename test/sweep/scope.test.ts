// Who may ask for what: every mutation and every query by every kind of caller, held against a table that was written by hand.
// Whoever may not is told what is missing, and nothing has changed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Api, openApi } from '../schema/api.ts'
import { type Caller, openCallers } from './caller.ts'
import * as needs from './expected-need.ts'
import { noLimit } from './no-limit.ts'
import { sweepMutation, sweepQuery } from './scope.ts'
import { mutations, queries, subscriptions } from './walk.ts'
import { openWorld, type World } from './world.ts'

let api: Api
let world: World
let leaving: World
let callers: Caller[]
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
  leaving = await openWorld(api)
  callers = await openCallers(world.sql, world.a.teamId, leaving.a.teamId)
  await leaving.sql`update team set state = 'DELETION_REQUESTED', deletion_at = now() + interval '1 day', version = version + 1
    where id = ${leaving.a.teamId}`
})
afterAll(async () => {
  await leaving.close()
  await world.close()
  await api.close()
})

test('every mutation has a row in the table', () => {
  expect(mutations.map(({ name }) => name).filter((name) => !Object.hasOwn(needs.mutation, name))).toEqual([])
})

describe('a mutation is asked for by every kind of caller', () => {
  test.each(mutations.map(({ name }) => name))('%s', async (name) => {
    expect(await sweepMutation(world, name, callers)).toEqual([])
  })
})

describe('a query is asked by every kind of caller', () => {
  test.each(queries.map(({ name }) => name))('%s', async (name) => {
    expect(await sweepQuery(world, name, callers)).toEqual([])
  })
})

describe('a subscription is asked for by every kind of caller', () => {
  test.each(subscriptions.map(({ name }) => name))('%s', async (name) => {
    expect(await sweepQuery(world, name, callers, 'Subscription')).toEqual([])
  })
})
