// `npm run check`: looks whether what is stored is as promised, and whether what drivers have is what rows say. Only reads, and may
// run beside everything else. Exit code 0 when all is sound, 1 when anything is found, 2 when something could not be looked at.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkProvisioner, checkRuntime, type OutsideChecked } from './check-drivers.ts'
import { type Config, readConfig } from './config.ts'
import { readDriverLog } from './drivers/driver-log.ts'
import { checkDriverLog } from './drivers/driver-log-check.ts'
import { closeProvisioners } from './drivers/provision/provisioners.ts'
import { createProcessDriver } from './drivers/runtime/process.ts'
import { provisionersFor } from './provisioning.ts'
import { reachDatabase } from './reach-database.ts'
import { answerChecks } from './resolvers/answer-check.ts'
import { type Check, type Checked, checkedOf, runCheck } from './resolvers/check.ts'
import { eventChecks } from './resolvers/event-check.ts'
import { installationOf } from './resolvers/installation.ts'
import { unknownOperations, wholeSince } from './resolvers/outside-check.ts'
import { rowChecks } from './resolvers/row-check.ts'
import { keysInUse } from './resolvers/sealed.ts'
import { checkSealed, references } from './resolvers/sealed-check.ts'
import type { Database } from './resolvers/transition.ts'
import { unitChecks } from './resolvers/unit-check.ts'
import { workChecks } from './resolvers/work-check.ts'
import { createSealing } from './sealing.ts'
import { keptSecretKeys, keptSecretKeysFile } from './secret-keys.ts'

const ALLOWED = '--database-only, --driver-log FILE'

const sound = 0
const flawed = 1
const unseen = 2

const stored: readonly Check[] = [
  ...eventChecks,
  ...rowChecks,
  ...workChecks,
  ...answerChecks,
  ...unitChecks,
  references,
]

const say = (line: string) => void process.stdout.write(`${line}\n`)
const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')

/** What was come to so far. */
let code = sound

function tell(name: string, { looked, found, lines }: Checked): void {
  say(`${name}: ${looked}; ${found === 0 ? 'nothing' : found} found`)
  for (const line of lines) say(`${name}: ${line}`)
  if (found > lines.length) say(`${name}: … and ${found - lines.length} more`)
  if (found > 0) code = flawed
}

function tellUnseen(name: string, reason: string): void {
  say(`${name}: not looked at: ${reason}`)
  if (code === sound) code = unseen
}

function tellOutside(name: string, checked: OutsideChecked): void {
  const { incomplete } = checked
  if (incomplete === null || checked.found > 0) tell(name, checked)
  if (incomplete !== null) tellUnseen(name, incomplete)
}

function readOptions(args: string[]) {
  try {
    return parseArgs({ args, options: { 'database-only': { type: 'boolean' }, 'driver-log': { type: 'string' } } })
      .values
  } catch (error) {
    throw new Error(`${reasonOf(error).split('. ')[0]}; allowed: ${ALLOWED}`)
  }
}

async function checkStored(db: Database, config: Config): Promise<void> {
  for (const check of stored) tell(check.name, await runCheck(db, check))
  // Keys that nobody gave are beside the database; none are made here.
  if (config.secretKeys !== null || existsSync(keptSecretKeysFile(config.dataDir))) {
    tell('sealed', await checkSealed(db, createSealing(config.secretKeys ?? keptSecretKeys(config.dataDir))))
    return
  }
  const sealedWith = (await keysInUse(db)).map(({ keyId }) => keyId).join(', ')
  if (sealedWith === '') say('sealed: not looked at: there are no keys yet')
  else tellUnseen('sealed', `values are sealed with ${sealedWith}, and there are no keys in ${config.dataDir}`)
}

/** The drivers of this machine, made so that they change nothing: no fence is forgotten, no ledger made, no cluster started. */
async function checkOutside(db: Database, config: Config, url: string): Promise<void> {
  const installation = await installationOf(db)
  const { appsDir, dataDir } = config
  const folder = join(dataDir, 'runtime')
  if (existsSync(folder)) {
    const driver = createProcessDriver({ installation, appsDir, dataDir, keepFencesMs: Number.POSITIVE_INFINITY })
    tellOutside('runtime', await checkRuntime(db, driver))
  } else say(`runtime: not looked at: there is no ${folder}; what runs on other hosts is looked at there`)
  const refuse = () => Promise.reject(new Error('it is not running'))
  const provisioners = provisionersFor(config, url, installation, refuse, true)
  try {
    for (const each of Object.values(provisioners))
      tellOutside(`provision ${each.type}`, await checkProvisioner(db, each))
  } finally {
    await closeProvisioners(provisioners)
  }
}

async function checkLog(db: Database, path: string): Promise<void> {
  const { entries, effects, flaws, operations } = await checkDriverLog(readDriverLog(path))
  const since = await wholeSince(db)
  const kept = operations.filter(({ at }) => since === null || new Date(at) >= since)
  const found = [...flaws]
  const batch = 1_000
  for (let from = 0; from < kept.length; from += batch) {
    const some = kept.slice(from, from + batch)
    const ids = some.map(({ operationId }) => operationId)
    const unknown = new Set(await unknownOperations(db, ids))
    for (const { operationId, subjectId, at } of some)
      if (unknown.has(operationId))
        found.push(`${subjectId}: at ${at} a driver acted for ${operationId}, which there never was`)
  }
  tell('driver log', checkedOf(`${entries} calls with ${effects} effects for ${operations.length} operations`, found))
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  const config = readConfig(process.env)
  await reachDatabase(config, async (db, url) => {
    await checkStored(db, config)
    if (options['database-only'] !== true) await checkOutside(db, config, url)
    const log = options['driver-log']
    if (log !== undefined) await checkLog(db, log)
  })
  process.exitCode = code
}

main().catch((error: unknown) => {
  process.stderr.write(`Not checked, or not all of it: ${reasonOf(error)}.\n`)
  process.exitCode = code === flawed ? flawed : unseen
})
