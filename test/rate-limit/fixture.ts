// A stage for budgets: one database, any number of replicas with servers of their own on it, and one clock that is moved by
// hand. Nothing runs by a timer: an exchange happens when a test says so.
import { type Channel, openPool, type Pool } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { exchangeUsageLoop } from '../../src/loops/exchange-usage.ts'
import type { LoopDeclaration } from '../../src/loops/loop.ts'
import { createMetrics, type Metrics } from '../../src/metrics.ts'
import type { Rate, RateScope } from '../../src/plans.ts'
import { createRateLimit } from '../../src/rate-limit.ts'
import { graphqlOperations } from '../../src/schema/schema.ts'
import { createHttpServer, type PawlServer } from '../../src/server.ts'
import { createTestDatabase, patient } from '../database.ts'
import type { Target } from '../door/client.ts'
import { keepingLog } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'

export interface Replica {
  readonly metrics: Metrics
  /** Where to ask, with that token. */
  as(token: string): Target
  /** One pass of the loop: tells the others, and hears them. */
  exchange(): Promise<unknown>
  /** Names of the statements since the last call of this. */
  statements(): string[]
  /** Called before each statement, and after it; may throw. */
  before: (name: string) => void
  after: (name: string) => void
  readonly pool: Pool
  readonly loop: LoopDeclaration
}

/** Opens a stage; `close` takes it down. */
export async function openStage(rates: Readonly<Record<RateScope, Rate>>) {
  const database = await createTestDatabase()
  const open: { server: PawlServer; pool: Pool }[] = []
  let nowMs = 0
  return {
    url: database.url,
    pass(ms: number): void {
      nowMs += ms
    },
    async replica(): Promise<Replica> {
      const seen: string[] = []
      const wrap = (channel: Channel): Channel => ({
        async run(statement) {
          const name = statementName(statement.sql) ?? statement.sql
          seen.push(name)
          replica.before(name)
          const rows = await channel.run(statement)
          replica.after(name)
          return rows
        },
      })
      const pool = openPool({ url: database.url, purpose: 'api', slots: 4, ...patient, wrap })
      const metrics = createMetrics({ graphqlOperations, strict: true })
      const rate = createRateLimit({ rates, nowMs: () => nowMs })
      const server = createHttpServer({
        graphql: {
          db: pool.db,
          rate,
          images: { reserves: () => false, resolveImage: async (image) => ({ kind: 'done', value: { image } }) },
          nudge: () => {},
          resourceTypes: () => null,
          webhookFault: async () => null,
          sealing: testSealing,
        },
        metrics,
        log: keepingLog([]),
        ready: async () => true,
      })
      const url = `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`
      const loop = exchangeUsageLoop(pool.db, rate)
      const replica: Replica = {
        metrics,
        as: (token) => ({ url, token }),
        exchange: () => loop.pass(AbortSignal.timeout(5_000)),
        statements: () => seen.splice(0),
        before: () => {},
        after: () => {},
        pool,
        loop,
      }
      open.push({ server, pool })
      return replica
    },
    async close(): Promise<void> {
      await Promise.all(open.map(({ server }) => server.stop(1_000)))
      await Promise.all(open.map(({ pool }) => pool.close()))
      await database.drop()
    },
  }
}
