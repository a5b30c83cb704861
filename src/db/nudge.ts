// A hint between processes that there is work: NOTIFY on a connection of its own, never inside a statement that
// matters, because NOTIFY takes a database-wide lock at commit. A hint may be lost, doubled or late; the timers of
// the loops are the truth. So nothing here ever fails: it tries again, later and later, in the background.

import { openSlot, type Slot } from './slot.ts'
import { readTarget, type Target } from './socket.ts'

export interface NudgeOptions {
  /** Must lead to PostgreSQL itself: a pooler in transaction mode swallows LISTEN. */
  url: string
  channel: string
}

export interface Nudge {
  /** Tells all listeners, at most once per 20 ms whatever the number of calls. Returns at once; never throws. */
  send(): void
  /** Calls back on each nudge, and after each reconnect, since one may have been missed. Returns how to stop. */
  listen(onNudge: () => void): Promise<() => Promise<void>>
  /** Ends the connection; later calls do nothing. */
  close(): Promise<void>
}

const COALESCE_MS = 20
const CONNECT_TIMEOUT_MS = 3000
const STATEMENT_TIMEOUT_MS = 2000
const BACKOFF_FIRST_MS = 100
const BACKOFF_CAP_MS = 5000

/** Opens nothing yet: the first `send` or `listen` connects. */
export function openNudge(options: NudgeOptions): Nudge {
  const line = new NudgeLine(options)
  return {
    send: () => line.send(),
    listen: (onNudge) => line.listen(onNudge),
    close: () => line.close(),
  }
}

class NudgeLine {
  readonly #options: NudgeOptions
  readonly #target: Target
  readonly #listeners = new Set<() => void>()
  #slot: Slot | undefined
  #connecting: Promise<void> | undefined
  #failures = 0
  #retry: NodeJS.Timeout | undefined
  #window: NodeJS.Timeout | undefined
  #due = false
  /** The statement before: a slot runs one at a time. */
  #last = Promise.resolve()
  #closed = false

  constructor(options: NudgeOptions) {
    this.#options = options
    this.#target = readTarget(options.url)
  }

  send(): void {
    if (this.#closed) return
    this.#due = true
    if (this.#window === undefined) this.#flush()
  }

  async listen(onNudge: () => void): Promise<() => Promise<void>> {
    const listener = () => onNudge()
    this.#listeners.add(listener)
    if (this.#slot !== undefined) await this.#attempt(this.#slot, `LISTEN ${quote(this.#options.channel)}`)
    else await this.#connect()
    return async () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0 && this.#slot !== undefined) {
        await this.#attempt(this.#slot, `UNLISTEN ${quote(this.#options.channel)}`)
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    clearTimeout(this.#retry)
    clearTimeout(this.#window)
    await this.#connecting
    await this.#slot?.retire(false)
  }

  /** Sends what is due, then holds back what comes within the next 20 ms. */
  #flush(): void {
    this.#due = false
    this.#window = setTimeout(() => {
      this.#window = undefined
      if (this.#due) this.#flush()
    }, COALESCE_MS)
    this.#window.unref()
    void this.#notify()
  }

  async #notify(): Promise<void> {
    if (this.#slot === undefined) await this.#connect()
    if (this.#slot !== undefined) await this.#attempt(this.#slot, `NOTIFY ${quote(this.#options.channel)}`)
  }

  /** One attempt at a time; after a failure, while somebody listens, another one later. Never rejects. */
  #connect(): Promise<void> {
    if (this.#closed || this.#retry !== undefined) return Promise.resolve()
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  async #open(): Promise<void> {
    try {
      const slot = await openSlot({
        target: this.#target,
        applicationName: 'pawl-nudge',
        settings: { statement_timeout: `${STATEMENT_TIMEOUT_MS}` },
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        deadlineMs: STATEMENT_TIMEOUT_MS + 1000,
        preparedStatements: false,
        onGone: () => this.#lost(),
        onNotify: () => this.#tellListeners(),
      })
      if (this.#listeners.size > 0) await this.#attempt(slot, `LISTEN ${quote(this.#options.channel)}`)
      if (!slot.alive) throw new Error('lost')
      this.#slot = slot
      if (this.#failures > 0) this.#tellListeners()
      this.#failures = 0
    } catch {
      this.#later()
    }
  }

  #lost(): void {
    if (this.#slot === undefined) return
    this.#slot = undefined
    this.#later()
  }

  #later(): void {
    if (this.#closed || this.#retry !== undefined) return
    this.#failures++
    const capMs = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures - 1, 10))
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined
        if (this.#listeners.size > 0) void this.#connect()
      },
      capMs * (0.5 + Math.random() / 2),
    )
    this.#retry.unref()
  }

  /** One statement after the other. Never rejects. */
  #attempt(slot: Slot, sql: string): Promise<void> {
    this.#last = this.#last.then(async () => {
      try {
        await slot.run({ sql, params: [], prepare: false, arrayMode: false })
      } catch {
        await slot.retire(true)
      }
    })
    return this.#last
  }

  #tellListeners(): void {
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch {
        // A listener's failure is its own; the timer runs the same pass.
      }
    }
  }
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`
}
