// The control plane put together: clients, the API, the worker or both, the loops, on a database and with what runs and makes
// things in the world. main.ts gives it this machine; the proof gives it a world of fakes. All else is the same for both.
import { hostname } from 'node:os'
import { type Config, ConfigError } from './config.ts'
import { openPool, type Pool, type PoolOptions } from './db/client.ts'
import { isAtHead } from './db/migrate.ts'
import { openNudge } from './db/nudge.ts'
import { lostSettings } from './db/settings.ts'
import type { ResourceType } from './drivers/provision/driver.ts'
import { closeProvisioners, type Provisioners, startProvisioners } from './drivers/provision/provisioners.ts'
import type { RuntimeDriver } from './drivers/runtime/driver.ts'
import { addressFault } from './drivers/webhook/address.ts'
import { watchKeys } from './key-watch.ts'
import { createHub } from './live/hub.ts'
import type { Log } from './log.ts'
import type { Timing } from './loops/claim.ts'
import { countMoves, type Told } from './loops/count.ts'
import { startDeliverer } from './loops/deliver.ts'
import { deploymentEffects } from './loops/deployment-effect.ts'
import { type Dispatcher, startDispatcher } from './loops/dispatch.ts'
import { exchangeUsageLoop } from './loops/exchange-usage.ts'
import { expireLoop } from './loops/expire.ts'
import { type Loop, type LoopDeclaration, startLoop } from './loops/loop.ts'
import { measureLoop } from './loops/measure.ts'
import { reconcileInstancesLoop } from './loops/reconcile-instances.ts'
import { resourceEffects } from './loops/resource-effect.ts'
import { sequenceLoop } from './loops/sequence.ts'
import { stackEffects } from './loops/stack-effect.ts'
import { sweepLoop } from './loops/sweep.ts'
import { resourceHolders, workloadHolder } from './loops/sweep-orphan.ts'
import { teardownLoop } from './loops/teardown.ts'
import { trimLoop } from './loops/trim.ts'
import { createMetrics, type Loop as LoopName, type Metrics } from './metrics.ts'
import { kept } from './metrics-gauge.ts'
import { createOidcVerifier } from './oidc.ts'
import { createRateLimit } from './rate-limit.ts'
import { bootstrap } from './resolvers/first-team.ts'
import { installationOf } from './resolvers/installation.ts'
import { instanceCounts, oldestPassing, operationCounts } from './resolvers/passing.ts'
import { missingKeys } from './resolvers/sealed.ts'
import { graphqlOperations, schema } from './schema/schema.ts'
import { createSealing, type Sealing } from './sealing.ts'
import { keptSecretKeys } from './secret-keys.ts'
import { createHttpServer, type PawlServer } from './server.ts'
import { readTrustedDocuments } from './server-trusted.ts'
import type { Shutdown } from './shutdown.ts'
import { welcome } from './welcome.ts'

/** How long effects that run may take to end at a shutdown. */
const drainMs = 30_000
const startedAt = performance.now()

/** What it works on: a database at the newest migration, and drivers, which are made for the installation of that id. */
export interface World {
  readonly url: string
  runtime(installation: string): RuntimeDriver
  provisioners(installation: string): Provisioners
  /** Around every connection of the API and the worker, as in `PoolOptions`. */
  readonly wrap?: PoolOptions['wrap']
  /** How often loops run, where that differs from what they declare. */
  readonly everyMs?: Readonly<Partial<Record<LoopName, number>>>
  /** Of claims and calls of drivers, where it differs from what the dispatcher has. */
  readonly timing?: Partial<Timing>
}

/**
 * Starts it, and says so once it serves; what was started is taken down by `down`, also after a start that throws. The world
 * is opened when the configuration is known to be whole.
 */
export async function startControlPlane(
  config: Config,
  openWorld: () => Promise<World>,
  log: Log,
  down: Shutdown,
): Promise<void> {
  const { introspection, trustedDocuments } = config
  const trust =
    trustedDocuments === null ? null : readTrustedDocuments(trustedDocuments, schema, introspection !== 'off')
  const world = await openWorld()
  const { url } = world
  const around = world.wrap ? { wrap: world.wrap } : {}

  const health = open({ purpose: 'health', url, slots: 1, statementTimeoutMs: 2_000 }, down)
  // Apart, so that readiness never waits for figures, nor those that are found at once for those that take a while.
  const gauges = open({ purpose: 'gauges', url, slots: 2, statementTimeoutMs: 10_000 }, down)
  const work = open({ purpose: 'worker', url, slots: 8, statementTimeoutMs: 10_000, ...around }, down)
  const api =
    config.role === 'worker'
      ? null
      : open({ purpose: 'api', url, slots: 12, statementTimeoutMs: 5_000, ...around }, down)
  const metrics = createMetrics({ graphqlOperations, processMetrics: true })
  metrics.collectFrom({
    operations: () => operationCounts(gauges.db),
    oldestRows: () => oldestPassing(gauges.db),
    instances: kept(() => instanceCounts(gauges.db)),
    dbPool: () => summed([health, gauges, work, ...(api ? [api] : [])]),
  })
  for (const setting of await lostSettings(work.db)) {
    log.warn(
      `the connection setting ${setting} is lost on the way (a pooler?): give it to the role with ALTER ROLE … SET`,
    )
  }
  const sealing = createSealing(config.secretKeys ?? keptSecretKeys(config.dataDir))
  const keys = watchKeys(() => missingKeys(work.db, sealing), log)
  await keys.allHeld()
  const installation = await installationOf(work.db)
  const driver = world.runtime(installation)
  const provisioners = world.provisioners(installation)
  down.add('clients', 'the provisioners', () => closeProvisioners(provisioners))
  const nudges = openNudge({ url, channel: 'pawl_operations' })
  down.add('clients', 'nudges between processes', () => nudges.close())

  const hub = createHub({ db: work.db, log })
  const eventNudges = openNudge({ url, channel: 'pawl_events' })
  down.add('clients', 'nudges of followers', () => eventNudges.close())
  const deliverer =
    config.role === 'api'
      ? null
      : startDeliverer({ db: work.db, sealing, metrics, log, posting: { allowed: config.webhookAllow } })
  if (deliverer) down.add('work', 'deliveries to webhooks', () => deliverer.drain())
  await eventNudges.listen(() => {
    if (api) hub.nudge()
    deliverer?.nudge()
  })
  const start: Start = (loop) =>
    startLoop({ ...loop, everyMs: world.everyMs?.[loop.name] ?? loop.everyMs }, { metrics, log })
  const sequencer = start(sequenceLoop(work.db, () => eventNudges.send()))
  down.add('work', 'the sequencer', () => sequencer.stop())
  const worker =
    config.role === 'api'
      ? null
      : startWorker({ config, world, start, work, driver, provisioners, sealing, metrics, log }, down)
  if (worker) await nudges.listen(() => worker.nudge())
  const rate = createRateLimit()
  const oidc = config.oidc && oidcFor(config.oidc, log)
  if (api) {
    const exchange = start(exchangeUsageLoop(work.db, rate))
    down.add('work', 'the exchange of what was spent', () => exchange.stop())
  }
  let begun = false
  const server = createHttpServer({
    graphql: api && {
      db: api.db,
      hub,
      rate,
      oidc,
      images: driver,
      sealing,
      introspection,
      trust,
      resourceTypes: (type) => provisioners[type].unavailable,
      webhookFault: (url) => addressFault(url, { allowed: config.webhookAllow }),
      nudge: () => {
        sequencer.nudge()
        worker?.nudge()
        nudges.send()
      },
    },
    metrics,
    log,
    ready: async () => begun && !down.begun && (await isAtHead(health.db)) && (await keys.allHeld()),
  })
  const address = config.port === null ? null : await listen(server, config.host, config.port)
  down.add('requests', 'requests', () => server.stop(drainMs))
  // When all else is up: a start that fails must not have stored the one token that is shown once, unshown.
  const token = await bootstrap(work.db, config.bootstrapToken)
  begun = true
  process.stdout.write(welcome({ address, token, role: config.role, tookMs: performance.now() - startedAt }))
}

type Start = (loop: LoopDeclaration) => Loop

interface WorkerParts {
  readonly config: Config
  readonly world: World
  readonly start: Start
  readonly work: Pool
  readonly driver: RuntimeDriver
  readonly provisioners: Provisioners
  readonly sealing: Sealing
  readonly metrics: Metrics
  readonly log: Log
}

/** The dispatcher and the loops. All of them may run in any number of processes. */
function startWorker(
  { config, world, start, work, driver, provisioners, sealing, metrics, log }: WorkerParts,
  down: Shutdown,
): Dispatcher {
  const { db } = work
  const provisionerOf = (type: ResourceType) => provisioners[type]
  // What holds resources already must be reachable after a restart; a start must not wait for it, nor fail with it.
  startProvisioners(provisioners).catch((error: unknown) => log.error('a provisioner did not start', { error }))
  const workerId = `${hostname()}-${process.pid}-${crypto.randomUUID().slice(0, 8)}`
  const dispatcher = startDispatcher(
    [
      ...deploymentEffects(db, driver, sealing),
      ...resourceEffects(db, provisionerOf, sealing),
      ...stackEffects(db, driver, sealing),
    ],
    { db, metrics, log, workerId, ...(world.timing ? { timing: world.timing } : {}) },
  )
  const told: Told = (rule, count) => {
    countMoves(metrics, rule, count)
    dispatcher.nudge()
  }
  const loops: Loop[] = [
    expireLoop(db, told),
    teardownLoop(db, told),
    reconcileInstancesLoop(db, driver, told),
    measureLoop(db, provisionerOf, told),
    sweepLoop(db, [workloadHolder(driver), ...resourceHolders(Object.values(provisioners))], { told, log }),
    trimLoop(db, config.retention),
  ].map(start)
  down.add('work', 'operations', () => dispatcher.drain(drainMs))
  down.add('work', 'loops', async () => void (await Promise.all(loops.map((loop) => loop.stop()))))
  return dispatcher
}

/** An issuer that is down stops no start: its keys are asked for in good time, and again when a token needs them. */
function oidcFor({ issuer, audience }: NonNullable<Config['oidc']>, log: Log) {
  const onFault = (error: Error) => log.warn('the OIDC issuer does not give its keys', { error })
  const verifier = createOidcVerifier({ issuer, audience, onFault })
  void verifier.warm()
  return verifier
}

function open(options: PoolOptions, down: Shutdown): Pool {
  const pool = openPool(options)
  down.add('clients', `the ${options.purpose} connections`, () => pool.close())
  return pool
}

function summed(pools: readonly Pool[]) {
  const total = { idle: 0, busy: 0, waiting: 0, retired: 0 }
  for (const pool of pools) {
    const stats = pool.stats()
    for (const state of Object.keys(total) as (keyof typeof total)[]) total[state] += stats[state]
  }
  return total
}

async function listen(server: PawlServer, host: string, port: number): Promise<string> {
  const shown = host.includes(':') ? `[${host}]` : host
  try {
    return `http://${shown}:${await server.listen(host, port)}`
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE')
      throw new ConfigError(`PAWL_PORT is ${port}, which another process uses; allowed: a free port, or 0 for any`)
    if (code === 'EACCES')
      throw new ConfigError(
        `PAWL_PORT is ${port}, which this user may not open; allowed: a port from 1024, or 0 for any`,
      )
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new ConfigError(`PAWL_HOST is ${host}, which is not an address of this machine`)
    throw error
  }
}
