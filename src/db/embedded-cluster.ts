// The files of an embedded cluster: `postgres` (the cluster), `postgres.password` and `postgres.log` in the
// data directory. A cluster is made beside its place and renamed when whole, so a start that was cut off
// leaves nothing that looks like a database.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { BINARY_ENVIRONMENT, type Major } from './embedded-binaries.ts'
import { CLUSTER_HANDLE, type Cluster, clusterArgument } from './embedded-process.ts'

/** The only role of a new cluster, a superuser. */
export const CLUSTER_USER = 'pawl'

const DRAFT = '.new-'

/** Makes the cluster if there is none. Returns whether it did; throws one line if what is there is not usable. */
export async function ensureCluster(cluster: Cluster, major: Major, durable: boolean): Promise<boolean> {
  const { folder } = cluster
  if ((await stat(folder).catch(() => undefined)) === undefined) {
    await initialise(cluster, major, durable)
    return true
  }
  const found = await readFile(join(folder, 'PG_VERSION'), 'utf8').catch(() => undefined)
  if (found === undefined && (await readdir(folder)).length > 0) {
    throw new Error(`${folder} is not a PostgreSQL cluster that this process can read; give another PAWL_DATA_DIR.`)
  }
  if (found !== undefined && found.trim() !== String(major)) {
    throw new Error(
      `The database in ${folder} was made by PostgreSQL ${found.trim()} and this Pawl brings PostgreSQL ${major}; ` +
        'give another PAWL_DATA_DIR, or dump it with the version that made it and restore.',
    )
  }
  if (found === undefined) {
    await rm(folder, { recursive: true })
    await initialise(cluster, major, durable)
    return true
  }
  return false
}

/** The password of the cluster's role. */
export async function readPassword(folder: string): Promise<string> {
  try {
    return (await readFile(passwordFile(folder), 'utf8')).trim()
  } catch (error) {
    throw new Error(`The password of the database in ${folder} cannot be read: ${(error as Error).message}`)
  }
}

function passwordFile(folder: string): string {
  return `${folder}.password`
}

async function initialise(cluster: Cluster, major: Major, durable: boolean): Promise<void> {
  await removeDrafts(cluster.folder)
  const draft = { ...cluster, folder: `${cluster.folder}${DRAFT}${randomBytes(4).toString('hex')}` }
  const given = `${draft.folder}.password`
  const password = `${randomBytes(32).toString('base64url')}\n`
  await mkdir(draft.folder, { mode: 0o700 })
  await writeFile(given, password, { mode: 0o600, flag: 'wx' })
  const { uid, gid } = cluster.identity
  if (uid !== undefined && gid !== undefined) {
    for (const path of [draft.folder, given]) await chown(path, uid, gid)
  }
  const directoryHandle = openSync(draft.folder, 'r')
  const passwordHandle = openSync(given, 'r')
  try {
    await runInitdb(draft, [directoryHandle, passwordHandle], major, durable)
  } finally {
    closeSync(directoryHandle)
    closeSync(passwordHandle)
    await rm(given, { force: true })
  }
  await rm(passwordFile(cluster.folder), { force: true })
  await writeFile(passwordFile(cluster.folder), password, { mode: 0o600, flag: 'wx', flush: durable })
  await rename(draft.folder, cluster.folder)
  if (durable) syncDirectory(dirname(cluster.folder))
}

/** What starts that were cut off have left. */
async function removeDrafts(folder: string): Promise<void> {
  for (const name of await readdir(dirname(folder))) {
    if (name.startsWith(`${basename(folder)}${DRAFT}`)) {
      await rm(join(dirname(folder), name), { recursive: true, force: true, maxRetries: 3 })
    }
  }
}

function syncDirectory(path: string): void {
  const handle = openSync(path, 'r')
  fsyncSync(handle)
  closeSync(handle)
}

/** Directory and password go in as open files, because that user may not be able to reach any path of ours. */
async function runInitdb(cluster: Cluster, handles: number[], major: Major, durable: boolean): Promise<void> {
  const builtin = major >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []
  const child = spawn(
    join(cluster.binaries, 'bin/initdb'),
    [
      `--pgdata=${clusterArgument(cluster)}`,
      `--username=${CLUSTER_USER}`,
      `--pwfile=/dev/fd/${CLUSTER_HANDLE + 1}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      ...builtin,
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ],
    {
      ...cluster.identity,
      cwd: cluster.folder,
      env: BINARY_ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'pipe', ...handles],
    },
  )
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-4096)
  })
  await new Promise<void>((resolve, reject) => {
    const fail = (how: string) => {
      const lines = said.trim().split('\n')
      const line = lines.find((text) => /error|fatal/i.test(text)) ?? lines.at(-1)
      reject(new Error(`PostgreSQL could not make a database in ${cluster.folder} (${how}): ${line}`))
    }
    child.once('error', (error) => fail(error.message))
    child.once('close', (code, signal) => (code === 0 ? resolve() : fail(signal ?? `exit code ${code}`)))
  })
}
