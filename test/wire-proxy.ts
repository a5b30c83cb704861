// A TCP proxy between a client and PostgreSQL that does on command what networks do at will (reset, fall silent, lose
// an answer, be slow) and that counts, at the wire, which statements went by and how many round trips they took.
// It works on whole protocol messages, so a fault happens at an exact place in the conversation.

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { messageReader, type WireMessage } from './wire-message.ts'

export interface WireCounts {
  /** Connections that reached the end of their greeting. */
  connections: number
  parse: number
  bind: number
  execute: number
  /** Statements in the simple protocol. */
  query: number
  sync: number
  /** Flushes by Sync, Query or Flush that the server answered: times a client waited for the network. */
  roundTrips: number
  /** Text of each Parse and Query, in order. */
  statements: string[]
}

export interface WireProxy {
  /** The server's URL, through the proxy. */
  readonly url: string
  /** What went by since the start or the last `reset`; the greeting of a connection is not counted. */
  counts(): WireCounts
  /** Sets the counters to zero. */
  reset(): void
  /** Cuts every connection with a TCP reset towards the client; the server sees its side close. */
  cut(): void
  /** From now on nothing is forwarded on any connection, old or new, and nothing is closed. */
  blackHole(): void
  /** New connections work again; those that fell silent stay so, and are closed towards the server. */
  restore(): void
  /** Refuses new connections until `restore`. */
  refuse(): void
  /** Adds a delay to everything that clients send: the cost of one round trip, in ms. */
  delay(ms: number): void
  /**
   * Lets `after` more answers through (default 0), and loses the next one entirely: the server has finished the
   * statement, the client hears nothing; then its connection is reset, or hangs. Resolves when that has happened.
   */
  swallow(options?: { after?: number; then?: 'reset' | 'hang' }): Promise<void>
  /** Resolves when the next message of this type comes from a client (P, B, E, Q, S), after it was forwarded. */
  next(type: string): Promise<void>
  close(): Promise<void>
}

/** Starts a proxy on a free loopback port in front of the server of `url`. */
export async function startWireProxy(url: string): Promise<WireProxy> {
  const proxy = new Middle(new URL(url))
  await proxy.start()
  return proxy
}

interface Swallow {
  after: number
  readonly then: 'reset' | 'hang'
  readonly done: () => void
}

const noCounts = (): WireCounts => ({
  connections: 0,
  parse: 0,
  bind: 0,
  execute: 0,
  query: 0,
  sync: 0,
  roundTrips: 0,
  statements: [],
})

class Middle implements WireProxy {
  readonly #target: URL
  readonly #server: Server = createServer((socket) => this.#accept(socket))
  readonly #links = new Set<Link>()
  #watchers: { type: string; resolve: () => void }[] = []
  tally = noCounts()
  silent = false
  delayMs = 0
  swallowing: Swallow | undefined
  #refusing = false

  constructor(target: URL) {
    this.#target = target
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  get url(): string {
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String((this.#server.address() as { port: number }).port)
    return url.href
  }

  counts(): WireCounts {
    return { ...this.tally, statements: [...this.tally.statements] }
  }

  reset(): void {
    this.tally = noCounts()
  }

  cut(): void {
    for (const link of this.#links) link.cut()
  }

  blackHole(): void {
    this.silent = true
    for (const link of this.#links) link.silent = true
  }

  restore(): void {
    this.silent = false
    this.#refusing = false
    for (const link of this.#links) if (link.silent) link.close()
  }

  refuse(): void {
    this.#refusing = true
  }

  delay(ms: number): void {
    this.delayMs = ms
  }

  swallow({ after = 0, then = 'reset' as const } = {}): Promise<void> {
    return new Promise((done) => {
      this.swallowing = { after, then, done }
    })
  }

  next(type: string): Promise<void> {
    return new Promise((resolve) => this.#watchers.push({ type, resolve }))
  }

  announce(type: string): void {
    const met = this.#watchers.filter((watcher) => watcher.type === type)
    this.#watchers = this.#watchers.filter((watcher) => watcher.type !== type)
    for (const watcher of met) watcher.resolve()
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  #accept(client: Socket): void {
    if (this.#refusing) {
      client.resetAndDestroy()
      return
    }
    const link = new Link(this, client, this.#target, () => this.#links.delete(link))
    this.#links.add(link)
  }
}

/** One connection of a client and its twin to the server. */
class Link {
  silent: boolean
  readonly #proxy: Middle
  readonly #client: Socket
  readonly #server: Socket
  #greeted = false
  /** Sync and Query messages, and Flush messages, that the server has yet to answer. */
  #awaitingReady = 0
  #awaitingFlush = false

  constructor(proxy: Middle, client: Socket, target: URL, onClose: () => void) {
    this.#proxy = proxy
    this.#client = client.setNoDelay(true)
    this.silent = proxy.silent
    this.#server = connect(Number(target.port || 5432), target.hostname).setNoDelay(true)
    const readFrontend = messageReader('frontend')
    const readBackend = messageReader('backend')
    client.on('data', (chunk) => {
      for (const message of readFrontend(chunk)) this.#later(() => this.#fromClient(message))
    })
    this.#server.on('data', (chunk) => {
      for (const message of readBackend(chunk)) this.#fromServer(message)
    })
    for (const [one, other] of [
      [this.#client, this.#server],
      [this.#server, this.#client],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => {
        if (other.closed) onClose()
        else if (!this.silent) other.destroySoon()
      })
    }
  }

  cut(): void {
    this.#client.resetAndDestroy()
    this.#server.destroy()
  }

  close(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  #later(forward: () => void): void {
    if (this.#proxy.delayMs > 0) setTimeout(forward, this.#proxy.delayMs)
    else forward()
  }

  #fromClient({ type, bytes }: WireMessage): void {
    if (this.silent) return
    if (type === 'encryption') {
      this.#client.write('N')
      return
    }
    this.#server.write(bytes)
    if (!this.#greeted) return
    this.#countFrontend(type, bytes)
    this.#proxy.announce(type)
  }

  #countFrontend(type: string, bytes: Buffer): void {
    const { tally } = this.#proxy
    if (type === 'P') {
      tally.parse++
      const name = bytes.indexOf(0, 5)
      tally.statements.push(bytes.toString('utf8', name + 1, bytes.indexOf(0, name + 1)))
    } else if (type === 'Q') {
      tally.query++
      tally.statements.push(bytes.toString('utf8', 5, bytes.length - 1))
    } else if (type === 'B') tally.bind++
    else if (type === 'E') tally.execute++
    else if (type === 'S') tally.sync++
    if (type === 'S' || type === 'Q') this.#awaitingReady++
    // Whatever is sent on top of a Flush before it was answered travels in the same round trip.
    this.#awaitingFlush = type === 'H'
  }

  #fromServer({ type, bytes }: WireMessage): void {
    if (this.silent) return
    const ready = type === 'Z'
    if (ready && !this.#greeted) {
      this.#greeted = true
      this.#proxy.tally.connections++
    } else {
      const swallowed = this.#isSwallowed(ready)
      this.#countBackend(ready)
      if (swallowed) return
    }
    this.#client.write(bytes)
  }

  #countBackend(ready: boolean): void {
    if (this.#awaitingFlush || (ready && this.#awaitingReady > 0)) this.#proxy.tally.roundTrips++
    if (ready) this.#awaitingReady--
    this.#awaitingFlush = false
  }

  #isSwallowed(ready: boolean): boolean {
    const swallowing = this.#proxy.swallowing
    // An answer to a Flush is not the end of a statement: without it the client would never send the rest.
    if (swallowing === undefined || this.#awaitingReady === 0) return false
    if (swallowing.after > 0) {
      if (ready) swallowing.after--
      return false
    }
    if (ready) {
      this.#proxy.swallowing = undefined
      if (swallowing.then === 'reset') this.cut()
      else this.silent = true
      swallowing.done()
    }
    return true
  }
}
