// That nothing is left out of the exploration: an actor for every declared move and every mutation.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { machines } from '../../src/lifecycle/machines.ts'
import { performedBy } from './performed.ts'
import { subjects } from './subject/all.ts'

/** Nobody else can be there: a team that is made has no other members, and none of its rows is known to anybody. */
const alone = ['Team.createTeam']

test('every declared move and every mutation is performed by an actor', async () => {
  const { moves, mutations, failures } = await performedBy(subjects)
  expect(failures).toEqual([])
  const declared = machines.flatMap(({ entity, moves }) => Object.keys(moves).map((action) => `${entity}.${action}`))
  expect(declared.filter((move) => !moves.has(move) && !alone.includes(move))).toEqual([])
  const [schema = ''] = readFileSync('schema.graphql', 'utf8').match(/^type Mutation {[\s\S]*?^}/m) ?? []
  const fields = [...schema.matchAll(/^ {2}(\w+)\(/gm)].map(([, field]) => String(field))
  expect(fields.length).toBeGreaterThan(40)
  expect(fields.filter((field) => !mutations.has(field) && !alone.includes(`Team.${field}`))).toEqual([])
}, 120_000)
