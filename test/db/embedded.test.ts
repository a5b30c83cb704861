// The embedded PostgreSQL through its life: first start, second start, crashes, owners, users.
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../database.ts'

test('a clone of the template answers and goes', async () => {
  const database = await createTestDatabase()
  const sql = postgres(database.url, { max: 1 })
  const [row] = await sql`SELECT current_setting('server_encoding') AS encoding`
  expect(row?.encoding).toBe('UTF8')
  await sql.end()
  await database.drop()
})
