// The benchmarks `mutation` and `refusal`: redeployDeployment with token, event, operation and idempotency key, by Pawl and by
// peers in turns, each on a copy of the same database; and our very statement by pgbench, one transaction for each, as the limit.
import { parseArgs } from 'node:util'
import type { Order } from './asking.ts'
import type { Bench } from './figure.ts'
import { ensurePeers } from './installed.ts'
import { openLimit } from './limit.ts'
import { type DialectName, dialects } from './redeploy.ts'
import { checkRedeploy } from './redeploy-check.ts'
import { type Asker, type Contestant, inTurns, type Rounds, ratioFigure, roundFigures, startAsker } from './round.ts'
import { type Server, startPawl, startPeer } from './server.ts'
import { openWorld, type World } from './world.ts'

const connections = 32
const leadMs = 1_000
const minRows = 20_000
/** With what goes before it stays within four minutes. */
const turnsAtMostMs = 160_000
const names = { mercurius: 'Mercurius', apollo: 'Apollo', postgraphile: 'PostGraphile' } as const
type Peer = keyof typeof names
const targets: Readonly<Record<Peer, number>> = { mercurius: 2.5, apollo: 4, postgraphile: 2 }

interface Settings {
  readonly rows: number
  readonly rounds: number
  readonly seconds: number
  readonly peers: readonly Peer[]
}

const tell = (line: string) => void process.stderr.write(`${line}\n`)

/** Ours, the peers, and the limit. `--rows`, `--rounds`, `--seconds`, and `--peers mercurius,apollo` for some of them. */
export async function mutation(): Promise<Bench> {
  const settings = readSettings()
  return inWorld(settings, async (world, asker) => {
    const contestants: Contestant[] = []
    // Copies are made before anybody is connected.
    const copies = new Map<Peer, string>()
    for (const peer of settings.peers) copies.set(peer, await world.copy(peer))
    const { contestant } = await pawl(world, asker, settings)
    contestants.push(contestant('Pawl', 'pawl'))
    for (const [peer, url] of copies) {
      const server = await startPeer(peer, url)
      world.atEnd(server.end)
      await check(names[peer], peer, server, world, url)
      contestants.push(contestantOf(names[peer], peer, server, url, { world, asker, settings }))
    }
    const limit = await openLimit(world, { clients: connections, leadMs, countedMs: settings.seconds * 1_000 })
    contestants.push(limit)
    const rounds = await inTurns(contestants, settings.rounds, tell, turnsAtMostMs)
    return {
      about:
        `redeployDeployment of one of ${settings.rows} deployments, each call with a token and an idempotency key of its own; ` +
        `${connections} connections; ${countOf(rounds)} rounds of ${settings.seconds} s in turns, medians; every answer checked`,
      figures: [
        ...roundFigures(rounds),
        ...settings.peers.map((peer) => ratioFigure(rounds, 'Pawl', names[peer], targets[peer])),
        ratioFigure(rounds, 'Pawl', limit.name, 0.8),
      ],
      rounds: Object.fromEntries(rounds),
    }
  })
}

/** The same call on deployments that are deleted, against our own way that wins. */
export async function refusal(): Promise<Bench> {
  const settings = readSettings()
  return inWorld(settings, async (world, asker) => {
    const { contestant } = await pawl(world, asker, settings)
    const rounds = await inTurns(
      [contestant('accepted', 'pawl'), contestant('refused', 'pawlRefuses')],
      settings.rounds,
      tell,
      turnsAtMostMs,
    )
    return {
      about:
        `redeployDeployment of deployments that are DELETED, and of those that can be redeployed, of ${settings.rows} in all; ` +
        `${connections} connections; ${countOf(rounds)} rounds of ${settings.seconds} s in turns, medians; every answer checked`,
      figures: [...roundFigures(rounds), ratioFigure(rounds, 'refused', 'accepted', 1)],
      rounds: Object.fromEntries(rounds),
    }
  })
}

const countOf = (rounds: Rounds) => [...rounds.values()][0]?.length

function readSettings(): Settings {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      rows: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      peers: { type: 'string', default: Object.keys(names).join(',') },
    },
  })
  // A team for every thousand: with fewer what one may ask for would be the bound.
  if (!(Number(values.rows) >= minRows)) throw new Error(`--rows is ${values.rows}; allowed: from ${minRows}`)
  const peers = values.peers.split(',').filter((peer): peer is Peer => Object.hasOwn(names, peer))
  return { rows: Number(values.rows), rounds: Number(values.rounds), seconds: Number(values.seconds), peers }
}

async function inWorld(settings: Settings, work: (world: World, asker: Asker) => Promise<Bench>): Promise<Bench> {
  ensurePeers(tell)
  const world = await openWorld(settings.rows, tell)
  try {
    const asker = await startAsker()
    world.atEnd(asker.end)
    return await work(world, asker)
  } finally {
    await world.end()
  }
}

/** Starts our server and checks it. */
async function pawl(world: World, asker: Asker, settings: Settings) {
  const server = await startPawl(world.url, world.dataDir)
  world.atEnd(server.end)
  await check('Pawl', 'pawl', server, world, world.url)
  return {
    contestant: (name: string, asks: string) => contestantOf(name, asks, server, world.url, { world, asker, settings }),
  }
}

const check = (name: string, dialect: DialectName, server: Server, world: World, url: string) =>
  world.sql(url, async (sql) => {
    await checkRedeploy(name, { url: server.url, dialect: dialects[dialect], seeded: world, sql })
    tell(`${name} does what is expected of all`)
  })

function contestantOf(
  name: string,
  asks: string,
  server: Server,
  databaseUrl: string,
  { world, asker, settings }: { world: World; asker: Asker; settings: Settings },
): Contestant {
  const { rows, tokens } = world
  const order: Order = {
    url: server.url,
    module: './redeploy.ts',
    asks,
    seeded: { rows, tokens },
    connections,
    leadMs,
    countedMs: settings.seconds * 1_000,
  }
  return {
    name,
    settle: () => world.settle(databaseUrl),
    round: () => asker.ask(order, { server: server.pid, database: world.pid }),
  }
}
