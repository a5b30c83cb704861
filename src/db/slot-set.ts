// Who gets which connection: a bounded number of slots, a bounded queue of callers in order of arrival, each waiting
// a bounded time. Slots are opened when a caller needs one and replaced when another caller does; while the server
// cannot be reached, attempts are spaced out for the whole set, so a restart is not greeted by a stampede.

import { DatabaseFault, sqlStateOf } from './fault.ts'
import type { Slot } from './slot.ts'

export interface SlotSetOptions {
  readonly slots: number
  readonly waitForSlotMs: number
  readonly maxWaiting: number
  readonly lifetimeMs: number
  readonly open: (onGone: () => void) => Promise<Slot>
}

interface Waiter {
  readonly resolve: (slot: Slot) => void
  readonly reject: (fault: DatabaseFault) => void
  readonly statement: string | undefined
  readonly timer: NodeJS.Timeout
}

interface Lease {
  readonly slot: Slot
  readonly retireAtMs: number
}

const CLOSED = 'the pool is closed'
const BACKOFF_FIRST_MS = 25
const BACKOFF_CAP_MS = 1000

export class SlotSet {
  readonly #options: SlotSetOptions
  readonly #live = new Map<Slot, Lease>()
  #idle: Slot[] = []
  #waiters: Waiter[] = []
  #connecting = 0
  #failures = 0
  #lastFailure: unknown
  #retired = 0
  #closed = false
  #backoff: NodeJS.Timeout | undefined
  #whenQuiet: () => void = () => {}

  constructor(options: SlotSetOptions) {
    this.#options = options
  }

  stats() {
    const idle = this.#idle.length
    return { idle, busy: this.#live.size - idle, waiting: this.#waiters.length, retired: this.#retired }
  }

  /** A slot for the statement of that name; give it back with `release`. Throws `unavailable` when there is none in time. */
  acquire(statement: string | undefined): Promise<Slot> {
    if (this.#closed) return Promise.reject(new DatabaseFault('unavailable', CLOSED, { statement }))
    const slot = this.#idle.pop()
    if (slot !== undefined) return Promise.resolve(slot)
    if (this.#waiters.length >= this.#options.maxWaiting) {
      return Promise.reject(
        new DatabaseFault('unavailable', 'too many statements wait for a connection', { statement, shed: true }),
      )
    }
    return new Promise((resolve, reject) => {
      // Not unref'd: somebody waits for it, and a process with nothing else to do would end in silence.
      const timer = setTimeout(() => this.#giveUp(waiter), this.#options.waitForSlotMs)
      const waiter: Waiter = { resolve, reject, statement, timer }
      this.#waiters.push(waiter)
      this.#grow()
    })
  }

  /** Takes a slot back; a dead, old or doubtful one is retired. */
  release(slot: Slot, doubtful: boolean): void {
    const lease = this.#live.get(slot)
    const old = lease !== undefined && Date.now() >= lease.retireAtMs
    if (lease === undefined || doubtful || old || this.#closed || !slot.alive) {
      this.#forget(slot)
      void slot.retire(doubtful)
      this.#grow()
    } else {
      this.#handOver(slot)
    }
  }

  /** Refuses new callers, lets running statements finish for `timeoutMs`, then cuts them off. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true
    clearTimeout(this.#backoff)
    this.#rejectWaiters(CLOSED)
    const ended = this.#idle.map((slot) => {
      this.#live.delete(slot)
      return slot.retire(false)
    })
    this.#idle = []
    if (this.#live.size + this.#connecting > 0) await this.#quietWithin(timeoutMs)
    await Promise.all([...ended, ...[...this.#live.keys()].map((slot) => slot.retire(true))])
    this.#live.clear()
  }

  async #quietWithin(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#whenQuiet = resolve
      timer = setTimeout(resolve, timeoutMs)
    })
    clearTimeout(timer)
  }

  /** Opens as many slots as callers wait for, within the bound. */
  #grow(): void {
    if (this.#closed || this.#backoff !== undefined) return
    const room = this.#options.slots - this.#live.size - this.#connecting
    const wanted = this.#waiters.length - this.#connecting
    // After a failure one attempt tries the way for all.
    const count = Math.min(room, wanted, this.#failures > 0 ? 1 - this.#connecting : room)
    for (let i = 0; i < count; i++) void this.#open()
  }

  async #open(): Promise<void> {
    this.#connecting++
    let slot: Slot | undefined
    let gone = false
    try {
      const opened = await this.#options.open(() => {
        gone = true
        if (slot !== undefined) this.#onGone(slot)
      })
      slot = opened
    } catch (error) {
      this.#connecting--
      this.#onFailure(error)
      return
    }
    this.#connecting--
    this.#failures = 0
    if (this.#closed || gone) {
      void slot.retire(true)
      this.#settle()
      this.#grow()
      return
    }
    // Jitter, so that a pool opened in one moment is not renewed in one moment.
    const lifetimeMs = this.#options.lifetimeMs * (0.75 + Math.random() / 2)
    this.#live.set(slot, { slot, retireAtMs: slot.openedAtMs + lifetimeMs })
    this.#handOver(slot)
    this.#grow()
  }

  #onFailure(error: unknown): void {
    this.#lastFailure = error
    this.#failures++
    this.#settle()
    if (this.#closed) return
    const refused = /^(53[34]00|28|3D000)/.test(sqlStateOf(error) ?? '')
    if (refused && this.#live.size === 0) this.#rejectWaiters('the server lets nobody in', sqlStateOf(error))
    if (this.#backoff !== undefined) return
    const capMs = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 10))
    this.#backoff = setTimeout(
      () => {
        this.#backoff = undefined
        this.#grow()
      },
      capMs * (0.5 + Math.random() / 2),
    )
    this.#backoff.unref()
  }

  #handOver(slot: Slot): void {
    const waiter = this.#waiters.shift()
    if (waiter === undefined) {
      this.#idle.push(slot)
      return
    }
    clearTimeout(waiter.timer)
    waiter.resolve(slot)
  }

  /** An idle slot has died: it goes, and is replaced when it is needed. A busy one comes back by `release`. */
  #onGone(slot: Slot): void {
    if (!this.#idle.includes(slot)) return
    this.#forget(slot)
    void slot.retire(true)
  }

  #forget(slot: Slot): void {
    if (this.#live.delete(slot)) this.#retired++
    this.#idle = this.#idle.filter((other) => other !== slot)
    this.#settle()
  }

  #settle(): void {
    if (this.#live.size + this.#connecting === 0) this.#whenQuiet()
  }

  #giveUp(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter)
    const code = (this.#lastFailure as { code?: unknown } | undefined)?.code ?? 'unknown error'
    const reason = this.#failures > 0 ? `the server cannot be reached, ${code}` : 'no connection became free in time'
    const sqlState = this.#failures > 0 ? sqlStateOf(this.#lastFailure) : undefined
    const { statement } = waiter
    waiter.reject(new DatabaseFault('unavailable', reason, { sqlState, statement, shed: this.#failures === 0 }))
  }

  #rejectWaiters(reason: string, sqlState?: string): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const { timer, reject, statement } of waiters) {
      clearTimeout(timer)
      reject(new DatabaseFault('unavailable', reason, { sqlState, statement }))
    }
  }
}
