// The limit: the statement of redeployDeployment, taken from the rule itself, by pgbench with as many clients, one transaction for
// each; without a pgbench on the PATH by limit-driver.ts. No HTTP, no GraphQL, no token. What it says it has done is counted.
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { openPool } from '../src/db/client.ts'
import { startupSettings } from '../src/db/settings.ts'
import { redeployDeployment } from '../src/resolvers/deployment-rule.ts'
import type { Rule } from '../src/resolvers/transition-rule.ts'
import { prepareRule } from '../src/resolvers/transition-statement.ts'
import { cpuSeconds } from './cpu.ts'
import { type Contestant, type Round, summed } from './round.ts'
import { shares } from './subject.ts'
import type { World } from './world.ts'

interface Load {
  readonly clients: number
  readonly seconds: number
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

/** What each value is, in SQL over pgbench's variables: n and team (the subject), key (a random number). */
const id = (prefix: string, n: string) => `('${prefix}_' || lpad(:${n}::text, 26, '0'))`
const values: Readonly<Record<string, string>> = {
  id: id('dep', 'n'),
  teamId: id('team', 'team'),
  actorKind: `'token'`,
  actorId: id('tok', 'team'),
  requestId: `('8f14e45f-ceea-467a-9575-' || :key::text)`,
  transitionId: `('c9f0f895-fb98-4b91-9a1b-' || :key::text)`,
  operationIds: id('op', 'key'),
  mutation: `'redeployDeployment'`,
  key: ':key',
  inputHash: `repeat('5', 64)`,
}

/** The script of pgbench. */
export function scriptOf({ rows, tokens }: Pick<World, 'rows' | 'tokens'>): string {
  const { text, names } = statementOf()
  const { first, count } = shares.redeployable
  const statement = text.replace(/\$(\d+)/g, (_, at: string) => values[names[Number(at) - 1] ?? ''] ?? 'null')
  return [
    `\\set share ${first} + 2 * random(0, ${count - 1})`,
    `\\set n 100 * random(0, ${Math.floor(rows / 100) - 1}) + (73 * :share) % 100`,
    `\\set team 1 + (:n / 2) % ${tokens.length}`,
    '\\set key random(1000000000000000000, 9000000000000000000)',
    `${statement};`,
  ].join('\n')
}

const settings = startupSettings({ statementTimeoutMs: 5_000, lockTimeoutMs: 3_000 }, new Set())

/** Our database again: its rounds are in turns with ours. */
export async function openLimit(world: World, { clients, seconds }: Load): Promise<Contestant> {
  if (spawnSync('pgbench', ['--version']).status !== 0) throw new Error('there is no pgbench on the PATH')
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
  const accepted = () =>
    world.sql(world.url, async (sql) =>
      Number((await sql`select count(*) from operation where kind = 'deployment.roll_out'`)[0]?.count),
    )
  return {
    name: 'pgbench',
    settle: () => world.settle(world.url),
    async round(): Promise<Round> {
      const [before, spent] = [await accepted(), cpuSeconds(world.pid)]
      const flags = ['-n', '-M', 'prepared', '-c', `${clients}`, '-j', '1', '-T', `${seconds}`, '-f', file]
      const times = ['--log', `--log-prefix=${folder}/times`]
      const { stdout } = await promisify(execFile)('pgbench', [...flags, ...times], { env })
      const took = (cpuSeconds(world.pid) ?? Number.NaN) - (spent ?? Number.NaN)
      return {
        ...(await readPgbench(folder, stdout, (await accepted()) - before)),
        cores: { database: took / seconds },
      }
    },
  }
}

/** What pgbench says, and what it has written of each transaction; `done` is how many operations there are more than before. */
async function readPgbench(folder: string, text: string, done: number): Promise<Omit<Round, 'cores'>> {
  const figure = (pattern: RegExp) => Number(pattern.exec(text)?.[1])
  const count = figure(/^number of transactions actually processed: (\d+)/m)
  if (count !== done) throw new Error(`pgbench has made ${count} transactions, and ${done} were accepted:\n${text}`)
  const tookMs: number[] = []
  for (const name of await readdir(folder)) {
    if (!name.startsWith('times.')) continue
    // Client, number, microseconds …
    for (const line of (await readFile(`${folder}/${name}`, 'utf8')).split('\n').filter(Boolean)) {
      tookMs.push(Number(line.split(' ')[2]) / 1_000)
    }
    await rm(`${folder}/${name}`)
  }
  return { ...summed(tookMs, 1), count, perSecond: figure(/^tps = ([\d.]+)/m) }
}
