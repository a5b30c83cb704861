// The stage itself: replicas serve one world, and a death at a statement is a death at that statement.
import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../database.ts'
import { until } from '../loops/fixture.ts'
import { ask, type Fleet, openFleet, type Replica } from './fleet.ts'

let database: TestDatabase
let fleet: Fleet
let sql: postgres.Sql
beforeAll(async () => {
  database = await createTestDatabase()
  sql = postgres(database.url, { max: 1 })
  fleet = await openFleet({ url: database.url })
})
afterAll(async () => {
  await fleet.close()
  await sql.end({ timeout: 1 })
  await database.drop()
})

const deploy =
  'mutation ($input: DeployInput!) { deploy(input: $input) { __typename ... on DeployPayload { deployment { id } } } }'
const states = '{ deployments { nodes { name state } } }'

test('what one replica has accepted and died over, another one finishes, in the one world of both', async () => {
  const first = (await fleet.start({ dieAt: { statement: 'rollOutDeployment', nth: 1, when: 'after' } })) as Replica
  expect(await ask(first, fleet.token, deploy, { input: { name: 'shop', image: 'hello:1' } })).toMatchObject({
    data: { deploy: { __typename: 'DeployPayload' } },
  })
  expect(await first.ended).toBe(null)
  // Its lease is over, as if the time had passed.
  await sql`update operation set due_at = now() where state = 'RUNNING'`
  const second = (await fleet.start()) as Replica
  await until(async () =>
    expect(await ask(second, fleet.token, states)).toMatchObject({
      data: { deployments: { nodes: [{ name: 'shop', state: 'HEALTHY' }] } },
    }),
  )
  expect(fleet.outside.runtime.liveRuns()).toHaveLength(1)
})
