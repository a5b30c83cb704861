// The limit: the statement of redeployDeployment, taken from the rule itself, by pgbench with as many clients, one transaction for
// each; without a pgbench on the PATH by limit-driver.ts. No HTTP, no GraphQL, no token. What it says it has done is counted.
import { execFile, fork, spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { openPool } from '../src/db/client.ts'
import { startupSettings } from '../src/db/settings.ts'
import { redeployDeployment } from '../src/resolvers/deployment-rule.ts'
import type { Rule } from '../src/resolvers/transition-rule.ts'
import { prepareRule } from '../src/resolvers/transition-statement.ts'
import { cpuSeconds } from './cpu.ts'
import type { LimitOrder, Transaction } from './limit-driver.ts'
import { type Contestant, type Round, summed } from './round.ts'
import { shares } from './subject.ts'
import type { World } from './world.ts'

interface Load {
  readonly clients: number
  /** Not counted, as for the others. */
  readonly leadMs: number
  readonly countedMs: number
}

/** The statement, and the name of the value that each of its parameters stands for. */
export function statementOf(): { readonly text: string; readonly names: readonly string[] } {
  const { db } = openPool({
    url: 'postgres://nobody@127.0.0.1/nowhere',
    purpose: 'gauges',
    slots: 1,
    statementTimeoutMs: 1,
  })
  const { sql, params } = prepareRule(db, redeployDeployment as unknown as Rule).getQuery()
  return { text: sql, names: params.map((param) => (param as { name: string }).name) }
}

/**
 * What each value is, in SQL over pgbench's variables: n and team (the subject), key (a random number), and operation,
 * which goes up with time, as the ids of operations do.
 */
const id = (prefix: string, n: string) => `('${prefix}_' || lpad(:${n}::text, 26, '0'))`
const values: Readonly<Record<string, string>> = {
  id: id('dep', 'n'),
  teamId: id('team', 'team'),
  actorKind: `'token'`,
  actorId: id('tok', 'team'),
  requestId: `('8f14e45f-ceea-467a-9575-' || :key::text)`,
  transitionId: `('c9f0f895-fb98-4b91-9a1b-' || :key::text)`,
  operationIds: id('op', 'operation'),
  mutation: `'redeployDeployment'`,
  key: `('9b1deb4d-3b7d-4bad-' || :key::text)`,
  inputHash: `repeat('5', 64)`,
  expectedVersion: 'null',
  image: 'null',
  retryOf: 'null',
}

function givenAs(name: string): string {
  const value = values[name]
  if (value === undefined)
    throw new Error(`the statement of redeployDeployment has a parameter ${name} that is not known here`)
  return value
}

/** More than there are clients, each of which counts by itself. */
const step = 1_000

/** The script of pgbench; `count` is to be defined, and another one for each run. */
export function scriptOf({ rows, tokens }: Pick<World, 'rows' | 'tokens'>): string {
  const { text, names } = statementOf()
  const { first, count } = shares.redeployable
  const statement = text.replace(/\$(\d+)/g, (_, at: string) => givenAs(names[Number(at) - 1] ?? at))
  return [
    `\\set share ${first} + 2 * random(0, ${count - 1})`,
    `\\set n 100 * random(0, ${Math.floor(rows / 100) - 1}) + (73 * :share) % 100`,
    `\\set team 1 + (:n / 2) % ${tokens.length}`,
    `\\set count :count + ${step}`,
    '\\set operation :count + :client_id',
    '\\set key random(1000000000000000000, 9000000000000000000)',
    `${statement};`,
  ].join('\n')
}

const settings = startupSettings({ statementTimeoutMs: 5_000, lockTimeoutMs: 3_000 }, new Set())

/** On our database: its rounds are in turns with ours. */
export async function openLimit(world: World, load: Load): Promise<Contestant> {
  const hasPgbench = spawnSync('pgbench', ['--version']).status === 0
  const run = hasPgbench ? await pgbench(world, load) : () => driver(world, load)
  const accepted = () =>
    world.sql(world.url, async (sql) => {
      const [row] = await sql`select count(*)::int from operation where kind = 'deployment.roll_out'`
      return Number(row?.count)
    })
  const cpu = () => cpuSeconds(world.pid)
  return {
    name: hasPgbench ? 'pgbench' : 'postgres.js',
    settle: () => world.settle(world.url),
    async round() {
      const before = await accepted()
      const made = run()
      // It fails where it is awaited.
      made.catch(() => {})
      // What connections and first plans take is the lead's.
      const [spent, after] = await Promise.all(
        [load.leadMs, load.leadMs + load.countedMs].map((ms) => sleep(ms).then(cpu)),
      )
      const done = (await made).length
      const stored = (await accepted()) - before
      if (done !== stored) throw new Error(`${done} transactions were made, and ${stored} were accepted`)
      const cores: Round['cores'] =
        spent == null || after == null ? {} : { database: ((after - spent) / load.countedMs) * 1_000 }
      return { ...summed(counted(await made, load), load.countedMs / 1_000), cores }
    },
  }
}

/** How long those took that ended in the time that is counted, which begins when the lead is over. */
function counted(made: readonly Transaction[], { leadMs, countedMs }: Load): number[] {
  const begunMs = made.reduce((earliest, { endedMs, tookMs }) => Math.min(earliest, endedMs - tookMs), Number.MAX_VALUE)
  const isCounted = ({ endedMs }: Transaction) => endedMs >= begunMs + leadMs && endedMs < begunMs + leadMs + countedMs
  return made.filter(isCounted).map(({ tookMs }) => tookMs)
}

/** Runs pgbench. */
async function pgbench(world: World, { clients, leadMs, countedMs }: Load): Promise<() => Promise<Transaction[]>> {
  const folder = await mkdtemp(`${world.dataDir}/limit-`)
  const file = `${folder}/script.sql`
  await writeFile(file, scriptOf(world))
  const url = new URL(world.url)
  const env = {
    PATH: process.env.PATH,
    PGHOST: url.hostname,
    PGPORT: url.port,
    PGUSER: url.username,
    PGPASSWORD: decodeURIComponent(url.password),
    PGDATABASE: url.pathname.slice(1),
    PGOPTIONS: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  }
  const flags = [
    '-n',
    '-M',
    'prepared',
    '-c',
    `${clients}`,
    '-j',
    '1',
    '-T',
    `${Math.ceil((leadMs + countedMs) / 1_000) + 1}`,
    '-f',
    file,
  ]
  return async () => {
    const count = ['-D', `count=${Date.now() * step}`]
    await promisify(execFile)('pgbench', [...flags, ...count, '--log', `--log-prefix=${folder}/times`], { env }).catch(
      ({ stderr }: { stderr: string }) => {
        throw new Error(`pgbench has failed: ${stderr.slice(0, 1_000)}`)
      },
    )
    const [name] = (await readdir(folder)).filter((each) => each.startsWith('times.'))
    const lines = (await readFile(`${folder}/${name}`, 'utf8')).trimEnd().split('\n')
    await rm(`${folder}/${name}`)
    // Client, number, how many microseconds it took, script, and when it ended, in seconds and microseconds.
    return lines.map((line) => {
      const [, , took = 0, , seconds = 0, microseconds = 0] = line.split(' ').map(Number)
      return { endedMs: seconds * 1_000 + microseconds / 1_000, tookMs: took / 1_000 }
    })
  }
}

/** The same by limit-driver.ts. */
async function driver({ url, rows, tokens }: World, load: Load): Promise<Transaction[]> {
  const child = fork(new URL('limit-driver.ts', import.meta.url))
  child.send({ url, settings, seeded: { rows, tokens }, ...statementOf(), ...load } satisfies LimitOrder)
  return new Promise((resolve, reject) => {
    child.once('message', (made) => resolve(made as Transaction[]))
    child.once('disconnect', () => reject(new Error('limit-driver.ts has ended')))
  })
}
