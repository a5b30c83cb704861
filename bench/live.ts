// The benchmark `live`: 1,000 subscribers in a process of their own follow 100 teams, while 200 changes a second are asked for
// over HTTP at a real server. How late each delivery is, whether any is missing, and how much the server has grown.
import { fork, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEmbeddedPostgres } from '../src/db/embedded.ts'
import { migrate } from '../src/db/migrate.ts'
import { createTeam, putDeployment } from '../test/fixture.ts'
import type { Followed } from './live-subscribers.ts'
import type { Bench } from './run.ts'

const teams = 100
const subscribers = 1_000
const changesPerSecond = 200
const seconds = 20
const root = fileURLToPath(new URL('..', import.meta.url))

export async function live(): Promise<Bench> {
  const base = await mkdtemp(join(tmpdir(), 'pawl-bench-'))
  const database = await startEmbeddedPostgres({ dataDir: join(base, 'data'), log: () => {} })
  const ends: (() => Promise<unknown> | unknown)[] = [() => rm(base, { recursive: true }), () => database.stop()]
  try {
    await migrate(database.url)
    const writers = []
    for (let at = 0; at < teams; at++) {
      const { teamId, token } = await createTeam(database.url)
      writers.push({ token, id: await putDeployment(database.url, teamId) })
    }
    const server = await startServer(database.url, base)
    ends.push(server.end)
    const write = writing(server.url, writers)
    ends.push(write.end)

    // What the writing alone takes is not the streams'.
    await write.run(5)
    const before = await rssMb(server.pid)
    const followers = await startFollowers(
      server.url,
      writers.map(({ token }) => token),
    )
    ends.push(() => followers.end())
    const opened = await rssMb(server.pid)
    const { made, perSecond } = await write.run(seconds)
    const loaded = await rssMb(server.pid)
    const told = await followers.finish(made)

    const growth = Math.max(opened, loaded) - before
    const due = (subscribers / teams) * made
    const at = (part: number) =>
      told.lateMs[Math.min(told.lateMs.length - 1, Math.floor(told.lateMs.length * part))] ?? 0
    const figure = (what: string, measured: string, target = '', reached: boolean | null = null) => ({
      what,
      measured,
      target,
      reached,
    })
    return {
      about:
        `${subscribers} subscribers, ${subscribers / teams} on each of ${teams} teams, so that each event goes to ` +
        `${subscribers / teams} of them; changes at ${changesPerSecond}/s for ${seconds} s over HTTP; one server process; ` +
        'lateness from the event’s `occurredAt` to its arrival at the client.',
      figures: [
        figure('changes per second', perSecond.toFixed(0), `${changesPerSecond}`, perSecond >= changesPerSecond * 0.97),
        figure('deliveries', `${told.lateMs.length}`, `${due}`, told.lateMs.length === due),
        figure('gaps and repeats', `${told.wrong}`, '0', told.wrong === 0),
        figure('delivered after, p50', `${at(0.5).toFixed(0)} ms`),
        figure('delivered after, p99', `${at(0.99).toFixed(0)} ms`, '≤ 500 ms', at(0.99) <= 500),
        figure('delivered after, worst', `${at(1).toFixed(0)} ms`),
        figure('growth of the server', `${growth.toFixed(0)} MB, from ${before.toFixed(0)}`, '≤ 100 MB', growth <= 100),
      ],
    }
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

async function startServer(databaseUrl: string, base: string) {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      PAWL_PORT: '0',
      PAWL_ROLE: 'api',
      PAWL_SECRET_KEYS: `bench:${Buffer.alloc(32, 7).toString('base64')}`,
      PAWL_DATA_DIR: base,
      PAWL_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
      const found = /^GraphQL: (\S+)$/m.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.once('exit', () => reject(new Error(`the server did not start: ${text}`)))
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    url,
    pid: child.pid ?? 0,
    async end() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** Changes at a steady pace, each team in its turn; a change that is refused ends the benchmark. */
function writing(url: string, writers: readonly { readonly token: string; readonly id: string }[]) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const query = 'mutation ($i: MergeDeploymentEnvInput!) { mergeDeploymentEnv(input: $i) { __typename } }'
  const change = ({ token, id }: { token: string; id: string }) =>
    new Promise<void>((resolve, reject) => {
      const sent = request(url, {
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
      })
      sent.once('error', reject)
      sent.once('response', (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
        response.once('end', () => (text.includes('MergeDeploymentEnvPayload') ? resolve() : reject(new Error(text))))
      })
      sent.end(JSON.stringify({ query, variables: { i: { id, set: [{ key: 'AT', value: `${Date.now()}` }] } } }))
    })
  let next = 0
  return {
    /** Each team gets as many. */
    async run(forSeconds: number): Promise<{ readonly made: number; readonly perSecond: number }> {
      const begun = performance.now()
      const count = changesPerSecond * forSeconds
      const answers: Promise<void>[] = []
      for (let at = 0; at < count; at++) {
        const waitMs = begun + (at * 1_000) / changesPerSecond - performance.now()
        if (waitMs > 1) await sleep(waitMs)
        const writer = writers[next++ % writers.length]
        if (!writer) continue
        const answer = change(writer)
        // It fails where it is awaited.
        answer.catch(() => {})
        answers.push(answer)
      }
      await Promise.all(answers)
      return { made: count, perSecond: (count * 1_000) / (performance.now() - begun) }
    },
    end: () => agent.destroy(),
  }
}

async function startFollowers(url: string, tokens: readonly string[]) {
  const child = fork(fileURLToPath(new URL('live-subscribers.ts', import.meta.url)), [])
  const ready = new Promise((resolve) => child.once('message', resolve))
  child.send({ url, tokens, subscribers })
  await ready
  return {
    finish(changes: number): Promise<Followed> {
      const followed = new Promise<Followed>((resolve) =>
        child.once('message', (message) => resolve(message as Followed)),
      )
      child.send({ expected: (changes / tokens.length) * subscribers })
      return followed
    },
    end: () => child.kill(),
  }
}

async function rssMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1_024
}
