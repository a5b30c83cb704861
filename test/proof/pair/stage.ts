// Where the answers are brought about: the server's own door over a real PostgreSQL, with short waits for locks, a wire that can
// be cut in the middle of a call, and teams that have one object of every type in the state that a case asks for.
import type postgres from 'postgres'
import { vi } from 'vitest'
import { openPool } from '../../../src/db/client.ts'
import { statementName } from '../../../src/db/session.ts'
import { createLog } from '../../../src/log.ts'
import { createMetrics } from '../../../src/metrics.ts'
import { graphqlOperations } from '../../../src/schema/schema.ts'
import { createHttpServer } from '../../../src/server.ts'
import { createTestDatabase } from '../../database.ts'
import { superuser } from '../../fixture.ts'
import { contextFor, putToken, withTriggersOff } from '../../row.ts'
import type { Answer } from '../../schema/api.ts'
import { type Making, newObjects, type Objects, put, putTeam } from '../../sweep/maker.ts'
import { noLimit } from '../../sweep/no-limit.ts'
import { startWireProxy } from '../../wire-proxy.ts'

/** Instead of three seconds: what waits here waits in vain. */
const lockTimeoutMs = 60

export interface Stage {
  readonly url: string
  /** A superuser beside the pool. */
  readonly sql: postgres.Sql
  call(query: string, variables: Record<string, unknown>, token: string): Promise<Answer>
  /** Done before the next statement of that name is sent, once. */
  before(statement: string, act: () => Promise<unknown>): void
  /** Images that cannot be run. */
  readonly unknownImages: Set<string>
  /** The wire to the database is cut at the next statement that is no look at the caller, and stays so until it is mended. */
  cut(): void
  /** Resolves when the database is reached again. */
  mend(): Promise<void>
  /** Why there are no resources of a type; null when there are. */
  unavailable: string | null
  close(): Promise<void>
}

/** Opens the server; `close` takes it down. A slow machine is not what is played here: who needs a connection gets it. */
export async function openStage({ waitForSlotMs = 10_000 } = {}): Promise<Stage> {
  const database = await createTestDatabase()
  const proxy = await startWireProxy(database.url)
  const sql = superuser(database.url)
  let cutting = false
  const acts = new Map<string, () => Promise<unknown>>()
  const pool = openPool({
    url: proxy.url,
    purpose: 'api',
    slots: 4,
    statementTimeoutMs: 5_000,
    lockTimeoutMs,
    waitForSlotMs,
    wrap: (channel) => ({
      async run(statement) {
        const name = statementName(statement.sql) ?? ''
        const act = acts.get(name)
        acts.delete(name)
        await act?.()
        if (cutting && !/^(read:authenticate|noteTokenUse)$/.test(name)) {
          proxy.refuse()
          proxy.cut()
        }
        return channel.run(statement)
      },
    }),
  })
  const { images, sealing, webhookFault } = contextFor(pool.db, undefined as never)
  const server = createHttpServer({
    graphql: {
      db: pool.db,
      images: {
        ...images,
        resolveImage: async (image, signal) =>
          stage.unknownImages.has(image)
            ? { kind: 'refused', reason: 'there is no such image' }
            : images.resolveImage(image, signal),
      },
      sealing,
      webhookFault,
      rate: noLimit(),
      nudge: () => {},
      resourceTypes: () => stage.unavailable,
    },
    metrics: createMetrics({ graphqlOperations, strict: true }),
    log: createLog({ level: 'error' }),
    ready: async () => true,
  })
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}/graphql`
  const reached = () => vi.waitFor(() => pool.db.execute('select 1'), { timeout: 20_000, interval: 10 })
  const stage: Stage = {
    url: database.url,
    sql,
    unavailable: null,
    before: (statement, act) => void acts.set(statement, act),
    unknownImages: new Set(),
    async call(query, variables, token) {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
      const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })
      const text = await response.text()
      const { data, errors } = JSON.parse(text)
      return { status: response.status, headers: response.headers, data, errors, text }
    },
    cut() {
      cutting = true
    },
    async mend() {
      cutting = false
      proxy.restore()
      await reached()
    },
    async close() {
      await server.stop(1_000)
      await pool.close()
      await sql.end({ timeout: 5 })
      await proxy.close()
      await database.drop()
    },
  }
  await reached()
  return stage
}

/** A team that has one object of every type. */
export interface Scene {
  readonly teamId: string
  /** Of its owner, with every scope. */
  readonly token: string
  readonly of: Objects
}
export type But = NonNullable<Making['but']>

/** Puts a team in place; nothing of it refers to what is not there, and columns are as `but` says, by type. */
export async function putScene({ sql }: Stage, but: But = {}): Promise<Scene> {
  const of = newObjects()
  const teamId = String(of.Team)
  const at = new Date(Date.now() - 60_000)
  const plain: But = { Deployment: { env: {} }, Stack: { env: {} } }
  const columns = Object.fromEntries(
    Object.keys(of).map((type) => [type, { state_changed_at: at, ...plain[type], ...but[type] }]),
  )
  await withTriggersOff(sql, async (tx) => {
    await putTeam(tx, teamId, 'ours', at)
    if (but.Team) await tx`update team set ${tx(but.Team)} where id = ${teamId}`
    for (const [type, id] of Object.entries(of)) {
      if (type !== 'Team')
        await put(tx, type, { id, teamId, mark: 'ours', refer: (to) => String(of[to]), at, but: columns })
    }
  })
  const { plaintext } = await putToken(sql, { teamId })
  return { teamId, token: plaintext, of }
}
