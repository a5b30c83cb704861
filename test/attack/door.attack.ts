// All attacks on the front door, over and over and many at once, against the real server in a process with little memory. An
// honest caller is answered throughout, slow clients are told so, and at the end the process is as large as at the beginning.
// PAWL_ROUNDS says how often; the figures are printed.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { mintToken } from '../../src/token.ts'
import { createTestDatabase, type TestDatabase } from '../database.ts'
import { type Attack, attacks } from '../door/attack.ts'
import { open, post, type Target } from '../door/client.ts'
import { createTeam } from '../fixture.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const rounds = Number(process.env.PAWL_ROUNDS ?? 5)
const atOnce = 6
const slowClients = 200
/** What the process may use for its objects: what leaks would end it. */
const heapMb = 160
const grownMb = 60

let database: TestDatabase
let folder: string
let child: ChildProcess
let target: Target
/** They have budgets of their own, or they would soon be told to wait. */
let attackers: Target[]
let output = ''

beforeAll(async () => {
  database = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'pawl-attack-'))
  const token = mintToken().plaintext
  child = spawn(process.execPath, [`--max-old-space-size=${heapMb}`, 'src/main.ts'], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      PAWL_SECRET_KEYS: `k1:${randomBytes(32).toString('base64')}`,
      PAWL_BOOTSTRAP_TOKEN: token,
      PAWL_DATA_DIR: folder,
      PAWL_PORT: '0',
      PAWL_ROLE: 'api',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += String(text)))
  const url = () => /^GraphQL: (http:\S+)\/graphql$/m.exec(output)?.[1]
  await vi.waitFor(() => expect(url(), output).toBeDefined(), { timeout: 60_000 })
  target = { url: url() as string, token }
  const teams = await Promise.all(Array.from({ length: rounds + 4 }, () => createTeam(database.url)))
  attackers = teams.map((team) => ({ url: target.url, token: team.token }))
})
afterAll(async () => {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  if (child.exitCode === null && child.kill('SIGTERM')) await ended
  await rm(folder, { recursive: true, force: true })
  await database.drop()
})

/** Resident memory in MB, now and at most, where the system tells it. */
async function memory(): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
  const mb = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024)
  return { now: mb('VmRSS'), peak: mb('VmHWM') }
}

/** Documents that can be parsed, each another one and as large as one may be: whatever keeps them all grows. */
const distinct: Attack = {
  name: 'distinct documents',
  answer: { status: 400, code: 'GRAPHQL_VALIDATION_FAILED' },
  send: (at) => {
    const variables = Array.from({ length: 480 }, (_, i) => `$v${i}:Int`).join()
    return post(at, `query Q${randomBytes(8).toString('hex')}(${variables}){viewer{scopes}}`, undefined, {
      headers: { accept: 'application/graphql-response+json' },
    })
  },
}

/** All attacks of a round, a few at a time; each must be answered as if it were the only one. */
async function round(attacker: Target): Promise<number> {
  const left = [...attacks, ...Array<Attack>(100).fill(distinct)].sort(() => Math.random() - 0.5)
  const count = left.length
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let attack = left.pop(); attack; attack = left.pop()) {
        const { status, errors, text } = await attack.send(attacker)
        const seen = [attack.name, status, errors[0]?.extensions.code]
        expect(seen, text.slice(0, 300)).toEqual([attack.name, attack.answer.status, attack.answer.code])
      }
    }),
  )
  return count
}

/** Requests that begin and never end, a few at a time: all at once they would wait for each other at the database. */
async function openSlow(): Promise<Promise<string>[]> {
  const head = `POST /graphql HTTP/1.1\r\nhost: pawl\r\nauthorization: Bearer ${attackers.at(-1)?.token}\r\n`
  const slow: Promise<string>[] = []
  while (slow.length < slowClients) {
    const few = await Promise.all(Array.from({ length: 10 }, () => open(target)))
    for (const { socket, heard } of few) {
      socket.write(`${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{`)
      slow.push(heard)
    }
    // Served after them, so they have come in.
    await post(target, '{ __typename }')
  }
  return slow
}

test('leave the server as it was, and an honest caller with an answer each time', async () => {
  let attacking = true
  const waitedMs: number[] = []
  const honest = (async () => {
    while (attacking) {
      const startedAt = performance.now()
      const { status, data } = await post(target, '{ viewer { scopes } }')
      expect([status, data?.viewer.scopes.includes('read')]).toEqual([200, true])
      waitedMs.push(performance.now() - startedAt)
    }
  })()
  let [before, after, count] = [await memory(), await memory(), 0]
  try {
    for (const attacker of attackers.splice(0, 2)) await round(attacker)
    before = await memory()
    const slow = await openSlow()
    for (const attacker of attackers.splice(0, rounds)) count += await round(attacker)
    const heard = await Promise.all(slow)
    expect(new Set(heard.map((text) => text.slice(0, 12)))).toEqual(new Set(['HTTP/1.1 408']))
    after = await memory()
  } finally {
    attacking = false
    await honest
  }

  waitedMs.sort((a, b) => a - b)
  const at = (share: number) => Math.round(waitedMs[Math.floor(waitedMs.length * share)] ?? 0)
  process.stdout.write(
    `${count} attacks in ${rounds} rounds, ${slowClients} slow clients: ${before.now} MB before, ${after.now} MB after, ` +
      `${after.peak} MB at most; ${waitedMs.length} honest calls, ${at(0.5)} ms in the middle, ${at(0.99)} ms for the slowest hundredth\n`,
  )
  expect(after.now - before.now).toBeLessThan(grownMb)
  const { data } = await post(target, '{ deployments { totalCount } }')
  expect(data).toEqual({ deployments: { totalCount: 0 } })
  const logged = output.split('\n').filter((line) => line.startsWith('{'))
  expect(logged.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error')).toEqual([])
  expect(child.exitCode).toBeNull()
})
