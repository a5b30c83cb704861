// PostgreSQL without an installation: makes a cluster in a data directory on the first start, runs it on a
// free loopback port with a generated password, keeps it running, takes over one that a killed owner left, and
// refuses a directory that a living process owns. It knows nothing of our tables; any number of clusters may run, one
// per data directory.

import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { findBinaries, type Major } from './embedded-binaries.ts'
import { CLUSTER_USER, ensureCluster, readPassword } from './embedded-cluster.ts'
import { clusterIdentity } from './embedded-identity.ts'
import { keepRunning } from './embedded-keeper.ts'
import { claimOwnership, unusable } from './embedded-owner.ts'
import { findRunning } from './embedded-process.ts'

export interface EmbeddedOptions {
  /** Made if missing, with mode 0700. One process at a time owns it. */
  readonly dataDir: string
  readonly major?: Major
  /** False switches fsync off: for tests only, a power cut then loses the cluster. */
  readonly durable?: boolean
  /** PostgreSQL settings on top of, or instead of, ours. */
  readonly settings?: Readonly<Record<string, string>>
  /** The port that it must have, as when clients know it already; without it a free one is taken. */
  readonly port?: number
  /** Receives one line for each thing worth telling: cluster made, adopted, died, restarted. */
  readonly log?: (line: string) => void
}

export interface EmbeddedPostgres {
  /** Superuser on database `postgres`; holds the password. The same for as long as it runs. */
  readonly url: string
  readonly port: number
  readonly major: Major
  /** Whether it ran already, left behind by an owner that was killed. */
  readonly adopted: boolean
  /** The postmaster's process id now; another one after a crash and restart. */
  readonly pid: number
  /** Fast shutdown (sessions end, all is written to disk), then the directory is free. May be called again. */
  stop(): Promise<void>
}

/** Starts, or adopts, the cluster of a data directory; returns when it accepts connections. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { major = 18, durable = true, log = () => {} } = options
  if (process.platform === 'win32') throw new Error('The embedded PostgreSQL needs Linux or macOS; set DATABASE_URL.')
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 }).catch((error: Error) => {
    throw unusable(options.dataDir, error)
  })
  const dataDir = await realpath(options.dataDir)
  const ownership = claimOwnership(dataDir)
  try {
    const folder = join(dataDir, 'postgres')
    const identity = await clusterIdentity(folder)
    const cluster = { folder, identity, binaries: await findBinaries(major, identity) }
    if (await ensureCluster(cluster, major, durable)) log(`made a PostgreSQL ${major} cluster in ${folder}`)
    const password = await readPassword(folder)
    const keeper = await keepRunning(cluster, { ...defaults(major, durable), ...options.settings }, log, options.port)
    const { port } = keeper.current()
    let stopped: Promise<void> | undefined
    return {
      url: urlOf(port, password),
      port,
      major,
      adopted: keeper.adopted,
      get pid() {
        return keeper.current().pid
      },
      stop() {
        stopped ??= keeper.stop().finally(() => ownership.release())
        return stopped
      },
    }
  } catch (error) {
    ownership.release()
    throw error
  }
}

/** The URL of the cluster of a data directory while it runs, for who only looks in; null when it does not. Makes and starts nothing. */
export async function runningEmbeddedPostgres(dataDir: string): Promise<string | null> {
  const folder = join(await realpath(dataDir).catch(() => dataDir), 'postgres')
  const running = await findRunning(folder)
  return running === undefined ? null : urlOf(running.port, await readPassword(folder))
}

const urlOf = (port: number, password: string) => `postgres://${CLUSTER_USER}:${password}@127.0.0.1:${port}/postgres`

/** For a laptop: small, quick to start, reachable from this machine only, and no row contents in its log. */
function defaults(major: Major, durable: boolean): Record<string, string> {
  return {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '100',
    shared_buffers: '128MB',
    jit: 'off',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    ...(major >= 18 ? { io_method: 'sync' } : {}),
    ...(durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
  }
}
