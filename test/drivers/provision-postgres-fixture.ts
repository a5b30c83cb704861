// A PostgreSQL of its own for the tests of the provisioner, which log everything they are sent, and connections to it as main
// makes them; with a wrapper that breaks or parks any statement. And a client as a user of a resource would have it.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { startupSettings } from '../../src/db/settings.ts'
import { openSlot } from '../../src/db/slot.ts'
import { readTarget } from '../../src/db/socket.ts'
import type { ResourceRef } from '../../src/drivers/provision/driver.ts'
import { type Connect, createPostgresProvisioner, type Session } from '../../src/drivers/provision/postgres.ts'
import type { ProvisionClient } from './provision.conformance.ts'

/** Connects as main does. */
export const connectTo =
  (limits = { statementTimeoutMs: 10_000, lockTimeoutMs: 3_000 }): Connect =>
  (url) =>
    openSlot({
      target: readTarget(url),
      applicationName: 'pawl-provision',
      settings: startupSettings(limits, new Set()),
      connectTimeoutMs: 3_000,
      deadlineMs: limits.statementTimeoutMs + 1_000,
      preparedStatements: false,
    })

/** The name that each statement of the provisioner begins with. */
export const nameOf = (sql: string): string => /^\/\* (.*?) \*\//.exec(sql)?.[1] ?? sql

export interface Around {
  /** Called before each statement; may park it, or throw, and then it is not sent. */
  before?(name: string, session: Session): void | Promise<void>
  /** Called after each statement that has been carried out; may throw. */
  after?(name: string, session: Session): void | Promise<void>
}

/** Connections whose statements can be parked or broken. */
export const around =
  (connect: Connect, { before, after }: Around): Connect =>
  async (url) => {
    const session = await connect(url)
    return {
      retire: (hard) => session.retire(hard),
      async run(statement) {
        await before?.(nameOf(statement.sql), session)
        const rows = await session.run(statement)
        await after?.(nameOf(statement.sql), session)
        return rows
      },
    }
  }

export interface PostgresFixture {
  readonly url: string
  readonly admin: postgres.Sql
  readonly dataDir: string
  provisioner(connect?: Connect, installation?: string): ReturnType<typeof createPostgresProvisioner>
  exists(ref: ResourceRef): Promise<boolean>
  plantForeign(ref: ResourceRef): Promise<void>
  serverLog(): Promise<string>
  dispose(): Promise<void>
}

/** Starts a cluster that writes all statements to its log. */
export async function createPostgresFixture(major: 15 | 18): Promise<PostgresFixture> {
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-test-provision-'))
  const server: EmbeddedPostgres = await startEmbeddedPostgres({
    dataDir,
    major,
    durable: false,
    settings: { log_statement: 'all', log_min_error_statement: 'error', log_error_verbosity: 'verbose' },
  })
  const admin = postgres(server.url, { max: 2, onnotice: () => {} })
  return {
    url: server.url,
    admin,
    dataDir,
    provisioner: (connect = connectTo(), installation = 'tests') =>
      createPostgresProvisioner({
        installation,
        url: server.url,
        dataDir,
        startCluster: () => Promise.reject(new Error('not to be started')),
        connect,
      }),
    async exists({ incarnation }) {
      const name = `pawl_${incarnation}`
      const [row] = await admin`SELECT EXISTS (SELECT FROM pg_database WHERE datname = ${name})
        OR EXISTS (SELECT FROM pg_roles WHERE rolname = ${name}) AS there`
      return row?.there === true
    },
    async plantForeign({ incarnation }) {
      await admin.unsafe(`CREATE DATABASE "pawl_${incarnation}"`)
      await admin.unsafe(`REVOKE CONNECT ON DATABASE "pawl_${incarnation}" FROM PUBLIC`)
    },
    serverLog: () => readFile(join(dataDir, 'postgres.log'), 'utf8'),
    async dispose() {
      await admin.end({ timeout: 2 })
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** One session of a user of a resource. */
export async function clientOf(url: string): Promise<ProvisionClient & { readonly sql: postgres.Sql }> {
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  // Without asking for types: that question, on a connection that is refused half-way, rejects where nobody hears it.
  const options = { max: 1, onnotice: () => {}, onclose: () => resolve(), connect_timeout: 3, fetch_types: false }
  const sql = postgres(url, options)
  try {
    await sql`SELECT 1`
  } catch (error) {
    await sql.end({ timeout: 0 })
    throw error
  }
  return {
    sql,
    ended,
    async write(text) {
      await sql`CREATE TABLE IF NOT EXISTS note (line serial, body text)`
      await sql`INSERT INTO note (body) VALUES (${text})`
    },
    async read() {
      const [there] = await sql`SELECT to_regclass('note') IS NOT NULL AS there`
      const [row] = there?.there ? await sql`SELECT body FROM note ORDER BY line DESC LIMIT 1` : []
      return row?.body ?? null
    },
    end: () => sql.end({ timeout: 1 }),
  }
}
