// A Redis for the tests of the provisioner: the one of PAWL_TEST_REDIS_URL, else a redis-server from PATH on a port and in
// a directory of its own. And a client as a user of a resource would have it.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import type { ResourceRef } from '../../src/drivers/provision/driver.ts'
import { createRedisProvisioner, type RedisProvisionerOptions } from '../../src/drivers/provision/redis.ts'
import type { ProvisionClient } from './provision.conformance.ts'

/** Null when there is no Redis to test with. */
export const redisSource: 'PAWL_TEST_REDIS_URL' | 'redis-server' | null = process.env.PAWL_TEST_REDIS_URL
  ? 'PAWL_TEST_REDIS_URL'
  : hasServer()
    ? 'redis-server'
    : null

function hasServer(): boolean {
  try {
    return /v=([7-9]|\d\d)\./.test(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))
  } catch {
    return false
  }
}

export type Admin = (...command: [string, ...string[]]) => Promise<unknown>

export interface RedisFixture {
  readonly url: string
  readonly admin: Admin
  provisioner(options?: Partial<Omit<RedisProvisionerOptions, 'url'>>): ReturnType<typeof createRedisProvisioner>
  exists(ref: ResourceRef): Promise<boolean>
  plantForeign(ref: ResourceRef): Promise<void>
  dispose(): Promise<void>
}

export interface RedisServer {
  readonly url: string
  log(): string
  /** Stops and starts it; keys stay, users only with an aclfile. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Starts a server with a password that keeps its keys, and its users if asked to. */
export async function startRedis({ aclFile = false, settings = '' } = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'pawl-redis-'))
  const password = randomBytes(16).toString('hex')
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  const users = join(folder, 'users.acl')
  if (aclFile) await writeFile(users, `user default on >${password} ~* &* +@all\n`)
  const access = aclFile ? `aclfile ${users}` : `requirepass ${password}`
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    'save 900 1',

    access,
    settings,
  ]
  await writeFile(join(folder, 'redis.conf'), lines.join('\n'))
  const url = `redis://:${password}@127.0.0.1:${port}`
  let said = ''
  const start = async () => {
    const server = spawn('redis-server', [join(folder, 'redis.conf')], { stdio: ['ignore', 'pipe', 'ignore'] })
    const ready = Promise.withResolvers<void>()
    server.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8')
      if (chunk.includes('Ready to accept connections')) ready.resolve()
    })
    // A test that fails must leave no server behind, nor a run that is broken off.
    const kill = () => void server.kill('SIGKILL')
    process.once('exit', kill)
    server.once('exit', () => process.off('exit', kill))
    server.once('exit', () => ready.reject(new Error(`redis-server did not start: ${said.slice(-500)}`)))
    await ready.promise
    return server
  }
  let child = await start()
  const end = async () => {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }
  return {
    url,
    log: () => said,
    async restart() {
      await end()
      child = await start()
    },
    async stop() {
      await end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const template = createClient({ RESP: 2, disableClientInfo: true, maintNotifications: 'disabled' })

export async function connectTo(url: string) {
  const { hostname: host, port, username: given, password } = new URL(url)
  const username = given || 'default'
  const socket = { host, port: Number(port), reconnectStrategy: false as const, connectTimeout: 3000 }
  const client = template.duplicate({ socket, username, password })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** What the tests ask of a server past the provisioner. */
export async function createRedisFixture(url: string): Promise<RedisFixture> {
  const client = await connectTo(url)
  const admin: Admin = (...command) => client.sendCommand(command)
  const users = new Set<string>()
  const note = ([name, , user]: readonly string[]) => void (name === 'ACL' && user !== undefined && users.add(user))
  const keysOf = async ({ incarnation }: ResourceRef) => (await admin('KEYS', `pawl:${incarnation}:*`)) as string[]
  return {
    url,
    admin,
    provisioner: ({ beforeCommand, ...options } = {}) =>
      createRedisProvisioner({
        installation: 'tests',
        url,
        ...options,
        beforeCommand(command) {
          note(command)
          return beforeCommand?.(command)
        },
      }),
    exists: async (ref) =>
      (await admin('ACL', 'GETUSER', `pawl_${ref.incarnation}`)) !== null || (await keysOf(ref)).length > 0,
    async plantForeign({ incarnation }) {
      note(['ACL', 'SETUSER', `pawl_${incarnation}`])
      await admin('ACL', 'SETUSER', `pawl_${incarnation}`, 'on', '>whatever', '+ping')
    },
    // A server that was given to the tests is left as it was.
    async dispose() {
      for (const incarnation of [...users].map((user) => user.slice('pawl_'.length))) {
        await admin('ACL', 'DELUSER', `pawl_${incarnation}`)
        const keys = await keysOf({ subjectId: '', incarnation })
        await admin('UNLINK', `pawl-provision:ledger:${incarnation}`, ...keys)
        await admin('ZREM', 'pawl-provision:owned', incarnation)
      }
      client.destroy()
    },
  }
}

/** One session of a user of a resource; `send` sends any command. */
export async function clientOf(url: string) {
  const client = await connectTo(url)
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  for (const event of ['error', 'end'] as const) client.on(event, () => resolve())
  const prefix = `pawl:${new URL(url).username.slice('pawl_'.length)}:`
  const send = (...command: [string, ...string[]]): Promise<unknown> => client.sendCommand(command)
  return {
    client,
    prefix,
    send,
    ended,
    write: async (text: string) => void (await send('SET', `${prefix}note`, text)),
    read: async () => (await send('GET', `${prefix}note`)) as string | null,
    end: async () => client.destroy(),
  } satisfies ProvisionClient & Record<string, unknown>
}
