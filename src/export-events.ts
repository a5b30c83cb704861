// `npm run export:events`: writes the event log to stdout, one JSON object a line, in its order, and says on stderr how far it is.
// Only reads; needs no more memory for a long log than for a short one. What ends before now is only exported once it is settled,
// so that the same window is the same file whenever it is exported.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { readConfig } from './config.ts'
import type { Database } from './db/client.ts'
import { reachDatabase } from './reach-database.ts'
import { eventPages, isTeam, lineOf, positionOf } from './resolvers/event-export.ts'
import { horizonOf } from './resolvers/event-feed.ts'
import { settledUntil } from './resolvers/event-settled.ts'
import { BadUserInput } from './resolvers/page.ts'

const ALLOWED = '--team ID, --from TIME, --to TIME, --after CURSOR'
const TIME_FORM = 'ISO 8601 with an offset, e.g. 2030-01-31T12:00:00Z'
const toldEvery = 100_000

/** Told in one line, without a stack. */
class Stop extends Error {}
const say = (line: string) => void process.stderr.write(`${line}\n`)

const option = { type: 'string' } as const
function readOptions(args: string[]) {
  try {
    const { values, tokens } = parseArgs({
      args,
      options: { team: option, from: option, to: option, after: option },
      tokens: true,
    })
    const given = tokens.flatMap((token) => (token.kind === 'option' ? [token.rawName] : []))
    const repeated = given.find((name, at) => given.indexOf(name) < at)
    if (repeated) throw new Stop(`${repeated} is given more than once; allowed: once`)
    const [from, to] = [timeOf('--from', values.from), timeOf('--to', values.to)]
    if (from && to && from >= to) throw new Stop(`--from ${values.from} is not before --to ${values.to}`)
    return { ...values, from, to }
  } catch (error) {
    if (error instanceof Stop) throw error
    throw new Stop(`${String((error as Error).message).split('. ')[0]}; allowed: ${ALLOWED}`)
  }
}

function timeOf(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  if (!z.iso.datetime({ offset: true }).safeParse(text).success)
    throw new Stop(`${name} is ${JSON.stringify(text)}; allowed: ${TIME_FORM}`)
  return new Date(text)
}

async function startOf(db: Database, after: string, team: string | undefined): Promise<number> {
  try {
    return await positionOf(db, after, team)
  } catch (error) {
    if (!(error instanceof BadUserInput)) throw error
    const of =
      team === undefined ? 'an event that is there; with --team also of one that was trimmed' : `an event of ${team}`
    throw new Stop(
      `--after is ${JSON.stringify(after.slice(0, 80))}, which is no such cursor; allowed: the cursor of ${of}`,
    )
  }
}

async function exportEvents(db: Database, { team, from, to, after }: ReturnType<typeof readOptions>): Promise<void> {
  if (team !== undefined && !(await isTeam(db, team))) throw new Stop(`--team ${team}: there is no such team`)
  const settled = await settledUntil(db)
  if (to && to > settled)
    throw new Stop(
      `--to ${to.toISOString()} is not settled yet, more may come of that time; allowed: ${settled.toISOString()} or earlier, or no --to for all that is listed by now`,
    )
  const horizon = await horizonOf(db)
  const begin = after === undefined ? horizon : await startOf(db, after, team)
  if (begin === horizon && horizon > 0) say(`The log begins after position ${horizon}: what came before was trimmed.`)
  let [count, last] = [0, after]
  async function* chunks() {
    for await (const rows of eventPages(db, begin, { teamId: team, from, to })) {
      if (rows.length === 0) continue
      const lines = rows.map(lineOf)
      yield `${lines.join('\n')}\n`
      if (Math.floor((count + rows.length) / toldEvery) > Math.floor(count / toldEvery))
        say(`${count + rows.length} events so far …`)
      count += rows.length
      last = (JSON.parse(String(lines.at(-1))) as { cursor: string }).cursor
    }
  }
  await pipeline(Readable.from(chunks(), { objectMode: true, highWaterMark: 1 }), process.stdout, { end: false })
  const goOn = last === undefined ? '' : `; what comes later: --after ${last}`
  say(`${count} events exported${to ? '' : `, settled until ${settled.toISOString()}`}${goOn}`)
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  const config = readConfig(process.env)
  await reachDatabase(config, (db) => exportEvents(db, options))
}

main().catch((error: unknown) => {
  // Who reads it has seen enough.
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') return
  const told = error instanceof Error ? error.message : String(error)
  process.stderr.write(`Not exported, or not all of it: ${told.replace(/\.$/, '')}.\n`)
  process.exitCode = 1
})
