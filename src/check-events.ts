// `npm run check:events`: looks whether the event log is whole, and whether what is stored is what it tells. Only reads, and may
// run beside everything else: each check sees one moment. Exit code 1 when anything is found.
import { readConfig } from './config.ts'
import { reachDatabase } from './reach-database.ts'
import { runCheck } from './resolvers/check.ts'
import { eventChecks } from './resolvers/event-check.ts'
import { rowChecks } from './resolvers/row-check.ts'

const say = (line: string) => void process.stdout.write(`${line}\n`)

async function main(): Promise<void> {
  const given = process.argv.slice(2)
  if (given.length > 0) throw new Error(`${given.join(' ')} is not known; allowed: nothing`)
  const config = readConfig(process.env)
  const total = await reachDatabase(config, async (db) => {
    let sum = 0
    for (const check of [...eventChecks, ...rowChecks]) {
      const { looked, found, lines } = await runCheck(db, check)
      say(`${check.name}: ${looked}; ${found === 0 ? 'nothing' : found} found`)
      for (const line of lines) say(`${check.name}: ${line}`)
      if (found > lines.length) say(`${check.name}: … and ${found - lines.length} more`)
      sum += found
    }
    return sum
  })
  if (total > 0) process.exitCode = 1
}

main().catch((error: unknown) => {
  const told = error instanceof Error ? error.message : String(error)
  process.stderr.write(`Not checked: ${told.replace(/\.$/, '')}.\n`)
  process.exitCode = 1
})
