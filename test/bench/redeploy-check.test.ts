// The check before anything is counted: it holds for our own server on a seeded database, and a server that answers rightly
// without storing anything does not pass it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seed } from '../../bench/growth-seed.ts'
import { dialects } from '../../bench/redeploy.ts'
import { checkRedeploy } from '../../bench/redeploy-check.ts'
import { idOf, numberOf, type Seeded, shares } from '../../bench/subject.ts'
import { putTokens } from '../../bench/world.ts'
import { createTestDatabase, type TestDatabase } from '../database.ts'
import { superuser } from '../fixture.ts'

const rows = 1_000
let database: TestDatabase
let seeded: Seeded
const inDatabase = async <T>(work: (sql: ReturnType<typeof superuser>) => Promise<T>): Promise<T> => {
  const sql = superuser(database.url)
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

beforeAll(async () => {
  database = await createTestDatabase()
  await seed(database.url, rows, () => {})
  seeded = { rows, tokens: await inDatabase(putTokens) }
})
afterAll(() => database.drop())

test('the seed is what the calls take it for', async () => {
  const states = await inDatabase((sql) =>
    Promise.all(
      Object.values(shares).map(async ({ first, count }) => {
        const ids = Array.from({ length: count }, (_, at) => idOf('dep', numberOf(first + 2 * at, 3)))
        return (await sql`select distinct state from deployment where id in ${sql(ids)} order by 1`).map(
          ({ state }) => state,
        )
      }),
    ),
  )
  expect(states).toEqual([['FAILED', 'HEALTHY'], ['STOPPED'], ['DELETED']])
})

test('a server that stores nothing does not do the same, whatever it answers', async () => {
  const server = createServer((req, res) => {
    req.resume().once('end', () => {
      const deployment = { id: idOf('dep', numberOf(1, 0)), state: 'BUILDING', version: '2' }
      const operation = { id: 'op_1', state: 'PENDING' }
      res.end(JSON.stringify({ data: { redeployDeployment: { replayed: false, deployment, operation } } }))
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  try {
    await expect(
      inDatabase((sql) => checkRedeploy('It', { url, dialect: dialects.pawl, seeded, sql })),
    ).rejects.toThrow(/^It does not do the same[\s\S]*a deleted one: moved[\s\S]*stored: version \+0/)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
