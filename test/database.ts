// A database of its own for each test file (or test), cloned from the template that test/setup.ts has built.

import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import { inject } from 'vitest'

/** SQLSTATE object_in_use: another clone of the template is being made at this moment. */
const OBJECT_IN_USE = '55006'
const CLONE_TRIES = 50

/** What pools of tests wait for, in ms: no shorter than any test needs, so that a busy machine turns nobody away. */
export const patient = { statementTimeoutMs: 5_000, waitForSlotMs: 10_000, connectTimeoutMs: 10_000 } as const

export interface TestDatabase {
  readonly url: string
  /** Ends its sessions and removes it. */
  drop(): Promise<void>
}

/** Clones the migrated, empty template. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const base = inject('databaseUrl')
  const name = `test_${randomBytes(8).toString('hex')}`
  await onServer(base, async (sql) => {
    for (let attempt = 1; ; attempt++) {
      try {
        await sql.unsafe(`CREATE DATABASE ${name} TEMPLATE ${inject('templateDatabase')}`)
        return
      } catch (error) {
        if ((error as { code?: string }).code !== OBJECT_IN_USE || attempt === CLONE_TRIES) throw error
      }
    }
  })
  const url = new URL(base)
  url.pathname = `/${name}`
  return {
    url: url.href,
    drop: () => onServer(base, async (sql) => void (await sql.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))),
  }
}

async function onServer(url: string, work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await work(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}
