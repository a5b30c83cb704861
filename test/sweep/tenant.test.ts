// Nobody reads or changes another team's objects: every place of the schema that takes an id is tried with another team's,
// and every path of up to three objects shows the same whether the other team is there or not. What is swept follows from
// the schema; a type or mutation that nobody has said how to make fails here.
import { isDeepStrictEqual } from 'node:util'
import type { GraphQLField } from 'graphql'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Api, openApi } from '../schema/api.ts'
import { fingerprint } from './fingerprint.ts'
import { makers } from './maker.ts'
import { noLimit } from './no-limit.ts'
import { readEverything } from './paths.ts'
import {
  askOnce,
  inputWith,
  isEmpty,
  mutate,
  nameOf,
  outcomeOf,
  queryWith,
  sweepMutation,
  sweepQuery,
} from './tenant.ts'
import { validInputs } from './valid-input.ts'
import { mutations, nodeTypes, places, roots, subscriptions } from './walk.ts'
import { idsOf, openWorld, shownOf, type World } from './world.ts'

let api: Api
let world: World
let alone: Awaited<ReturnType<typeof readEverything>>
let together: Awaited<ReturnType<typeof readEverything>>
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
  alone = await readEverything(world)
  await world.settle()
  together = await readEverything(world)
}, 120_000)
afterAll(async () => {
  await world.close()
  await api.close()
})

const ofMutations = places('ID').filter(({ type }) => type === 'Mutation')
const ofQueries = places('ID').filter(({ type }) => type !== 'Mutation')

describe('what is to be swept is known', () => {
  test('every type with an id has a row in maker.ts', () => {
    expect(nodeTypes.filter((type) => !Object.hasOwn(makers, type))).toEqual([])
  })

  test('every mutation has a row in valid-input.ts', () => {
    expect(
      mutations
        .map(({ name }: GraphQLField<unknown, unknown>) => name)
        .filter((name) => !Object.hasOwn(validInputs, name)),
    ).toEqual([])
  })

  test('there is no other way in: a further root needs a sweep of its own', () => {
    expect(roots()).toEqual(['Query', 'Mutation', 'Subscription'])
    const swept = ofQueries.filter(({ type }) => type === 'Subscription').map(({ field }) => field)
    expect(subscriptions.map(({ name }) => name).filter((name) => !swept.includes(name))).toEqual([])
  })
})

describe('every path of up to three objects', () => {
  test('is answered without an error', () => {
    expect(
      together.answers.filter(({ errors }) => errors).map(({ names, errors }) => `${names}: ${JSON.stringify(errors)}`),
    ).toEqual([])
    expect(together.paths).toBeGreaterThan(1_000)
  })

  test('shows nothing of another team', () => {
    const theirs = new Set(idsOf(world.b))
    expect(
      together.answers.flatMap(({ names, data }) => shownOf(theirs, data).map((shown) => `${names}: ${shown}`)),
    ).toEqual([])
  })

  test('shows the same as if the other team were not there', () => {
    const differing = together.answers.filter(({ data }, at) => !isDeepStrictEqual(data, alone.answers[at]?.data))
    expect(differing.map(({ names }) => names)).toEqual([])
  })
})

describe('a query or subscription that is given another team’s id finds nothing, as if it were not there', () => {
  test.each(ofQueries.map((place) => [nameOf(place), place] as const))('%s', async (_, place) => {
    const before = await fingerprint(world.sql)
    expect(await sweepQuery(world, place)).toEqual([])
    expect(await fingerprint(world.sql)).toEqual(before)
    // The place is a real one: with an id of its own the team finds something.
    const found = []
    for (const id of Object.values(world.a.own)) {
      const { document, variables, read } = queryWith(place, id, world.a.own)
      const answer = await askOnce(api, place, document, variables, world.a.token)
      if (!answer.errors && !isEmpty(read(answer.data as never))) found.push(id)
    }
    expect(found).not.toEqual([])
  })
})

describe('a mutation that is given another team’s id does not find it, and changes nothing', () => {
  test.each(ofMutations.map((place, nth) => [nameOf(place), place, nth] as const))('%s', async (_, place, nth) => {
    expect(await sweepMutation(world, place, nth)).toEqual([])
  })
})

describe('with its own ids', () => {
  test.each(ofMutations.map((place, nth) => [nameOf(place), place, nth] as const))(
    '%s is found',
    async (_, place, nth) => {
      const own = await openWorld(api)
      const answer = await mutate(own, place.field, inputWith(place, own.a.own, 1_000 + nth), own.a.token)
      expect(outcomeOf(answer, place.field)).not.toBe('NotFound')
      expect(answer.errors, answer.text).toBeUndefined()
      expect(shownOf(new Set(idsOf(world.b)), answer.data)).toEqual([])
      await own.close()
    },
  )
})
