// The real server as a child process, several of them on one database and one data folder, and a look at the machine past
// them: which apps there really are. Whatever a test does, at the end no process that it started is left.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { expect, vi } from 'vitest'
import { startMark } from '../../src/drivers/runtime/process-table.ts'
import { mintToken } from '../../src/token.ts'
import { createTestDatabase } from '../database.ts'
import { until as patiently } from '../until.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Programs are started and killed in between. */
export const until = <T>(condition: () => T | Promise<T>): Promise<T> => patiently(condition, 180_000)

export interface Server {
  readonly child: ChildProcess
  readonly graphql: string
  /** Everything that it has written. */
  text(): string
  /** Ends it with the signal and returns its exit code, null when the signal ended it. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>
}
export interface DeploymentSeen {
  readonly id: string
  readonly state: string
  readonly instanceId: string | null
  readonly url: string | null
}

const isStack = (id: string) => id.startsWith('stk_')

export type Machine = Awaited<ReturnType<typeof openMachine>>

/** A database, a data folder, an apps folder: `hello`, and `slow`, which becomes healthy three seconds after its start. */
export async function openMachine() {
  const database = await createTestDatabase()
  const sql = postgres(database.url, { max: 4, onnotice: () => {} })
  const base = await mkdtemp(join(tmpdir(), 'pawl-crash-'))
  const appsDir = join(base, 'apps')
  await cp(join(root, 'examples/hello'), join(appsDir, 'hello'), { recursive: true })
  await cp(join(root, 'examples/hello'), join(appsDir, 'slow'), { recursive: true })
  await mkdir(join(base, 'data'))
  const manifest = JSON.parse(await readFile(join(appsDir, 'slow/app.json'), 'utf8'))
  await writeFile(
    join(appsDir, 'slow/app.json'),
    JSON.stringify({ ...manifest, command: ['node', 'slow.mjs'], healthDeadlineMs: 60_000 }),
  )
  await writeFile(join(appsDir, 'slow/slow.mjs'), "setTimeout(() => import('./server.mjs'), 3000)\n")
  const token = mintToken().plaintext
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: database.url,
    PAWL_PORT: '0',
    PAWL_SECRET_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
    PAWL_BOOTSTRAP_TOKEN: token,
    PAWL_DATA_DIR: join(base, 'data'),
    PAWL_APPS_DIR: appsDir,
  }
  const servers = new Set<Server>()
  let most = 0

  /** Looks at the machine: the apps of every deployment, and of every service of a stack by its name, by pid. Remembers the most that one had. */
  async function apps(): Promise<Map<string, number[]>> {
    const found = new Map<string, number[]>()
    for (const pid of await pidsIn(join(base, 'apps'))) {
      const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      const subject = /PAWL_SUBJECT_ID=([^\0]+)/.exec(environ)?.[1]
      if (subject === undefined || startMark(pid) === null) continue
      const workload = (isStack(subject) && /PAWL_NAME=([^\0]+)/.exec(environ)?.[1]) || subject
      found.set(workload, [...(found.get(workload) ?? []), pid])
    }
    most = Math.max(most, ...[...found.values()].map((pids) => pids.length))
    return found
  }

  return {
    sql,
    /** Of every server, and of whatever else an operator runs beside it. */
    env,
    /** Plaintext of the owner's. */
    token,
    apps,
    /** The most apps that one deployment was ever seen to have at a time. */
    mostApps: () => most,
    /** How often its app came up, as the app itself has written down. A run that died before it began left no word. */
    async cameUp(id: string, service = ''): Promise<number> {
      const runtime = join(base, 'data/runtime')
      const isIts = (name: string) => name.startsWith(id) && name.endsWith(service)
      const folder = join(runtime, (await readdir(runtime)).find(isIts) ?? id)
      const logs = (await readdir(folder)).filter((name) => name.includes('.log'))
      const texts = await Promise.all(logs.map((name) => readFile(join(folder, name), 'utf8')))
      return texts.join('').match(/ listens on \d+$/gm)?.length ?? 0
    },
    async start(): Promise<Server> {
      const child = spawn(process.execPath, ['src/main.ts'], {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let text = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
      const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
      const graphql = await until(() => {
        if (child.exitCode !== null) return { failed: text }
        return /^GraphQL: (\S+)$/m.exec(text)?.[1] ?? expect.fail('not ready yet')
      })
      if (typeof graphql !== 'string') throw new Error(`the server did not start: ${graphql.failed}`)
      const server: Server = {
        child,
        graphql,
        text: () => text,
        async end(signal) {
          child.kill(signal)
          servers.delete(server)
          return await ended
        },
      }
      servers.add(server)
      return server
    },
    /** One mutation; returns the id of the deployment or the stack. */
    async call(
      server: Server,
      mutation: 'deploy' | 'deleteDeployment' | 'createStack' | 'deleteStack',
      input: Record<string, unknown>,
    ): Promise<string> {
      const subject = mutation.endsWith('Stack') ? 'stack' : 'deployment'
      const payload = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}Payload`
      const type = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}Input!`
      const response = await fetch(server.graphql, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({
          query: `mutation ($input: ${type}) { ${mutation}(input: $input) { ... on ${payload} { ${subject} { id } } ... on Refusal { code } } }`,
          variables: { input },
        }),
      })
      const answer = await response.json()
      const id = answer.data?.[mutation]?.[subject]?.id
      if (typeof id !== 'string') throw new Error(`${mutation} was answered with ${JSON.stringify(answer)}`)
      return id
    },
    /** Any document; returns its data, or fails with what was answered instead. */
    async ask(server: Server, query: string, variables: object = {}) {
      const response = await fetch(server.graphql, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify({ query, variables }),
      })
      const { data, errors } = await response.json()
      if (errors) throw new Error(`${query} was answered with ${JSON.stringify(errors)}`)
      return data
    },
    nameOf: (image: string) => `${image}-${randomBytes(4).toString('hex')}`,
    async deployment(id: string): Promise<DeploymentSeen> {
      const [row] = await sql<DeploymentSeen[]>`
        select id, state, instance_id as "instanceId", url from deployment where id = ${id}`
      if (!row) throw new Error(`${id} is gone`)
      return row
    },
    /** Waits for the state, looking at the machine all the while. */
    async reaches(id: string, state: string): Promise<void> {
      await until(async () => {
        await apps()
        const table = sql(isStack(id) ? 'stack' : 'deployment')
        const [row] = await sql`select state, state_reason as reason from ${table} where id = ${id}`
        expect(row).toMatchObject({ state })
      })
    },
    async dispose() {
      await Promise.all([...servers].map((server) => server.end('SIGKILL')))
      await sql.end({ timeout: 1 })
      await database.drop()
      // Supervisors end what they started when they are asked to; what is left after that is ended by its id.
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        for (const pid of await pidsIn(base)) if (startMark(pid) !== null) endProcess(pid, signal)
        await vi
          .waitFor(async () => expect(await livingIn(base)).toEqual([]), { timeout: 5_000 })
          .catch((error: unknown) => {
            if (signal === 'SIGKILL') throw error
          })
      }
      await rm(base, { recursive: true, force: true })
    },
  }
}

function endProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended by itself.
  }
}

const livingIn = async (dir: string) => (await pidsIn(dir)).filter((pid) => startMark(pid) !== null)

/** Processes that work in the folder or below. Linux only. */
async function pidsIn(dir: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry))
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')))
  return pids.filter((_, index) => places[index]?.startsWith(dir)).map(Number)
}
