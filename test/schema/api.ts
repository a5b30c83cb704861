// What the schema tests share: a server on a free port over a database of its own, and calls as a client makes them.
import type { Channel, Pool, Statement } from '../../src/db/client.ts'
import { openPool } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { createHub, type Hub } from '../../src/live/hub.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics, type Metrics } from '../../src/metrics.ts'
import { graphqlOperations } from '../../src/schema/schema.ts'
import { createHttpServer, type GraphqlPart, type HttpOptions, type PawlServer } from '../../src/server.ts'
import { createTestDatabase, patient, type TestDatabase } from '../database.ts'
import { createTeam, type TestTeam } from '../fixture.ts'
import { testSealing, testWebhookFault } from '../row.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at in every shape
  readonly data: any
  readonly errors: { message: string; path?: unknown; extensions: Record<string, unknown> }[] | undefined
  readonly text: string
}

export interface Api {
  readonly url: string
  readonly database: TestDatabase
  readonly pool: Pool
  readonly server: PawlServer
  readonly hub: Hub
  readonly metrics: Metrics
  readonly team: TestTeam
  /** Everything that was logged. */
  readonly logged: string[]
  /** Statements since the last `forget`, as `name` where they have one. */
  readonly statements: Statement[]
  names(): string[]
  forget(): void
  /** Called before each statement; may throw. */
  before: (statement: Statement) => void | Promise<void>
  /** Called when something was accepted. */
  nudged: () => void
  call(query: string, variables?: Record<string, unknown>, token?: string): Promise<Answer>
  close(): Promise<void>
}

export type ApiOptions = Pick<HttpOptions, 'times'> &
  Pick<GraphqlPart, 'introspection' | 'trust' | 'rate' | 'oidc' | 'streamLimits'>

/** Opens everything; `close` takes it down. */
export async function openApi({ times = {}, ...policy }: ApiOptions = {}): Promise<Api> {
  const database = await createTestDatabase()
  const team = await createTeam(database.url)
  const statements: Statement[] = []
  const logged: string[] = []
  const metrics = createMetrics({ graphqlOperations, strict: true })
  const wrap = (channel: Channel): Channel => ({
    async run(statement) {
      statements.push(statement)
      await api.before(statement)
      return channel.run(statement)
    },
  })
  const pool = openPool({ url: database.url, purpose: 'api', slots: 4, ...patient, wrap })
  const log = createLog({ level: 'debug', destination: { write: (line) => logged.push(line) } })
  const hub = createHub({ db: pool.db, log })
  const server = createHttpServer({
    graphql: {
      ...policy,
      db: pool.db,
      hub,
      images: {
        reserves: (name) => name === 'PORT',
        resolveImage: async (image) =>
          image === 'unknown'
            ? { kind: 'refused', reason: 'there is no such image' }
            : { kind: 'done', value: { image } },
      },
      nudge: () => api.nudged(),
      resourceTypes: () => null,
      webhookFault: testWebhookFault,
      sealing: testSealing,
    },
    metrics,
    log,
    ready: async () => true,
    times,
  })
  const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
  const api: Api = {
    url,
    database,
    pool,
    server,
    hub,
    metrics,
    team,
    logged,
    statements,
    names: () => statements.map((statement) => statementName(statement.sql) ?? statement.sql),
    forget: () => void statements.splice(0),
    before: () => {},
    nudged: () => {},
    async call(query, variables, token = team.token) {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query, variables }),
      })
      const text = await response.text()
      const { data, errors } = text.startsWith('{') ? JSON.parse(text) : { data: undefined, errors: undefined }
      return { status: response.status, headers: response.headers, data, errors, text }
    },
    async close() {
      await server.stop(1_000)
      await pool.close()
      await database.drop()
    },
  }
  return api
}
