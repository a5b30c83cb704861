// The programs for the log, run as their users run them: what they say, what they write, and how they end.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { startEmbeddedPostgres } from '../../src/db/embedded.ts'
import { migrate } from '../../src/db/migrate.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { bootstrap } from '../../src/resolvers/first-team.ts'
import { trimEvents } from '../../src/resolvers/trim.ts'
import { createTeam, superuser } from '../fixture.ts'
import { type Ended, runToEnd } from '../program.ts'
import { type Api, openApi } from '../schema/api.ts'
import { tell } from './fixture.ts'

// Each run is a process of its own.
vi.setConfig({ testTimeout: 120_000 })
const source = fileURLToPath(new URL('../../src', import.meta.url))
let api: Api
let sql: postgres.Sql
let other = ''
beforeAll(async () => {
  api = await openApi()
  sql = superuser(api.database.url)
  other = (await createTeam(api.database.url)).teamId
  for (let n = 0; n < 30; n++)
    await tell(sql, {
      teamId: n % 3 === 0 ? other : api.team.teamId,
      subject: `dep_${n % 4}`,
      version: n,
      daysAgo: 30 - n,
    })
  while ((await sequenceEvents(api.pool.db, 1_000)) > 0);
})
afterAll(async () => {
  await sql.end()
  await api.close()
})

/** Runs a program to its end, in the environment of an operator. */
async function run(program: string, args: string[] = [], env: Record<string, string> = {}): Promise<Ended> {
  const outside = { DATABASE_URL: api.database.url, PAWL_SECRET_KEYS: `a:${randomBytes(32).toString('base64')}` }
  const own = 'PAWL_DATA_DIR' in env ? {} : outside
  return await runToEnd(join(source, `${program}.ts`), args, { PATH: String(process.env.PATH), ...own, ...env })
}
const exported = async (...args: string[]) => {
  const { code, out, err } = await run('export-events', args)
  expect([code, err]).toEqual([0, expect.stringMatching(/^.*\d+ events exported.*\n$/s)])
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

test('what is exported of a team is what GraphQL tells of it, in its order and under its names', async () => {
  const { data } =
    await api.call(`{ events(first: 100) { nodes { cursor occurredAt kind subjectType subjectId from to generation
    version actor { kind id } requestId operation { id } data } } }`)
  const lines = await exported('--team', api.team.teamId)
  expect(lines).toHaveLength(20)
  expect(lines).toEqual(data.events.nodes.map((node: object) => ({ ...node, teamId: api.team.teamId })))
})

test('windows and cursors: parts put together are the whole, of one team and of all', async () => {
  const whole = await exported()
  expect(whole.map(({ version }) => version)).toEqual(Array.from({ length: 30 }, (_, n) => String(n)))
  const at = whole[14].occurredAt
  const parts = [...(await exported('--to', at)), ...(await exported('--from', at))]
  expect(parts).toEqual(whole)
  expect(await exported('--after', whole[9].cursor)).toEqual(whole.slice(10))
  const ours = whole.filter(({ teamId }) => teamId === other)
  expect(await exported('--team', other, '--after', ours[3].cursor, '--to', ours[8].occurredAt)).toEqual(
    ours.slice(4, 8),
  )
})

test('where nothing is new the cursor to go on from is still told', async () => {
  const last = (await exported()).at(-1).cursor
  for (const args of [[], ['--team', other]]) {
    const own = args.length === 0 ? last : (await exported(...args)).at(-1).cursor
    const { code, out, err } = await run('export-events', [...args, '--after', own])
    expect([code, out]).toEqual([0, ''])
    expect(err).toMatch(/^0 events exported, settled until \S+Z; what comes later: --after \S+\n$/)
    expect(err.trimEnd().split(' ').at(-1)).toBe(own)
  }
})

test('a reader that goes early is no failure', async () => {
  const child = spawn(process.execPath, [join(source, 'export-events.ts')], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: api.database.url,
      PAWL_SECRET_KEYS: `a:${randomBytes(32).toString('base64')}`,
    },
  })
  // Before it has anything to say.
  child.stdout.destroy()
  let err = ''
  child.stderr.on('data', (data) => {
    err += data
  })
  const code = await new Promise<number | null>((done) => child.once('close', done))
  expect([code, err]).toEqual([0, ''])
})

test('a window that is not settled yet is refused; once it is, it is exported', async () => {
  const writer = superuser(api.database.url)
  const held = await writer.reserve()
  await held`begin`
  await tell(held, { teamId: other, version: 30, subject: 'dep_late' })
  const [row] = await held<{ to: Date }[]>`select clock_timestamp() + interval '1 millisecond' as to`
  const to = String(row?.to.toISOString())
  const refused = await run('export-events', ['--to', to])
  expect(refused).toEqual({
    code: 1,
    out: '',
    err: expect.stringMatching(
      /^Not exported, or not all of it: --to \S+Z is not settled yet, more may come of that time; allowed: \S+Z or earlier, or no --to .*\.\n$/,
    ),
  })
  await held`commit`
  held.release()
  await writer.end()
  await sequenceEvents(api.pool.db, 1_000)
  expect((await exported('--to', to)).at(-1)).toMatchObject({ subjectId: 'dep_late' })
})

test.each([
  [['--nothing', '1'], /Unknown option '--nothing'; allowed: --team ID, --from TIME, --to TIME, --after CURSOR\.$/],
  [
    ['--from', '2026-02-30T00:00:00Z'],
    /--from is "2026-02-30T00:00:00Z"; allowed: ISO 8601 with an offset, e\.g\. 2030-01-31T12:00:00Z\.$/,
  ],
  [['--from', '2026-02-02T00:00:00Z', '--to', '2026-02-01T00:00:00Z'], /--from \S+ is not before --to \S+\.$/],
  [['--team', 'team_x'], /--team team_x: there is no such team\.$/],
  [
    ['--after', 'zzz'],
    /: --after is "zzz", which is no such cursor; allowed: the cursor of an event that is there; with --team also of one that was trimmed\.$/,
  ],
  [
    ['--from', '2026-02-01T00:00:00Z', '--from', '2026-02-02T00:00:00Z'],
    /: --from is given more than once; allowed: once\.$/,
  ],
  [['--team=a', '--team', 'b'], /: --team is given more than once; allowed: once\.$/],
])('%j is answered with one line', async (args, line) => {
  const { code, out, err } = await run('export-events', args)
  expect([code, out]).toEqual([1, ''])
  expect(err.trimEnd()).toMatch(line)
  expect(err.trimEnd()).not.toContain('\n')
})

test('after the beginning was trimmed it is said so, and a cursor from before is refused', async () => {
  const [first] = await exported()
  expect(await trimEvents(api.pool.db, 20, 1_000)).toBe(11)
  const { err } = await run('export-events')
  expect(err).toContain('The log begins after position 11: what came before was trimmed.')
  const { code, err: refused } = await run('export-events', ['--team', other, '--after', first.cursor])
  expect([code, refused]).toEqual([1, expect.stringContaining('older than what is kept')])
})

test('check says what it has looked at and what it has found, beside the database that Pawl runs', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'pawl-check-'))
  const env = { PAWL_DATA_DIR: dataDir }
  try {
    expect(await run('check', [], env)).toEqual({
      code: 2,
      out: '',
      err: `Not checked, or not all of it: there is no database in ${dataDir}: PAWL_DATA_DIR or DATABASE_URL names the one that is meant.\n`,
    })
    const embedded = await startEmbeddedPostgres({ dataDir, durable: false })
    expect((await run('check', [], env)).err).toContain('another version of Pawl')
    await migrate(embedded.url)
    const pool = openPool({ url: embedded.url, purpose: 'api', slots: 1, statementTimeoutMs: 5_000 })
    await bootstrap(pool.db, null)
    await sequenceEvents(pool.db, 100)
    await pool.close()
    const sound = {
      code: 0,
      out: [
        'chain: 3 events in 3 chains; nothing found',
        expect.stringMatching(/^moves: 3 events of \d+ declared moves; nothing found$/),
        'positions: 3 positions from 1 to 3, 0 events wait for theirs; nothing found',
        'rows: 3 rows; nothing found',
        'counters: 8 counters of plans; nothing found',
        'names: 0 names that are held; nothing found',
        'operations: 0 operations, 0 of them live; nothing found',
        'passing: 0 on their way, 0 past their deadline, 0 without work; nothing found',
        'approvals: 0 approvals, 0 of them used; nothing found',
        'keys: 0 idempotency keys; nothing found',
        'instances: 0 instances that Pawl runs, 0 of them running; nothing found',
        'deliveries: 0 deliveries to 0 webhooks; nothing found',
        'references: 0 references, 0 of them to what is not there: started with it nothing is; nothing found',
        'sealed: not looked at: there are no keys yet',
        `runtime: not looked at: there is no ${dataDir}/runtime; what runs on other hosts is looked at there`,
        'provision POSTGRES: 0 POSTGRES of 0 rows, 0 with work under way; nothing found',
        'provision REDIS: no REDIS of 0 rows, 0 with work under way; nothing found',
      ],
      err: '',
    }
    const lines = async () => {
      const { out, ...rest } = await run('check', [], env)
      return { ...rest, out: out.trimEnd().split('\n') }
    }
    expect(await lines()).toEqual(sound)
    const beneath = superuser(embedded.url)
    const sealed = `v1.lost.${'n'.repeat(16)}.content`
    await beneath`insert into secret (id, state, team_id, environment, name, value, changed_at, changed_by)
      select 'sec_1', 'ACTIVE', id, 'development', 'KEY', ${sealed}, now(), 'm' from team`
    expect((await lines()).out).toContain(
      `sealed: not looked at: values are sealed with lost, and there are no keys in ${dataDir}`,
    )
    await beneath.begin((sql) => [sql`set local session_replication_role = replica`, sql`delete from secret`])
    await beneath`update plan_usage set used = 7 where kind = 'owners'`
    await beneath.end()
    // Pawl is down: the database is started for as long as it takes.
    await embedded.stop()
    const found = [
      'counters: 8 counters of plans; 1 found',
      expect.stringMatching(/^counters: team_\w+: its counter of owners says 7, and there are 1$/),
    ]
    expect(await lines()).toEqual({
      ...sound,
      code: 1,
      out: [...sound.out.slice(0, 4), ...found, ...sound.out.slice(5)],
    })
    expect((await run('check', ['--all'], env)).err).toBe(
      "Not checked, or not all of it: Unknown option '--all'; allowed: --database-only, --driver-log FILE.\n",
    )
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
})
