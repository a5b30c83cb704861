// A server that is measured, in a process of its own: Pawl as `npm start` runs it, or a peer. It says where it listens by a
// line `GraphQL: <url>`, as Pawl does.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface Server {
  readonly url: string
  readonly pid: number
  /** SIGTERM, and until it has ended. */
  end(): Promise<void>
}

/** Starts a program of the tree, e.g. `src/main.ts`, with that environment and PATH; returns when it serves. */
export async function startServer(program: string, env: Readonly<Record<string, string>>): Promise<Server> {
  const flags = process.env.PAWL_BENCH_NODE_FLAGS?.split(' ').filter(Boolean) ?? []
  const child = spawn(process.execPath, [...flags, program], {
    cwd: root,
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
      const found = /^GraphQL: (\S+)$/m.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    void ended.then(() => reject(new Error(`${program} did not start: ${text}`)))
  })
  return {
    url,
    pid: child.pid ?? 0,
    async end() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** The API of Pawl on a database, as one process of many: no worker takes what is accepted. */
export const startPawl = (databaseUrl: string, dataDir: string): Promise<Server> =>
  startServer('src/main.ts', {
    DATABASE_URL: databaseUrl,
    PAWL_PORT: '0',
    PAWL_ROLE: 'api',
    PAWL_SECRET_KEYS: `bench:${Buffer.alloc(32, 7).toString('base64')}`,
    PAWL_DATA_DIR: dataDir,
    PAWL_LOG_LEVEL: 'error',
  })

/** bench/peers/<name>.ts on a database. */
export const startPeer = (name: string, databaseUrl: string): Promise<Server> =>
  startServer(`bench/peers/${name}.ts`, { DATABASE_URL: databaseUrl })
