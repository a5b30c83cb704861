// The benchmark `growth`: the same mutation and the same dashboard at 1,000, 100,000 and 5,000,000 deployments, in databases of
// one cluster, each with an API process of its own, asked in turns. What differs between them is how many rows there are.
//   npm run bench -- growth [--rows 1000,100000,5000000] [--keep <folder>]
// Seeding five million takes about six minutes and 14 GB; a folder that is kept is used again.
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { startEmbeddedPostgres } from '../src/db/embedded.ts'
import { migrate } from '../src/db/migrate.ts'
import { createToken } from '../test/fixture.ts'
import { type Bench, figure } from './figure.ts'
import { seed, seededTeams } from './growth-seed.ts'
import { post } from './post.ts'
import { startPawl } from './server.ts'
import { idOf } from './subject.ts'

const targetRatio = 1.25
const rounds = 9
/** So few at once that what is measured is how long a call takes, and not how long it waits for others. */
const atOnce = 2
const tokensPerTeam = 4

const say = (line: string) => process.stderr.write(`${line}\n`)

interface Call {
  readonly what: string
  /** How many in a round: together well inside what one team may ask for. */
  readonly count: number
  readonly query: string
  variables(which: Team, rows: number): Record<string, unknown>
  right(data: unknown): boolean
}
type Team = keyof typeof seededTeams

const calls: readonly Call[] = [
  {
    what: 'redeployDeployment',
    count: 150,
    query: `mutation ($i: RedeployDeploymentInput!) { redeployDeployment(input: $i) {
      __typename ... on RedeployDeploymentPayload { deployment { id state } operation { id state } } } }`,
    variables: (team, rows) => ({ i: { id: deploymentOf(team, rows), idempotencyKey: crypto.randomUUID() } }),
    right: (data) =>
      (data as { redeployDeployment: { __typename: string } }).redeployDeployment.__typename ===
      'RedeployDeploymentPayload',
  },
  {
    what: 'dashboard of 50',
    count: 25,
    query: `{ deployments(first: 50) { nodes { id name environment state url allowedActions { action allowed because }
        instances(first: 1) { nodes { id state lastCheckedAt } } operations(first: 1) { nodes { id kind state createdAt } } } }
      resources(first: 20) { nodes { id name state } } }`,
    variables: () => ({}),
    right: (data) => {
      const { deployments, resources } = data as Record<
        'deployments' | 'resources',
        { nodes: { operations: { nodes: unknown[] } }[] }
      >
      return (
        deployments.nodes.length === 50 &&
        resources.nodes.length === 20 &&
        deployments.nodes.some(({ operations }) => operations.nodes.length === 1)
      )
    },
  },
]

export async function growth(): Promise<Bench> {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: { rows: { type: 'string', default: '1000,100000,5000000' }, keep: { type: 'string' } },
  })
  const sizes = values.rows.split(',').map(Number)
  const folder = values.keep ?? (await mkdtemp(join(tmpdir(), 'pawl-bench-')))
  await mkdir(folder, { recursive: true })
  const ends: (() => Promise<unknown> | unknown)[] = values.keep ? [] : [() => rm(folder, { recursive: true })]
  try {
    await seedMissing(folder, sizes)
    const database = await startEmbeddedPostgres({ dataDir: folder, settings: { max_connections: '200' } })
    ends.push(() => database.stop())
    const planes: Plane[] = []
    for (const rows of sizes) {
      const url = urlOf(database.url, rows)
      await migrate(url)
      await settled(url)
      const tokens = { big: await tokensOf(url, 'big'), small: await tokensOf(url, 'small') }
      const server = await startPawl(url, folder)
      ends.push(server.end)
      planes.push({ rows, url: server.url, tokens, p50: new Map() })
    }
    return await measure(planes)
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

interface Plane {
  readonly rows: number
  readonly url: string
  readonly tokens: Readonly<Record<Team, readonly string[]>>
  /** Of each thing that is measured, by round. */
  readonly p50: Map<string, number[]>
}

/** Each round asks every plane for the same, in another order; so what else the machine does hits all of them alike. */
async function measure(planes: readonly Plane[]): Promise<Bench> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce })
  const things = calls.flatMap((call) =>
    (['big', 'small'] as const).map((team) => ({ call, team, name: `${call.what}, ${told[team]}` })),
  )
  for (let round = 0; round <= rounds; round++) {
    for (const { call, team, name } of things) {
      for (let at = 0; at < planes.length; at++) {
        const plane = planes[(at + round) % planes.length] as Plane
        const tookMs = await ask(plane, call, team, agent)
        // The first round is for plans and caches.
        if (round > 0) plane.p50.set(name, [...(plane.p50.get(name) ?? []), middle(tookMs)])
      }
    }
    say(`round ${round} of ${rounds}`)
  }
  agent.destroy()
  const [first, ...larger] = planes as [Plane, ...Plane[]]
  const p50 = (plane: Plane, name: string) => middle(plane.p50.get(name) ?? [])
  return {
    about:
      `${atOnce} callers at once; for each of ${rounds} rounds the p50, of those the middle one; half of all deployments belong to ` +
      'one team, the rest to teams of 500.',
    figures: things.flatMap(({ name }) => [
      figure(`${name}, ${first.rows} rows`, `${p50(first, name).toFixed(2)} ms`),
      ...larger.map((plane) => {
        const ratio = p50(plane, name) / p50(first, name)
        const measured = `${p50(plane, name).toFixed(2)} ms, ${ratio.toFixed(2)}×`
        return figure(`${name}, ${plane.rows} rows`, measured, `≤ ${targetRatio}×`, ratio <= targetRatio)
      }),
    ]),
  }
}
const told: Readonly<Record<Team, string>> = { big: 'team with half of them', small: 'team of 500' }

const middle = (values: readonly number[]): number =>
  [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0

async function ask(plane: Plane, call: Call, team: Team, agent: Agent): Promise<number[]> {
  const tookMs: number[] = []
  let left = call.count
  const asker = async () => {
    while (left-- > 0) {
      const body = JSON.stringify({ query: call.query, variables: call.variables(team, plane.rows) })
      const since = performance.now()
      const text = await post(plane.url, plane.tokens[team][left % tokensPerTeam] ?? '', body, agent)
      tookMs.push(performance.now() - since)
      const { data, errors } = JSON.parse(text)
      if (errors || !call.right(data)) throw new Error(`${body} was answered ${text.slice(0, 1_000)}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, asker))
  return tookMs
}

/** Any one that the team may redeploy: `growth-seed.ts` says whose each is, and in which state. */
function deploymentOf(team: Team, rows: number): string {
  for (;;) {
    const n =
      team === 'big'
        ? 2 * Math.ceil((Math.random() * rows) / 2)
        : 1 + 2 * (rows / 1_000) * Math.floor(Math.random() * 500)
    if ((n * 37) % 100 < 60) return idOf('dep', n)
  }
}

const urlOf = (url: string, rows: number) => {
  const own = new URL(url)
  own.pathname = `/growth_${rows}`
  return own.href
}

async function tokensOf(url: string, team: Team): Promise<string[]> {
  const made = Array.from({ length: tokensPerTeam }, () => createToken(url, seededTeams[team]))
  return (await Promise.all(made)).map(({ token }) => token)
}

/** Makes what is not there yet, on a server that need not survive a power cut, and writes no more of a log than it must. */
async function seedMissing(folder: string, sizes: readonly number[]): Promise<void> {
  const settings = { wal_level: 'minimal', max_wal_senders: '0', max_wal_size: '2GB', autovacuum: 'off' }
  const server = await startEmbeddedPostgres({ dataDir: folder, durable: false, settings })
  const admin = postgres(server.url, { max: 1, onnotice: () => {} })
  try {
    for (const rows of sizes) {
      const url = urlOf(server.url, rows)
      const since = performance.now()
      const tell = (line: string) => say(`${((performance.now() - since) / 1_000).toFixed(0).padStart(4)} s  ${line}`)
      const [known] = await admin`select from pg_database where datname = ${`growth_${rows}`}`
      if (known) continue
      // Under another name until it is whole.
      const draft = urlOf(server.url, 0)
      await admin`drop database if exists growth_0`
      await admin`create database growth_0`
      await migrate(draft)
      await seed(draft, rows, tell)
      await admin.unsafe(`alter database growth_0 rename to growth_${rows}`)
      say(`${rows} deployments are there: ${new URL(url).pathname}`)
    }
  } finally {
    await admin.end({ timeout: 5 })
    await server.stop()
  }
}

/** What an earlier run has left is put away before this one: no vacuum begins while it is measured. */
async function settled(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  await sql`vacuum (analyze) deployment, operation, event, idempotency_key`
  await sql`checkpoint`
  await sql.end({ timeout: 5 })
}
