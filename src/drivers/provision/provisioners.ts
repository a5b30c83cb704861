// The one list of what can be provisioned. Another type is a file beside this one, a word in ResourceType, and a line here.
import type { Provisioner, ResourceType } from './driver.ts'
import { createPostgresProvisioner } from './postgres.ts'
import type { PostgresServerOptions } from './postgres-server.ts'
import { createRedisProvisioner } from './redis.ts'

/** What provisioners are given; each takes its part. */
export interface ProvisionSettings extends Omit<PostgresServerOptions, 'url'> {
  /** PAWL_PROVISION_POSTGRES_URL. */
  readonly postgresUrl: string | null
  /** PAWL_REDIS_URL. */
  readonly redisUrl: string | null
}

/** A provisioner that may have something to start before it is asked, and to stop at the end. */
export type RunningProvisioner = Provisioner & { start?(): Promise<void>; close?(): Promise<void> }
export type Provisioners = Readonly<Record<ResourceType, RunningProvisioner>>

const factories: Readonly<Record<ResourceType, (settings: ProvisionSettings) => RunningProvisioner>> = {
  POSTGRES: (settings) => createPostgresProvisioner({ ...settings, url: settings.postgresUrl }),
  REDIS: (settings) => createRedisProvisioner({ url: settings.redisUrl, installation: settings.installation }),
}

/** One of each type; nothing is connected to or started yet. */
export function createProvisioners(settings: ProvisionSettings): Provisioners {
  const made = Object.entries(factories).map(([type, make]) => [type, make(settings)])
  return Object.fromEntries(made) as Provisioners
}

/** Starts what must run without being asked, such as the embedded cluster that holds databases already. */
export async function startProvisioners(provisioners: Provisioners): Promise<void> {
  await Promise.all(Object.values(provisioners).map((one) => one.start?.()))
}

/** Stops what was started, after the last call has ended. */
export async function closeProvisioners(provisioners: Provisioners): Promise<void> {
  await Promise.all(Object.values(provisioners).map((one) => one.close?.()))
}
