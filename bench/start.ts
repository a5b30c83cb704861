// How long `npm start` takes until Pawl is ready, and how much memory its process has when it has come to rest. Everything as
// an operator has it: npm, its shell, the embedded PostgreSQL. That one's memory does not count, it is no part of our process.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Bench, figure } from './figure.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
/** What earlier starts have compiled; see the script `start` in package.json. */
const compiled = fileURLToPath(new URL('../node_modules/.cache/pawl', import.meta.url))

const rounds = 3
const newWithinMs = 3_000
const oldWithinMs = 2_000
const idleWithinMb = 150
/** At rest: so little of a core in a second, in ms. Polls of loops take some. */
const restMs = 30
const restWithinSeconds = 20

interface Start {
  readonly readyMs: number
  readonly idleMb: number
  /** Of that, what no other process shares: the program of Node itself is shared by all that run it. */
  readonly ownMb: number
}

/** Measures starts as they come: the first one after the installation, on new data, on the data of the one before. */
export async function start(): Promise<Bench> {
  const measured: Record<'first' | 'fresh' | 'old', Start[]> = { first: [], fresh: [], old: [] }
  for (let round = 0; round < rounds; round++) {
    for (const kind of ['first', 'fresh'] as const) {
      if (kind === 'first') await rm(compiled, { recursive: true, force: true })
      const folder = await mkdtemp(join(tmpdir(), 'pawl-start-'))
      measured[kind].push(await startOnce(folder))
      if (kind === 'fresh') measured.old.push(await startOnce(folder))
      await rm(folder, { recursive: true, force: true })
    }
    process.stdout.write(`start: round ${round + 1} of ${rounds}: ${told(measured)}\n`)
  }
  const { first, fresh, old } = measured
  return {
    about:
      `npm start until /readyz says so, and VmRSS of its process once it takes less than ${restMs} ms of a core in a second; medians of ` +
      `${rounds}. The first start has nothing compiled; later ones find it in node_modules/.cache.`,
    figures: [
      within('new data, first start ever', medianOf(first, 'readyMs'), newWithinMs, 'ms'),
      within('new data', medianOf(fresh, 'readyMs'), newWithinMs, 'ms'),
      within('old data', medianOf(old, 'readyMs'), oldWithinMs, 'ms'),
      within('idle memory', medianOf(old, 'idleMb'), idleWithinMb, 'MB'),
      figure('  of that shared with nobody', `${medianOf(old, 'ownMb')} MB`),
      figure('idle memory, first start ever', `${medianOf(first, 'idleMb')} MB`),
    ],
    rounds: measured,
  }
}

const within = (what: string, measured: number, most: number, unit: string) =>
  figure(what, `${measured} ${unit}`, `≤ ${most} ${unit}`, measured <= most)

const medianOf = (starts: readonly Start[], what: keyof Start): number =>
  Math.round(starts.map((each) => each[what]).sort((a, b) => a - b)[starts.length >> 1] ?? Number.NaN)

const told = (measured: Readonly<Record<string, readonly Start[]>>): string =>
  Object.entries(measured)
    .map(
      ([kind, starts]) =>
        `${kind} ${Math.round(starts.at(-1)?.readyMs ?? 0)} ms, ${Math.round(starts.at(-1)?.idleMb ?? 0)} MB`,
    )
    .join('; ')

/** One start on that data, to its orderly end. */
async function startOnce(dataDir: string): Promise<Start> {
  const since = performance.now()
  const npm = spawn('npm', ['start'], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      HOME: dataDir,
      npm_config_update_notifier: 'false',
      PAWL_DATA_DIR: dataDir,
      PAWL_PORT: '0',
      PAWL_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => npm.once('exit', () => resolve()))
  const address = await new Promise<string>((resolve, reject) => {
    let text = ''
    npm.stdout.on('data', (chunk) => {
      text += chunk
      const found = /^GraphQL: (\S+)\/graphql$/m.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    void ended.then(() => reject(new Error(`npm start ended: ${text}`)))
  })
  while (!(await fetch(`${address}/readyz`)).ok) await sleep(5)
  const readyMs = performance.now() - since
  const pid = await childOf(Number(npm.pid))
  await rest(pid)
  const { rss, own } = await memoryOf(pid)
  process.kill(pid, 'SIGTERM')
  await ended
  return { readyMs, idleMb: rss, ownMb: own }
}

/** npm's shell has become node. */
async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return Number(children.trim().split(' ')[0])
}

async function rest(pid: number): Promise<void> {
  let before = await usedMs(pid)
  for (let second = 0; second < restWithinSeconds; second++) {
    await sleep(1_000)
    const now = await usedMs(pid)
    if (now - before < restMs) return
    before = now
  }
  throw new Error(`the process has not come to rest within ${restWithinSeconds} s`)
}

/** What it has taken of the cores since it began; Linux counts in 10 ms. */
async function usedMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (user + system) * 10
}

/** In MB, as Linux counts them: what is in memory of it, and what of that is its own. */
async function memoryOf(pid: number): Promise<{ readonly rss: number; readonly own: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1_024
  return { rss: of('VmRSS'), own: of('RssAnon') }
}
