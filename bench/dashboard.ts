// The benchmark `dashboard`: fifty deployments with their instance, their last operation and what may be done with them, and the
// team's resources, by Pawl and by peers in turns, each on a copy of the same database. What they answer is compared first.
//   npm run bench -- dashboard [--rows 100000] [--rounds 5] [--seconds 4]
import { isDeepStrictEqual, parseArgs } from 'node:util'
import type { Order } from './asking.ts'
import { type Asked, bodyOf } from './dashboard-asking.ts'
import type { Bench } from './figure.ts'
import { ensurePeers } from './installed.ts'
import { inTurns, ratioFigure, roundFigures, startAsker } from './round.ts'
import { type Server, startPawl, startPeer } from './server.ts'
import { openWorld } from './world.ts'

const connections = 8
const leadMs = 1_000
const names = { pawl: 'Pawl', apollo: 'Apollo', postgraphile: 'PostGraphile' } as const
const tell = (line: string) => void process.stderr.write(`${line}\n`)

export async function dashboard(): Promise<Bench> {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      rows: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
    },
  })
  ensurePeers(tell)
  const world = await openWorld(Number(values.rows), tell)
  try {
    const asker = await startAsker()
    world.atEnd(asker.end)
    const urls: Readonly<Record<Asked, string>> = {
      pawl: world.url,
      apollo: await world.copy('apollo'),
      postgraphile: await world.copy('postgraphile'),
    }
    const servers: [Asked, Server][] = []
    for (const asked of Object.keys(names) as Asked[]) {
      const url = urls[asked]
      const server = await (asked === 'pawl' ? startPawl(url, world.dataDir) : startPeer(`dashboard-${asked}`, url))
      world.atEnd(server.end)
      servers.push([asked, server])
    }
    for (const token of world.tokens.slice(0, 5)) await compare(servers, token)
    tell('all of them answer the same')
    const contestants = servers.map(([asked, server]) => {
      const order: Order = {
        url: server.url,
        module: './dashboard-asking.ts',
        asks: asked,
        seeded: { rows: world.rows, tokens: world.tokens },
        connections,
        leadMs,
        countedMs: Number(values.seconds) * 1_000,
      }
      return {
        name: names[asked],
        settle: () => world.settle(urls[asked]),
        round: () => asker.ask(order, { server: server.pid, database: world.pid }),
      }
    })
    const rounds = await inTurns(contestants, Number(values.rounds), tell)
    return {
      about:
        `fifty deployments of a team of 500, with instance, last operation and allowed actions, and twenty resources, of ${values.rows} deployments ` +
        `in all; ${connections} connections; ${values.rounds} rounds of ${values.seconds} s in turns, medians; answers compared first`,
      figures: [
        ...roundFigures(rounds),
        ratioFigure(rounds, names.pawl, names.apollo, 3),
        ratioFigure(rounds, names.pawl, names.postgraphile, 1.2),
      ],
      rounds: Object.fromEntries(rounds),
    }
  } finally {
    await world.end()
  }
}

/** Throws where one answers a team otherwise than the first of them does. */
async function compare(servers: readonly [Asked, Server][], token: string): Promise<void> {
  const answers = await Promise.all(
    servers.map(async ([asked, { url }]) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
        body: bodyOf(asked),
      })
      return [asked, ((await response.json()) as { data: object }).data] as const
    }),
  )
  const [[, right] = ['', {}], ...others] = answers
  if (!JSON.stringify(right).includes('"operations":{"nodes":[{'))
    throw new Error(`Pawl answers ${JSON.stringify(right)}`)
  const wanted = JSON.stringify(right)
  for (const [asked, answer] of others) {
    if (isDeepStrictEqual(answer, right)) continue
    const text = JSON.stringify(answer)
    const at = [...text].findIndex((letter, n) => letter !== wanted[n])
    const around = (of: string) => of.slice(Math.max(0, at - 200), at + 100)
    throw new Error(`${asked} answers … ${around(text)} …\nand Pawl … ${around(wanted)} …`)
  }
}
