// The PostgreSQL on which resources are made: the one of PAWL_PROVISION_POSTGRES_URL, or an embedded cluster of our own. Before
// it is used it is checked once: that it is not the control plane's, that our role may do enough, and that the role of
// a resource could enter no other database.
import { join } from 'node:path'
import { type Outcome, refused, unreachable } from '../outcome.ts'
import { prepareLedger } from './postgres-ledger.ts'
import { type Connect, codeOf, Ended, givenUp, type Line, onSession } from './postgres-session.ts'
import { SharedCluster, type StartCluster } from './postgres-shared.ts'

export interface PostgresServerOptions {
  /** Stands on all that is made: only what carries it is told as owned. */
  readonly installation: string
  /** Leads to PostgreSQL 15 or later itself, not to a pooler. Null: an embedded cluster under `dataDir`. */
  readonly url: string | null
  readonly dataDir: string
  readonly startCluster: StartCluster
  readonly connect: Connect
  /** The control plane's own database: resources are never made on its server. */
  readonly controlUrl?: string
  /** For whoever only looks: makes no ledger where there is none. */
  readonly onlyReads?: boolean
}

/** What a call may do on this server. */
export interface ServerFacts {
  readonly superuser: boolean
  readonly version: number
}

const CONTROL_PLANE =
  'PAWL_PROVISION_POSTGRES_URL leads to the server of the control plane: give resources a server of their own'
const OWN_SETTINGS = '-c search_path=pg_catalog -c role=none -c default_transaction_read_only=off'
const OLDEST_VERSION = 150_000

export class PostgresServer {
  readonly #options: PostgresServerOptions
  readonly #shared: SharedCluster | null
  #facts: { readonly url: string; readonly facts: ServerFacts } | null = null

  constructor(options: PostgresServerOptions) {
    this.#options = options
    const { url, dataDir, startCluster, connect } = options
    const directory = join(dataDir, 'provision')
    this.#shared = url === null ? new SharedCluster({ directory, startCluster, connect }) : null
  }

  /** Starts the embedded cluster if it was made before, so that the resources in it can be reached. */
  async start(): Promise<void> {
    if (this.#shared !== null && !(await this.isUnmade())) await this.#shared.url()
  }

  /** Whether it was never made, so that nothing can be in it. Starts nothing. */
  async isUnmade(): Promise<boolean> {
    return this.#shared !== null && !(await this.#shared.made())
  }

  async close(): Promise<void> {
    await this.#shared?.close()
  }

  /** Runs the work of one call on a connection of its own, to a server that has been checked. Never throws. */
  async call<T>(
    signal: AbortSignal,
    work: (line: Line, facts: ServerFacts) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> {
    for (const lastTry of [false, true]) {
      if (signal.aborted) return givenUp()
      try {
        const url = await unlessAborted(this.#url(), signal)
        return await onSession(this.#dial(signal), url, signal, async (line) =>
          work(line, await this.#check(line, url)),
        )
      } catch (error) {
        if (signal.aborted) return givenUp()
        if (error instanceof NoCluster) return unreachable(error.message)
        this.#shared?.lost()
        if (lastTry || this.#shared === null) return unreachable(`PostgreSQL cannot be reached (${codeOf(error)})`)
      }
    }
    return givenUp()
  }

  /**
   * On the database of a resource; for what can be done only there. Its owner decides what a session there begins with, a
   * search path full of traps for instance; what we say when connecting outweighs that.
   */
  async inDatabase<T>(
    name: string,
    signal: AbortSignal,
    work: (line: Line) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> {
    const url = new URL(await this.#url())
    url.pathname = `/${encodeURIComponent(name)}`
    url.searchParams.set('options', OWN_SETTINGS)
    return onSession(this.#dial(signal), url.href, signal, work).catch((error) =>
      unreachable(`The database ${name} cannot be entered (${codeOf(error)})`),
    )
  }

  /** How a client connects as a role of that name to the database of that name. */
  async addressOf(name: string, password: string): Promise<string> {
    const url = new URL(await this.#url())
    const sslMode = url.searchParams.get('sslmode')
    url.search = ''
    if (sslMode !== null) url.searchParams.set('sslmode', sslMode)
    url.username = name
    url.password = password
    url.pathname = `/${name}`
    return url.href
  }

  #url(): Promise<string> {
    if (this.#shared === null) return Promise.resolve(this.#options.url as string)
    return this.#shared.url().catch((error: Error) => {
      throw new NoCluster(`The PostgreSQL for resources does not run: ${error.message}`)
    })
  }

  /** A connection that comes too late is ended. */
  #dial(signal: AbortSignal): Connect {
    return (url) => {
      const coming = this.#options.connect(url)
      return unlessAborted(coming, signal).catch((error) => {
        coming.then((session) => session.retire(true)).catch(() => {})
        throw error
      })
    }
  }

  async #check(line: Line, url: string): Promise<ServerFacts> {
    if (this.#facts?.url === url) return this.#facts.facts
    await this.#refuseControlPlane(line)
    const [row = {}] = await line.ask(
      'check',
      `SELECT rolsuper AS superuser, rolsuper OR (rolcreatedb AND rolcreaterole) AS enough,
        current_setting('server_version_num')::integer AS version FROM pg_roles WHERE rolname = current_user`,
    )
    const facts = { superuser: row.superuser === true, version: Number(row.version) }
    if (facts.version < OLDEST_VERSION) throw new Ended(refused('PostgreSQL 15 or later is needed for resources'))
    if (row.enough !== true) {
      throw new Ended(refused('The role of PAWL_PROVISION_POSTGRES_URL needs CREATEDB and CREATEROLE, or superuser'))
    }
    if (this.#options.onlyReads !== true) await prepareLedger(line)
    this.#facts = { url, facts }
    return facts
  }

  async #refuseControlPlane(line: Line): Promise<void> {
    const { controlUrl, connect } = this.#options
    if (controlUrl === undefined) return
    const control = await identityOf(controlUrl, connect).catch((error) => {
      throw new Ended(unreachable(`The control plane's database cannot be reached (${codeOf(error)})`))
    })
    if (control === (await systemIdentifier(line))) throw new Ended(refused(CONTROL_PLANE))
  }
}

class NoCluster extends Error {}

/** Rejects with one sentence when both URLs lead to one and the same server, by whatever address. */
export async function assertNotControlPlane(url: string, controlUrl: string, connect: Connect): Promise<void> {
  const [one, other] = await Promise.all([identityOf(url, connect), identityOf(controlUrl, connect)])
  if (one === other) throw new Error(CONTROL_PLANE)
}

async function identityOf(url: string, connect: Connect): Promise<string> {
  const never = new AbortController().signal
  const outcome = await onSession(connect, url, never, async (line) => ({
    kind: 'done' as const,
    value: await systemIdentifier(line),
  }))
  if (outcome.kind === 'done') return outcome.value
  throw new Error(outcome.kind)
}

/** Made by initdb, the same for all databases of a cluster and its standbys, different for every other cluster. */
async function systemIdentifier(line: Line): Promise<string> {
  const [row] = await line.ask('identity', 'SELECT system_identifier::text AS id FROM pg_control_system()')
  return String(row?.id)
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(new Error('aborted'))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
}
