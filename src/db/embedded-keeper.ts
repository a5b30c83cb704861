// Keeps one cluster running: adopts what a killed owner left, starts it otherwise, and starts it again on the
// same port when it dies under us, so that its URL holds for the life of the process. Callers see a database
// that restarts, which they must bear anyway.

import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Cluster,
  findRunning,
  isRunning,
  type Postmaster,
  startPostmaster,
  stopPostmaster,
} from './embedded-process.ts'

/** A port may be taken between choosing and binding; sessions of a killed postmaster take a moment to end. */
const START_TRIES = 60
const START_RETRY_MS = 100
const PORT_TRIES = 50
const LOWEST_PORT = 20_000
const PAST_HIGHEST_PORT = 32_768
const MAY_PASS = /could not create any TCP\/IP sockets|is still in use/
const RESTART_MAX_WAIT_MS = 5_000
const WATCH_ADOPTED_MS = 500

export interface Keeper {
  readonly adopted: boolean
  /** The postmaster now; its port never changes. */
  current(): Postmaster
  /** Fast shutdown; returns when it is gone. */
  stop(): Promise<void>
}

/** Returns when the cluster accepts connections; throws what PostgreSQL said if it never does. */
export async function keepRunning(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  log: (line: string) => void,
  port?: number,
): Promise<Keeper> {
  let stopping = false
  let recovery: Promise<void> = Promise.resolve()
  let watch: NodeJS.Timeout | undefined

  const ended = (how: string) => {
    if (!stopping) recovery = restart(how)
  }
  const restart = async (how: string) => {
    log(`PostgreSQL (pid ${current.pid}) ended without being asked (${how}); starting it again`)
    for (let waitMs = START_RETRY_MS; !stopping; waitMs = Math.min(waitMs * 2, RESTART_MAX_WAIT_MS)) {
      try {
        current = await start(cluster, settings, ended, current.port)
        log(`PostgreSQL runs again (pid ${current.pid})`)
        return
      } catch (error) {
        log((error as Error).message)
        await sleep(waitMs, undefined, { ref: false })
      }
    }
  }

  const running = await findRunning(cluster.folder)
  let current = running ?? (await start(cluster, settings, ended, port))
  if (running !== undefined) {
    log(`adopted PostgreSQL (pid ${running.pid}), which a killed owner left running`)
    watch = setInterval(() => {
      if (isRunning(cluster.folder, running.pid)) return
      clearInterval(watch)
      ended('adopted')
    }, WATCH_ADOPTED_MS).unref()
  }
  return {
    adopted: running !== undefined,
    current: () => current,
    async stop() {
      stopping = true
      clearInterval(watch)
      await recovery
      await stopPostmaster(cluster.folder, current.pid)
    },
  }
}

async function start(
  cluster: Cluster,
  settings: Readonly<Record<string, string>>,
  onExit: (how: string) => void,
  fixedPort?: number,
): Promise<Postmaster> {
  for (let attempt = 1; ; attempt++) {
    const port = fixedPort ?? (await freePort())
    try {
      return await startPostmaster(cluster, { port: String(port), ...settings }, onExit)
    } catch (error) {
      if (attempt === START_TRIES || !MAY_PASS.test((error as Error).message)) throw error
      await sleep(START_RETRY_MS)
    }
  }
}

/** A random free port of a range that is not used for outgoing connections, which could take it meanwhile. */
async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = attempt <= PORT_TRIES ? randomInt(LOWEST_PORT, PAST_HIGHEST_PORT) : 0
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
      return (server.address() as AddressInfo).port
    } catch (error) {
      if (port === 0) throw error
    } finally {
      server.close()
    }
  }
}
