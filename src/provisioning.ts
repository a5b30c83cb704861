// How provisioners get what they need from the rest: settings, and connections as the database client makes them. Nothing is
// connected to or started here.
import type { Config } from './config.ts'
import { startupSettings } from './db/settings.ts'
import { openSlot } from './db/slot.ts'
import { readTarget } from './db/socket.ts'
import type { Connect, StartCluster } from './drivers/provision/postgres.ts'
import { createProvisioners, type Provisioners } from './drivers/provision/provisioners.ts'

/** What a provisioner's statement may take on the server; making a database copies files. */
const limits = { statementTimeoutMs: 30_000, lockTimeoutMs: 3_000 }

const connect: Connect = (url) =>
  openSlot({
    target: readTarget(url),
    applicationName: 'pawl-provision',
    settings: startupSettings(limits, new Set()),
    connectTimeoutMs: 3_000,
    deadlineMs: limits.statementTimeoutMs + 1_000,
    preparedStatements: false,
  })

/** One provisioner of each type. `controlUrl` is our own database: its server is never used for resources. */
export const provisionersFor = (
  config: Config,
  controlUrl: string,
  installation: string,
  startCluster: StartCluster,
  onlyReads = false,
): Provisioners =>
  createProvisioners({
    installation,
    onlyReads,
    postgresUrl: config.provisionPostgresUrl,
    redisUrl: config.redisUrl,
    dataDir: config.dataDir,
    controlUrl,
    connect,
    startCluster,
  })
