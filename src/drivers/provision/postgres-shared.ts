// One embedded cluster for all Pawl processes of a machine that share a data directory. Whoever can start it owns it
// and publishes its address in a file that only this user reads; the others connect to that. When the owner is gone,
// the next one to notice starts it again, or takes it over running, on the same port: connection URLs outlive owners.
import { randomBytes } from 'node:crypto'
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connect } from './postgres-session.ts'

export interface StartedCluster {
  /** Superuser on the maintenance database. The same for as long as it runs. */
  readonly url: string
  stop(): Promise<void>
}

/**
 * Starts the cluster of a directory, or takes over one that a killed owner left; rejects at once while another living
 * process owns it. `port` is the one that it had before, which it must have again; null when it never ran.
 */
export type StartCluster = (at: { dataDir: string; port: number | null }) => Promise<StartedCluster>

export interface SharedClusterOptions {
  readonly directory: string
  readonly startCluster: StartCluster
  readonly connect: Connect
  /** How long to wait for the address of an owner that may be starting it at this moment. Default 10 s. */
  readonly waitForOwnerMs?: number
  /** How often a process that is not the owner looks whether there still is one. Default 5 s. */
  readonly watchMs?: number
}

const ASK_OWNER_EVERY_MS = 100

export class SharedCluster {
  readonly #options: SharedClusterOptions
  readonly #file: string
  #own: StartedCluster | null = null
  #borrowed: string | null = null
  #finding: Promise<string> | null = null
  #watch: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SharedClusterOptions) {
    this.#options = options
    this.#file = join(options.directory, 'address.json')
  }

  /** Its address, once it runs: started here, or by another process. Rejects with one sentence. */
  url(): Promise<string> {
    const known = this.#own?.url ?? this.#borrowed
    if (known !== null) return Promise.resolve(known)
    this.#finding ??= this.#find().finally(() => {
      this.#finding = null
    })
    return this.#finding
  }

  /** To be called when it could not be reached: the address of another owner is not believed any longer. */
  lost(): void {
    this.#borrowed = null
  }

  /** Whether it was ever made: then what is in it should be reachable without being asked for. */
  made(): Promise<boolean> {
    return access(this.#file).then(
      () => true,
      // What cannot be looked at may well be there.
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    )
  }

  /** Stops it if it was started here; the next process that needs it starts it again. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#watch)
    await this.#finding?.catch(() => {})
    const own = this.#own
    this.#own = null
    await own?.stop()
  }

  async #find(): Promise<string> {
    const giveUpAt = Date.now() + (this.#options.waitForOwnerMs ?? 10_000)
    for (;;) {
      if (this.#closed) throw new Error('The provisioner is closed')
      const refusal = await this.#start()
      if (refusal === null && this.#own !== null) return (this.#own as StartedCluster).url
      const published = await this.#published()
      if (published !== null && (await this.#answers(published.url))) return this.#borrow(published.url)
      if (Date.now() > giveUpAt) throw refusal
      await sleep(ASK_OWNER_EVERY_MS)
    }
  }

  /** Null when it was started here. */
  async #start(): Promise<Error | null> {
    const { directory, startCluster } = this.#options
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const cluster = await startCluster({ dataDir: directory, port: (await this.#published())?.port ?? null })
      this.#own = cluster
      clearInterval(this.#watch)
      await this.#publish(cluster.url)
      return null
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  #borrow(url: string): string {
    this.#borrowed = url
    clearInterval(this.#watch)
    this.#watch = setInterval(() => void this.#look(url), this.#options.watchMs ?? 5_000).unref()
    return url
  }

  async #look(url: string): Promise<void> {
    if (this.#closed || this.#own !== null || (await this.#answers(url))) return
    this.lost()
    await this.url().catch(() => {})
  }

  /** That the password is accepted there, and the server knows it too, shows that it is the right cluster. */
  async #answers(url: string): Promise<boolean> {
    try {
      const session = await this.#options.connect(url)
      await session.retire(false)
      return true
    } catch {
      return false
    }
  }

  async #published(): Promise<{ url: string; port: number } | null> {
    try {
      const { url } = JSON.parse(await readFile(this.#file, 'utf8')) as { url: string }
      return { url, port: Number(new URL(url).port) }
    } catch {
      return null
    }
  }

  /** Whole or not at all, and readable by this user alone from its first byte. */
  async #publish(url: string): Promise<void> {
    const draft = `${this.#file}.${randomBytes(4).toString('hex')}`
    try {
      const handle = await open(draft, 'wx', 0o600)
      await handle.writeFile(JSON.stringify({ url }))
      await handle.sync()
      await handle.close()
      await rename(draft, this.#file)
    } finally {
      await rm(draft, { force: true })
    }
  }
}
