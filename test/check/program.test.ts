// The check as its users run it: beside a server that really runs things, it finds nothing; and it finds what was planted, in the
// rows, among the processes of the machine, on the server of the resources and in a log of drivers.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { driverLogLine } from '../../src/drivers/driver-log.ts'
import { type Machine, openMachine, type Server, until } from '../crash/server.ts'
import { runToEnd } from '../program.ts'
import { settled } from './damage.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 })
const program = fileURLToPath(new URL('../../src/check.ts', import.meta.url))
let machine: Machine
let server: Server
let dataDir = ''
const ids = { it: '', stack: '', db: '' }
beforeAll(async () => {
  machine = await openMachine()
  dataDir = machine.env.PAWL_DATA_DIR
  server = await machine.start()
  ids.it = await machine.call(server, 'deploy', { name: 'shop', image: 'hello' })
  ids.stack = await machine.call(server, 'createStack', { name: 'kiosk', services: [{ name: 'web', image: 'hello' }] })
  const made = await machine.ask(
    server,
    'mutation { createResource(input: { type: POSTGRES, name: "db" }) { ... on CreateResourcePayload { resource { id } } } }',
  )
  ids.db = made.createResource.resource.id
  await machine.reaches(ids.it, 'HEALTHY')
  await machine.reaches(ids.stack, 'HEALTHY')
  await until(async () => {
    const [row] = await machine.sql`select state from resource where id = ${ids.db}`
    expect(row).toMatchObject({ state: 'ACTIVE' })
  })
})
afterAll(async () => {
  await server?.end('SIGTERM')
  await machine?.dispose()
})

/** Runs it to its end. */
async function check(...args: string[]) {
  const { code, out, err } = await runToEnd(program, args, machine.env)
  const lines = settled(out, ids).trimEnd().split('\n')
  const found = lines.filter((line) => !/; (nothing|\d+) found$/.test(line))
  return { code, lines, found, err }
}
/** Past the triggers, and back again. */
async function planted<T>(there: string, back: string, look: () => Promise<T>): Promise<T> {
  const beneath = (text: string) =>
    machine.sql.begin(async (sql) => {
      await sql`set local session_replication_role = replica`
      await sql.unsafe(text)
    })
  await beneath(there)
  return look().finally(() => beneath(back))
}

test('beside a server that runs things it finds nothing, and says what it has looked at', async () => {
  const { code, lines, found, err } = await check()
  expect({ code, found, err }).toEqual({ code: 0, found: [], err: '' })
  expect(lines).toContain(
    'runtime: 2 workloads on this host, 2 of them running, of 2 rows, 0 with work under way; nothing found',
  )
  expect(lines).toContain('provision POSTGRES: 1 POSTGRES of 1 rows, 0 with work under way; nothing found')
  expect(lines).toContain('provision REDIS: no REDIS of 0 rows, 0 with work under way; nothing found')
  expect(lines).toContain('sealed: 2 sealed values, with the keys test; nothing found')
})

test('a database that is looked at alone asks no driver', async () => {
  const { code, lines } = await check('--database-only')
  expect([code, lines.some((line) => /^(runtime|provision)/.test(line))]).toEqual([0, false])
})

test('a run and a database that no living row has are found', async () => {
  const set = (state: string, resource: string) =>
    `update deployment set state = '${state}' where id = '${ids.it}'; update resource set state = '${resource}' where id = '${ids.db}'`
  const { code, found } = await planted(set('DELETED', 'DELETED'), set('HEALTHY', 'ACTIVE'), () => check())
  expect(code).toBe(1)
  expect(found).toEqual(
    expect.arrayContaining([
      expect.stringMatching(
        /^runtime: it: its workload \S+ runs as run_\w+, and no living row has it, and it is DELETED$/,
      ),
      expect.stringMatching(/^provision POSTGRES: db: pawl_\S+ is there, and no living row has it, and it is DELETED$/),
    ]),
  )
})

test('a run that the driver has lost sight of is found among the processes of the machine', async () => {
  const [row] = await machine.sql`select incarnation from deployment where id = ${ids.it}`
  const state = join(dataDir, 'runtime', `${ids.it}-${row?.incarnation}`, 'state.json')
  const text = await readFile(state, 'utf8')
  try {
    await rm(state)
    const { code, found } = await check()
    expect(code).toBe(1)
    expect(found).toEqual([
      expect.stringMatching(/^runtime: it: the run run_\w+ lives \(process \d+\), and its driver does not know it$/),
    ])
  } finally {
    await writeFile(state, text, { mode: 0o600 })
  }
})

test('a run from before there were installations is known', async () => {
  const [row] = await machine.sql`select incarnation from deployment where id = ${ids.it}`
  const state = join(dataDir, 'runtime', `${ids.it}-${row?.incarnation}`, 'state.json')
  const text = await readFile(state, 'utf8')
  const { installation, ...older } = JSON.parse(text)
  expect(installation).toBeTruthy()
  try {
    await writeFile(state, JSON.stringify(older), { mode: 0o600 })
    expect(await check()).toMatchObject({ code: 0, found: [] })
  } finally {
    await writeFile(state, text, { mode: 0o600 })
  }
})

test('a log of drivers: an operation that there never was, and two runs at once', async () => {
  const [work] = await machine.sql`select id from operation where subject_id = ${ids.it}`
  const line = (operationId: string, instanceId: string, generation: number) =>
    driverLogLine('runtime.fake', {
      at: new Date(),
      call: 'ensure',
      ref: { subjectId: ids.it, incarnation: 'x' },
      fence: { operationId, attempt: 1, subjectId: ids.it, generation },
      effects: [{ effect: 'started', instanceId }],
      result: 'working',
    })
  const path = join(dataDir, 'drivers.jsonl')
  await writeFile(path, line(String(work?.id), 'run_a', 1))
  expect(await check('--database-only', '--driver-log', path)).toMatchObject({ code: 0, found: [] })
  await writeFile(path, line(String(work?.id), 'run_a', 1) + line('op_never', 'run_b', 2))
  const { code, found } = await check('--database-only', '--driver-log', path)
  expect([code, found]).toEqual([
    1,
    [
      expect.stringMatching(/^driver log: it x: ensure at \S+: starts run_b while run_a runs$/),
      expect.stringMatching(/^driver log: it: at \S+ a driver acted for op_never, which there never was$/),
    ],
  ])
})

test('what cannot be looked at is said, and no clean bill is given', async () => {
  expect(await check('--all')).toMatchObject({
    code: 2,
    err: "Not checked, or not all of it: Unknown option '--all'; allowed: --database-only, --driver-log FILE.\n",
  })
  expect(await check('--database-only', '--driver-log', join(dataDir, 'none'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('ENOENT'),
  })
  await server.end('SIGTERM')
  const { code, found } = await check()
  expect([code, found]).toEqual([
    2,
    [
      expect.stringMatching(
        /^provision POSTGRES: not looked at: The PostgreSQL for resources does not run: it is not running$/,
      ),
    ],
  ])
})
