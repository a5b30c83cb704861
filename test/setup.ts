// Once per test run: one PostgreSQL cluster in a directory of its own, and in it a template database at the
// newest migration. Major version from PAWL_TEST_POSTGRES (18 or 15). All is removed at the end, also after
// failures; what a killed run left behind is removed by the next one.

import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import type { TestProject } from 'vitest/node'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../src/db/embedded.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser on the cluster of this run. */
    databaseUrl: string
    templateDatabase: string
    postgresMajor: 15 | 18
  }
}

const TEMPLATE = 'pawl_template'
const PREFIX = 'pawl-test-'

/** Vitest's global set-up; returns the tear-down. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const major = readMajor(process.env.PAWL_TEST_POSTGRES)
  await removeLeftovers()
  const dataDir = await mkdtemp(join(tmpdir(), PREFIX))
  let server: EmbeddedPostgres | undefined
  const tearDown = async () => {
    await server?.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    // Two files at a time, each with a pool for every replica and every mutant that it plays.
    server = await startEmbeddedPostgres({ dataDir, major, durable: false, settings: { max_connections: '400' } })
    await buildTemplate(server.url)
  } catch (error) {
    await tearDown()
    throw error
  }
  project.provide('databaseUrl', server.url)
  project.provide('templateDatabase', TEMPLATE)
  project.provide('postgresMajor', major)
  return tearDown
}

function readMajor(value = '18'): 15 | 18 {
  if (value === '18') return 18
  if (value === '15') return 15
  throw new Error(`PAWL_TEST_POSTGRES is ${JSON.stringify(value)}; allowed: 18, 15`)
}

async function buildTemplate(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    await sql.unsafe(`CREATE DATABASE ${TEMPLATE}`)
    const template = new URL(url)
    template.pathname = `/${TEMPLATE}`
    const migrations = new URL('../src/db/migrate.ts', import.meta.url)
    if (existsSync(migrations)) {
      const { migrate } = (await import('../src/db/migrate.ts')) as { migrate(url: string): Promise<unknown> }
      await migrate(template.href)
    }
    // Nobody may connect any more: a session in the template would make every clone wait.
    await sql.unsafe(`ALTER DATABASE ${TEMPLATE} ALLOW_CONNECTIONS false`)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** A run that was killed left its server running: adopt it, which fails if its owner lives, and remove it. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const dataDir = join(tmpdir(), name)
    if (!name.startsWith(PREFIX) || !existsSync(join(dataDir, 'postgres/postmaster.pid'))) continue
    try {
      const major = readMajor((await readFile(join(dataDir, 'postgres/PG_VERSION'), 'utf8')).trim())
      const // Two files at a time, each with a pool for every replica and every mutant that it plays.
        server = await startEmbeddedPostgres({ dataDir, major, durable: false, settings: { max_connections: '400' } })
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    } catch {
      // Another run owns it, now or since a moment ago.
    }
  }
}
