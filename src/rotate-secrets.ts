// `npm run rotate-secrets`: seals anew, with the first secret key, all that another key has sealed, while everything runs;
// may be stopped and started again at any point. `-- --new-key` first makes a key, where keys are kept in the data directory.
import { type Config, readConfig } from './config.ts'
import { openPool, type Pool } from './db/client.ts'
import { startEmbeddedPostgres } from './db/embedded.ts'
import { isAtHead } from './db/migrate.ts'
import { keysInUse, missingKeys, type Resealed, reseal, sealedColumns } from './resolvers/sealed.ts'
import { createSealing, type Sealing } from './sealing.ts'
import { addKeptSecretKey, keptSecretKeys, keptSecretKeysFile } from './secret-keys.ts'

/** A pass that somebody overtook is repeated, at most so often. */
const passes = 5

const say = (line: string) => void process.stdout.write(`${line}\n`)
/** Told in one line, without a stack. */
class Stop extends Error {}

const counted = (n: number) => `${n} stored ${n === 1 ? 'secret' : 'secrets'}`
const where = ({ secretKeys, dataDir }: Config) =>
  secretKeys === null ? keptSecretKeysFile(dataDir) : 'PAWL_SECRET_KEYS'

function keysOf(config: Config, newKey: boolean) {
  if (!newKey) return config.secretKeys ?? keptSecretKeys(config.dataDir)
  if (config.secretKeys !== null)
    throw new Stop(
      '--new-key is for keys that are kept in the data directory; PAWL_SECRET_KEYS is set: add a key to it instead, as the last one first',
    )
  return addKeptSecretKey(config.dataDir)
}

async function rotate(pool: Pool, config: Config, sealing: Sealing): Promise<boolean> {
  const { db } = pool
  if (!(await isAtHead(db).catch(() => false)))
    throw new Stop('the database is of another version of Pawl: start this one first, or run npm run migrate')
  const [seals, ...open] = sealing.keyIds
  say(`Keys: ${seals} seals${open.length > 0 ? `, ${open.join(', ')} only open` : ''}.`)
  for (const { keyId, count } of await missingKeys(db, sealing)) {
    throw new Stop(
      `${counted(count)} cannot be opened: the key ${keyId} is not in ${where(config)}; put it back, after the one that seals. Nothing was changed`,
    )
  }
  const total: Resealed[] = []
  for (let pass = 1; pass <= passes; pass++) {
    const done: Resealed[] = []
    for (const column of sealedColumns) done.push(await reseal(db, sealing, column, { told: progress }))
    if (pass === 1 || done.some(({ resealed }) => resealed > 0)) total.push(...done)
    if (done.every(({ resealed, overtaken }) => resealed + overtaken === 0)) break
  }
  for (const { name } of sealedColumns) {
    const resealed = total.filter((each) => each.name === name).reduce((sum, each) => sum + each.resealed, 0)
    say(`${name}: ${resealed} sealed anew.`)
  }
  for (const id of new Set(total.flatMap(({ unopened }) => unopened)))
    say(`What ${id} holds cannot be opened with the key that it names: it was changed or moved. It was left as it is.`)
  return summary(db, config, sealing)
}

const progress = ({ name, resealed }: Resealed) => {
  if (resealed > 0 && resealed % 1_000 === 0) say(`${name}: ${resealed} so far …`)
}

/** What is left per key; whether nothing is left of any but the first. */
async function summary(db: Pool['db'], config: Config, { keyIds: [seals, ...open] }: Sealing): Promise<boolean> {
  const inUse = new Map((await keysInUse(db)).map(({ keyId, count }) => [keyId, count]))
  say(`Sealed with ${seals}: ${inUse.get(seals) ?? 0}.`)
  for (const keyId of open) {
    const left = inUse.get(keyId) ?? 0
    say(
      left === 0
        ? `Sealed with ${keyId}: 0. Once no process seals with it any more it may be dropped from ${where(config)}.`
        : `Sealed with ${keyId}: ${left}. Some process still seals with it, or rows were held: run this again.`,
    )
  }
  return open.every((keyId) => !inUse.has(keyId))
}

async function main(): Promise<void> {
  const flags = process.argv.slice(2)
  if (flags.some((flag) => flag !== '--new-key'))
    throw new Stop(`${flags.join(' ')} is not known; allowed: nothing, or --new-key`)
  const config = readConfig(process.env)
  const embedded = config.databaseUrl === null ? await startEmbeddedPostgres({ dataDir: config.dataDir }) : null
  try {
    const sealing = createSealing(keysOf(config, flags.includes('--new-key')))
    const url = config.databaseUrl ?? String(embedded?.url)
    const pool = openPool({ url, purpose: 'worker', slots: 1, statementTimeoutMs: 10_000 })
    try {
      if (!(await rotate(pool, config, sealing))) process.exitCode = 1
    } finally {
      await pool.close()
    }
  } finally {
    await embedded?.stop()
  }
}

main().catch((error: unknown) => {
  const told = error instanceof Error ? error.message : String(error)
  process.stderr.write(`Not rotated: ${told.replace(/\.$/, '')}.\n`)
  process.exitCode = 1
})
