// Where a soak is played: a PostgreSQL of its own that keeps what it has promised, a proxy before it for each of three replicas,
// the world of fakes, a receiver of webhooks. Replicas are started, killed and started again here; one that ends by itself is a
// finding.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/db/embedded.ts'
import { migrate } from '../../../src/db/migrate.ts'
import { driverLogLine } from '../../../src/drivers/driver-log.ts'
import { startWireProxy, type WireProxy } from '../../wire-proxy.ts'
import { type Fleet, openFleet, type Replica } from '../fleet.ts'
import type { Finding } from './judge.ts'
import { pause } from './pace.ts'
import { type Receiver, startReceiver } from './receiver.ts'

export interface Stage {
  readonly postgres: EmbeddedPostgres
  /** Past all proxies. */
  readonly sql: postgres.Sql
  readonly fleet: Fleet
  readonly receiver: Receiver
  readonly proxies: readonly WireProxy[]
  /** Null while that one is down. */
  readonly replicas: readonly (Replica | null)[]
  readonly findings: Finding[]
  /** Of this run: its history, what drivers were asked. */
  readonly folder: string
  /** Where replica n answers, or the next one that is up; as a balancer would say, which does not know of a death at once. */
  address(n: number): string
  /** Ends a replica by a signal; when it is up. */
  end(n: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
  /** Starts it again if it is down, and again if it does not come up: until the database can be reached. */
  start(n: number): Promise<void>
  /** Writes down what drivers were asked for, for `npm run check`; where. */
  writeDriverLog(): Promise<string>
  close(): Promise<void>
}

/** All loops many times as often as they declare it, and claims that run out soon: what takes minutes is seen within seconds. */
const orders = {
  everyMs: {
    expire: 2_000,
    teardown: 2_000,
    'reconcile-instances': 2_000,
    measure: 5_000,
    sweep: 10_000,
    trim: 20_000,
  },
  timing: { leaseMs: 6_000, marginMs: 1_500, renewEveryMs: 1_500, callTimeoutMs: 5_000 },
} as const

export async function openStage(count: number, say: (line: string) => void): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'pawl-soak-'))
  const server = await startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    settings: { max_connections: '200' },
    log: say,
  })
  await migrate(server.url)
  const sql = postgres(server.url, { max: 10, onnotice: () => {} })
  const receiver = await startReceiver()
  const proxies = await Promise.all(Array.from({ length: count }, () => startWireProxy(server.url)))
  const fleet = await openFleet({ url: server.url, env: { PAWL_WEBHOOK_ALLOW: '127.0.0.0/8', PAWL_LOG_LEVEL: 'warn' } })
  const replicas: (Replica | null)[] = proxies.map(() => null)
  const findings: Finding[] = []
  const addresses: string[] = []
  const asked = new WeakSet<Replica>()
  let closing = false

  /** One at a time for each place: who asks while one is coming up waits for that one. */
  const coming: (Promise<void> | undefined)[] = []
  const start = (n: number): Promise<void> => {
    coming[n] ??= bringUp(n).finally(() => {
      coming[n] = undefined
    })
    return coming[n]
  }
  const bringUp = async (n: number): Promise<void> => {
    while (!closing && !replicas[n]) {
      const replica = await fleet.start(orders, { DATABASE_URL: String(proxies[n]?.url) }).catch((error: Error) => {
        say(`replica ${n} did not come up: ${error.message.split('\n')[0]?.slice(0, 200)}`)
        return null
      })
      if (!replica) {
        await pause(500)
        continue
      }
      replicas[n] = replica
      addresses[n] = replica.graphql
      void replica.ended.then((code) => {
        if (replicas[n] === replica) replicas[n] = null
        if (closing || asked.has(replica)) return
        const last = replica.text().trim().split('\n').slice(-5).join('\n')
        findings.push({
          rule: 'ended',
          what: `replica ${n} ended by itself (${code ?? replica.child.signalCode}): ${last}`,
        })
        void start(n)
      })
    }
  }
  return {
    postgres: server,
    sql,
    fleet,
    receiver,
    proxies,
    replicas,
    findings,
    folder,
    address(n) {
      const near = (offset: number) => replicas[(n + offset) % count]
      const up = replicas.map((_, offset) => near(offset)).find((replica) => replica != null)
      return up?.graphql ?? String(addresses[n % count])
    },
    async end(n, signal) {
      const replica = replicas[n]
      if (!replica) return
      asked.add(replica)
      const code = await replica.end(signal)
      if (signal === 'SIGTERM' && code !== 0) {
        const last = replica.text().trim().split('\n').slice(-5).join('\n')
        findings.push({
          rule: 'ended',
          what: `replica ${n} ended with ${code ?? replica.child.signalCode} after a SIGTERM: ${last}`,
        })
      }
    },
    start,
    async writeDriverLog() {
      const path = join(folder, 'drivers.jsonl')
      const { runtime, postgres: databases, redis } = fleet.outside
      const told = [
        ...runtime.log().map((entry) => ({ driver: 'runtime.fake', entry })),
        ...databases.log().map((entry) => ({ driver: 'provision.POSTGRES', entry })),
        ...redis.log().map((entry) => ({ driver: 'provision.REDIS', entry })),
      ].sort((a, b) => a.entry.at.getTime() - b.entry.at.getTime())
      await writeFile(path, told.map(({ driver, entry }) => driverLogLine(driver, entry)).join(''))
      return path
    },
    async close() {
      closing = true
      await Promise.all(coming)
      await fleet.close()
      await Promise.all([receiver.close(), sql.end({ timeout: 1 }), ...proxies.map((proxy) => proxy.close())])
      await server.stop()
      await rm(join(folder, 'data'), { recursive: true, force: true })
    },
  }
}
