// Replicas of the control plane on one database and in one world of fakes, which live here and outlive them: as many as one
// likes, each a process of its own that can be killed and followed by another.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createFakeProvisioner, type FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { createFakeDriver, type FakeDriver } from '../../src/drivers/runtime/fake.ts'
import { mintToken } from '../../src/token.ts'
import { serveDriver, serveProvisioner } from '../far.ts'
import type { Orders } from './replica.ts'

const program = fileURLToPath(new URL('./replica.ts', import.meta.url))

/** What there is outside: it knows what really runs, and what was ever asked of it. */
export interface FakeOutside {
  readonly runtime: FakeDriver
  readonly postgres: FakeProvisioner
  readonly redis: FakeProvisioner
}

export const openOutside = (...[options]: Parameters<typeof createFakeDriver>): FakeOutside => ({
  runtime: createFakeDriver(options),
  postgres: createFakeProvisioner({ type: 'POSTGRES' }),
  redis: createFakeProvisioner({ type: 'REDIS' }),
})

export interface Replica {
  readonly child: ChildProcess
  /** Where its API answers; of a worker, where it tells of its health. */
  readonly graphql: string
  /** The world as it is served to this one: what is ordered of these fakes happens to its calls alone. */
  readonly outside: FakeOutside
  /** Everything that it has written. */
  text(): string
  /** Settles when it has ended, with its exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>
  /** Ends it with the signal, and waits until it has ended. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>
}

export interface FleetOptions {
  /** A database at the newest migration; replicas need not reach it the same way. */
  readonly url: string
  readonly outside?: FakeOutside
  readonly env?: Readonly<Record<string, string>>
}

export type Fleet = Awaited<ReturnType<typeof openFleet>>

export async function openFleet({ url, outside = openOutside(), env = {} }: FleetOptions) {
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-proof-'))
  const token = mintToken().plaintext
  const living = new Set<Replica>()
  return {
    outside,
    /** Plaintext of the owner's. */
    token,
    living: living as ReadonlySet<Replica>,
    /**
     * Resolves when it serves; null when it has ended before, as it may when it was told to die. `forked` is given the process
     * as soon as there is one: it works before it serves.
     */
    async start(
      orders: Orders = {},
      own: Readonly<Record<string, string>> = {},
      forked: (child: ChildProcess) => void = () => {},
    ): Promise<Replica | null> {
      const child = fork(program, [JSON.stringify(orders)], {
        serialization: 'advanced',
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: {
          PATH: String(process.env.PATH),
          DATABASE_URL: url,
          PAWL_PORT: '0',
          PAWL_SECRET_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
          PAWL_BOOTSTRAP_TOKEN: token,
          PAWL_DATA_DIR: dataDir,
          ...env,
          ...own,
        },
      })
      forked(child)
      const served: FakeOutside = {
        runtime: outside.runtime.another(),
        postgres: outside.postgres.another(),
        redis: outside.redis.another(),
      }
      serveDriver(served.runtime, child)
      serveProvisioner(served.postgres, child)
      serveProvisioner(served.redis, child)
      let text = ''
      const ended = once(child, 'exit').then(([code]) => code as number | null)
      const serves = new Promise<string>((resolve) => {
        for (const stream of [child.stdout, child.stderr])
          stream?.on('data', (chunk) => {
            text += chunk
            const address = /^(?:GraphQL|Health): (\S+)$/m.exec(text)?.[1]
            if (address) resolve(address)
          })
      })
      const graphql = await Promise.race([serves, ended.then(() => null)])
      if (graphql === null) {
        if (child.signalCode === null) throw new Error(`a replica did not start: ${text}`)
        return null
      }
      const replica: Replica = {
        child,
        graphql,
        outside: served,
        text: () => text,
        ended,
        async end(signal) {
          child.kill(signal)
          return await ended
        },
      }
      living.add(replica)
      void ended.then(() => living.delete(replica))
      return replica
    },
    async close(): Promise<void> {
      await Promise.all([...living].map((replica) => replica.end('SIGKILL')))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** One document for a replica; returns what its API answers with, `data` and `errors`. */
export async function ask(
  { graphql }: Replica,
  token: string,
  query: string,
  variables: object = {},
): Promise<{ data?: Record<string, unknown> | null; errors?: readonly { message: string }[] }> {
  const response = await fetch(graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  })
  return (await response.json()) as Awaited<ReturnType<typeof ask>>
}
