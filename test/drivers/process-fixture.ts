// A folder of small apps and a driver on an empty data folder, and a look at the machine past the driver: which
// processes there really are. At the end nothing that was started may be left.
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { RuntimeDriver, WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { createProcessDriver, type ProcessDriverOptions } from '../../src/drivers/runtime/process.ts'
import { processesOf, startMark } from '../../src/drivers/runtime/process-table.ts'
import { until } from '../until.ts'
import { calm, eventually, settle } from './runtime.conformance.ts'
import type { InstanceHarness } from './runtime-instance.conformance.ts'

const SERVER = `import { createServer } from 'node:http'
let status = process.argv[2] ?? '200'
createServer((request, response) => {
  if (request.url.startsWith('/health/')) return response.end((status = request.url.slice(8)))
  if (request.url === '/healthz' && status === 'hangs') return
  if (request.url === '/env') return response.end(JSON.stringify(process.env))
  if (request.url === '/pid') return response.end(String(process.pid))
  response.writeHead(request.url === '/healthz' ? Number(status) : 200).end('hi')
}).listen(Number(process.env.PORT), process.env.HOST, () => console.log('listening on ' + process.env.PORT))
`
const APPS: Record<string, { command: string[]; files?: Record<string, string>; healthDeadlineMs?: number }> = {
  healthy: { command: ['node', 'server.mjs'] },
  other: { command: ['node', 'server.mjs', '204'] },
  unhealthy: { command: ['node', 'server.mjs', '500'], healthDeadlineMs: 2000 },
  silent: { command: ['node', '-e', 'setInterval(() => {}, 1000)'], healthDeadlineMs: 600 },
  crashing: { command: ['node', 'crash.mjs'], files: { 'crash.mjs': "throw new Error('no ' + process.env.WORD)\n" } },
  missing: { command: ['no-such-program-here'] },
  stubborn: {
    command: ['node', 'stubborn.mjs'],
    files: {
      'stubborn.mjs': `import { spawn } from 'node:child_process'
process.on('SIGTERM', () => console.log('not yet'))
spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)'], { stdio: 'inherit' })
spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' })
await import('./server.mjs')
`,
    },
  },
  // Listens only once the file that GO names is there.
  late: {
    command: ['node', 'late.mjs'],
    files: {
      'late.mjs': `import { existsSync } from 'node:fs'
while (!existsSync(process.env.GO)) await new Promise((resolve) => setTimeout(resolve, 10))
await import('./server.mjs')
`,
    },
  },
  // Exits at once and leaves a child behind that holds its output open.
  leaving: {
    command: ['node', 'leaving.mjs'],
    files: {
      'leaving.mjs': `import { spawn } from 'node:child_process'
spawn(process.execPath, ['-e', 'console.log("child"); setInterval(() => {}, 1000)'], { stdio: 'inherit' }).unref()
process.exitCode = 3
`,
    },
  },
  // Keeps its first health check waiting until /release, fails all others, and does not end on SIGTERM.
  wavering: {
    command: ['node', 'wavering.mjs'],
    healthDeadlineMs: 2000,
    files: {
      'wavering.mjs': `import { createServer } from 'node:http'
let held
process.on('SIGTERM', () => {})
createServer((request, response) => {
  if (request.url === '/held') return response.end(String(held !== undefined))
  if (request.url === '/release') return response.end(held.end('now it is fine') && 'released')
  if (held === undefined) held = response
  else response.writeHead(500).end()
}).listen(Number(process.env.PORT), process.env.HOST)
`,
    },
  },
  noisy: {
    command: ['node', 'noisy.mjs'],
    files: {
      'noisy.mjs': `await import('./server.mjs')
const line = 'x'.repeat(99) + '\\n'
setInterval(() => process.stdout.write(line.repeat(200)), 1)
`,
    },
  },
}

export interface Fixture {
  readonly appsDir: string
  readonly dataDir: string
  readonly driver: RuntimeDriver
  another(options?: Partial<ProcessDriverOptions>): RuntimeDriver
  folderOf(ref: WorkloadRef): string
  instanceOf(ref: WorkloadRef): Promise<string | null>
  /** Pids of the run: the supervisor, the app and whatever it started. */
  processes(ref: WorkloadRef): Promise<number[]>
  supervisor(ref: WorkloadRef): Promise<number>
  /** How many apps of the workload there are, of all runs that ever were. */
  countRuns(ref: WorkloadRef): Promise<number>
  /** The ports that are held for the workload. */
  heldPorts(ref: WorkloadRef): Promise<string[]>
  /** Removes every workload, then fails if any process that the tests started is left. */
  dispose(): Promise<void>
}

/** What the contract's suites ask of the process driver. */
export async function createHarness(options: Partial<ProcessDriverOptions> = {}): Promise<InstanceHarness> {
  const fixture = await createFixture(options)
  const statuses = { passes: '200', fails: '500', hangs: 'hangs' } as const
  return {
    images: { healthy: 'healthy', unhealthy: 'unhealthy', crashing: 'crashing', unknown: 'nothing-like-it' },
    driver: () => fixture.another(),
    countRuns: fixture.countRuns,
    countAddresses: async (ref) => (await fixture.heldPorts(ref)).length,
    dispose: fixture.dispose,
    async setHealth(ref, health) {
      const seen = await fixture.driver.observe(ref, calm)
      if (seen.kind !== 'done' || seen.value.state !== 'running') throw new Error('nothing of it runs')
      await fetch(`${seen.value.url}/health/${statuses[health]}`)
    },
    async crash(ref) {
      const supervisor = await fixture.supervisor(ref)
      for (const pid of await fixture.processes(ref)) if (pid !== supervisor) process.kill(pid, 'SIGKILL')
      await eventually(() => fixture.processes(ref)).toEqual([])
      // Its supervisor is on its way out for a moment, with nothing in its environment that would tell whose it was.
      await eventually(() => fixture.driver.observe(ref, calm)).toMatchObject({ value: { state: 'exited' } })
    },
  }
}

const PORTS = { from: 21_000, to: 24_999 }

export async function createFixture(options: Partial<ProcessDriverOptions> = {}): Promise<Fixture> {
  const base = await mkdtemp(join(tmpdir(), 'pawl-process-'))
  const appsDir = join(base, 'apps')
  const dataDir = join(base, 'data')
  for (const [name, { command, files = {}, healthDeadlineMs = 10_000 }] of Object.entries(APPS)) {
    await addApp(appsDir, name, JSON.stringify({ command, healthDeadlineMs }), { 'server.mjs': SERVER, ...files })
  }
  const another = (more: Partial<ProcessDriverOptions> = {}) =>
    createProcessDriver({ installation: 'tests', appsDir, dataDir, portRange: PORTS, ...options, ...more })
  const driver = another()
  const folderOf = (ref: WorkloadRef) => join(dataDir, 'runtime', `${ref.subjectId}-${ref.incarnation}`)
  const stateOf = async (ref: WorkloadRef) =>
    JSON.parse(await readFile(join(folderOf(ref), 'state.json'), 'utf8').catch(() => '{}'))
  const instanceOf = async (ref: WorkloadRef): Promise<string | null> => (await stateOf(ref)).run?.instanceId ?? null
  const everyInstance = async (ref: WorkloadRef): Promise<string[]> => {
    const state = await stateOf(ref)
    return [...(state.ended ?? []), ...(state.run ? [state.run.instanceId] : [])]
  }
  const processes = async (ref: WorkloadRef) => (await everyInstance(ref)).flatMap((instance) => processesOf(instance))
  const supervisor = async (ref: WorkloadRef): Promise<number> => {
    const claim = await readFile(join(folderOf(ref), `claim-${await instanceOf(ref)}.json`), 'utf8')
    return JSON.parse(claim).pid
  }
  return {
    appsDir,
    dataDir,
    driver,
    another,
    folderOf,
    instanceOf,
    processes,
    supervisor,
    async countRuns(ref) {
      const apps = (await everyInstance(ref)).map((instance) =>
        processesOf(instance).filter((pid) => !isSupervisor(pid)),
      )
      return apps.filter((pids) => pids.length > 0).length
    },
    async heldPorts({ subjectId, incarnation }) {
      const dir = join(dataDir, 'runtime', '.ports')
      const ports = await readdir(dir).catch(() => [])
      const holders = await Promise.all(ports.map((port) => readFile(join(dir, port), 'utf8').catch(() => '')))
      return ports.filter((_, index) => holders[index] === `${subjectId}-${incarnation}`)
    },
    async dispose() {
      const folders = await readdir(join(dataDir, 'runtime')).catch(() => [])
      for (const folder of folders.filter((name) => !name.startsWith('.'))) {
        const state = JSON.parse(await readFile(join(dataDir, 'runtime', folder, 'state.json'), 'utf8'))
        if (state.run === null) continue
        const fence = { operationId: 'op-end', attempt: 1, subjectId: state.subjectId, generation: 1_000_000 }
        expect(await settle(() => driver.remove(state, fence, calm))).toEqual({ kind: 'done', value: null })
      }
      await until(async () => expect(await strays(base)).toEqual([]))
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** Living processes that work in the folder or below: what would have been leaked. Linux only. */
async function strays(dir: string): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry))
  const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')))
  return pids.filter((pid, index) => places[index]?.startsWith(dir) && isAlive(Number(pid)))
}

export async function addApp(appsDir: string, name: string, manifest: string, files: Record<string, string> = {}) {
  await mkdir(join(appsDir, name), { recursive: true })
  await writeFile(join(appsDir, name, 'app.json'), manifest)
  for (const [file, text] of Object.entries(files)) await writeFile(join(appsDir, name, file), text)
}

export async function addLink(target: string, path: string): Promise<void> {
  await symlink(target, path)
}

/** A supervisor whose run was voided may still be loading, to find that it is not wanted: it is no run. */
const isSupervisor = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('process-supervisor.ts')
  } catch {
    return false
  }
}

export const isAlive = (pid: number): boolean => startMark(pid) !== null
