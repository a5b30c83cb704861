// Types what README.md says, all of it and in order, in a fresh clone of this repository's last commit, and compares what
// comes back with what README promises. `npm run test:readme`; with PAWL_TEST_UPDATE=1 the promises are written anew.
// A server of the page's own gets a free port and, where README names an outside PostgreSQL, a cluster of this test.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { anchorsOf, linksOf, missingLine, type Step, stepsOf } from './page.ts'
import { Terminal } from './terminal.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'README.md'), 'utf8')
const steps = stepsOf(page)
/** The step that deletes every deployment, followed by the one that sees that none is left. */
const cleanUp = steps.findIndex(({ command }) => command.startsWith('for ID in'))
const update = process.env.PAWL_TEST_UPDATE === '1'
const stepTimeoutMs = 1_200_000
const settleTimeoutMs = 30_000
/** Until the world has come to rest: what looks after instances comes by once a minute. */
const restTimeoutMs = 180_000

const folder = mkdtempSync(join(tmpdir(), 'pawl-readme-'))
const clone = join(folder, 'pawl')
const ports = new Map<string, number>()
const written = new Map<number, string>()
let terminal: Terminal
let outside: EmbeddedPostgres
let token = ''

/** What README shows by its default, as it is here: ports, the reader's token, the outside database. */
function here(command: string): string {
  let text = command.replace('TOKEN=pawl_…', `TOKEN=${token}`)
  text = text.replace('postgres://pawl:secret@db.example.org:5432/pawl', outside.url)
  for (const [shown, port] of ports)
    text = text.replaceAll(`:${shown}/`, `:${port}/`).replaceAll(`PORT=${shown}`, `PORT=${port}`)
  return text
}

const freePort = (): Promise<number> =>
  new Promise((done, fail) => {
    const server = createServer()
    server.once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })

beforeAll(async () => {
  execFileSync('git', ['clone', '--quiet', root, clone])
  for (const shown of ['4000', '4001', '4002', '4003']) ports.set(shown, await freePort())
  outside = await startEmbeddedPostgres({ dataDir: join(folder, 'outside'), durable: false })
  const { PATH, HOME, LANG, TMPDIR } = process.env
  const path = (PATH ?? '')
    .split(':')
    .filter((part) => !part.startsWith(root))
    .join(':')
  // No variable of this run leaks into what a reader has; npm's own settings come from where npm keeps them.
  const npm = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^npm_config_(cache|registry|userconfig|globalconfig)$/.test(name)),
  )
  terminal = new Terminal(clone, {
    ...npm,
    PATH: path,
    HOME,
    LANG,
    TMPDIR,
    CI: 'true',
    NO_COLOR: '1',
    PAWL_PORT: String(ports.get('4000')),
  })
})

afterAll(async () => {
  await terminal?.close(settleTimeoutMs)
  await outside?.stop()
  const left = processesIn(clone)
  for (const { pid } of left) process.kill(pid, 'SIGKILL')
  if (update) writeFileSync(join(root, 'README.md'), withWritten())
  await vi.waitFor(() => rmSync(folder, { recursive: true, force: true }), { timeout: settleTimeoutMs })
  expect(
    left.map(({ what }) => what),
    'processes that README left running',
  ).toEqual([])
})

describe('README', () => {
  test('has commands', () => expect(steps.length).toBeGreaterThan(10))

  test.each(steps.map((step) => ({ ...step, first: step.command.split('\n')[0] })))(
    'line $line: $first',
    async (step) => {
      const command = here(step.command)
      if (step.server) {
        const output = await terminal.start(command, /^(GraphQL|Health): .*$/m, stepTimeoutMs)
        token = /^Token: (pawl_\w+)$/m.exec(output)?.[1] ?? token
        await vi.waitFor(() => expect(terminal.served).toContain('Then see it become HEALTHY'), {
          timeout: settleTimeoutMs,
        })
        check(step, terminal.served)
        return
      }
      // A query may be asked again until the world has come to rest, as a reader would; a mutation is typed once.
      const isQuery = /^ask '(\{|query)|^curl -s [^-]*$/.test(step.command)
      const until = performance.now() + (isQuery && step.promised?.text !== '?' ? restTimeoutMs : 0)
      for (;;) {
        const { output, code } = await terminal.run(command, stepTimeoutMs)
        const isThere = !step.promised || missingLine(step.promised.text, output) === null
        if (!isThere && performance.now() < until) continue
        expect(code, output.slice(-6000)).toBe(0)
        return check(step, output)
      }
    },
  )

  test('what the start printed to be pasted works as it stands', async () => {
    const pasted = [...terminal.served.matchAll(/^ {2}curl -s .*\\\n.*\\\n.*'$/gm)].map(([text]) => text)
    expect(pasted.length).toBeGreaterThanOrEqual(2)
    for (const command of pasted.slice(0, 2)) {
      const { output } = await terminal.run(command, settleTimeoutMs)
      expect(JSON.parse(output)).toHaveProperty('data')
      expect(output).not.toContain('"errors"')
    }
    for (const { command } of steps.slice(cleanUp, cleanUp + 1)) await terminal.run(here(command), settleTimeoutMs)
    await vi.waitFor(
      async () =>
        expect(await terminal.run(here(steps[cleanUp + 1]?.command ?? ''), settleTimeoutMs)).toMatchObject({
          output: expect.stringContaining('totalCount: 0'),
        }),
      { timeout: settleTimeoutMs },
    )
  })
})

describe('links', () => {
  const pages = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' }).trim().split('\n')
  test.each(pages)('%s', (path) => {
    const text = readFileSync(join(root, path), 'utf8')
    const broken = linksOf(text).filter(({ target }) => {
      if (/^https?:/.test(target)) return false
      const [file = '', anchor] = target.split('#')
      const at = file === '' ? join(root, path) : resolve(root, dirname(path), file)
      if (!existsSync(at)) return true
      return anchor !== undefined && !anchorsOf(readFileSync(at, 'utf8')).includes(anchor)
    })
    expect(broken).toEqual([])
  })
})

function check({ promised }: Step, output: string): void {
  if (!promised) return
  if (update && (promised.text === '?' || !promised.text.includes('…'))) written.set(promised.line, output.trim())
  else expect({ missing: missingLine(promised.text, output), output }).toEqual({ missing: null, output })
}

/** The page with the outputs of this run, ports and tokens as README shows them. */
function withWritten(): string {
  let lines = page.split('\n')
  for (const [line, output] of [...written].sort(([a], [b]) => b - a)) {
    const end = lines.indexOf('```', line)
    let text = output
    for (const [shown, port] of ports) text = text.replaceAll(`:${port}`, `:${shown}`)
    lines = [...lines.slice(0, line), ...text.replaceAll(token, 'pawl_…').split('\n'), ...lines.slice(end)]
  }
  return lines.join('\n')
}

/** Linux: what runs with a file of that folder as its program's argument or its working directory. */
function processesIn(path: string): { pid: number; what: string }[] {
  if (!existsSync('/proc')) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const what = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
        return what.includes(path) || readlinkSync(`/proc/${name}/cwd`).startsWith(path)
          ? [{ pid: Number(name), what }]
          : []
      } catch {
        // It has ended meanwhile.
        return []
      }
    })
}
