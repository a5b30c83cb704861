// The one way to the database: a pool of slots of one connection each, behind one Drizzle instance. Every statement
// gets a connection within a bounded time, an answer within a deadline, and is repeated only where that is harmless.
// What fails, fails as a DatabaseFault. No transaction is ever held open here: every decision is one statement.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Repeat, ruleFor, sqlStateOf, toFault } from './fault.ts'
import { type Database, databaseOver, statementName } from './session.ts'
import { CONNECTION_CHECK, startupSettings } from './settings.ts'
import { type Channel, openSlot, type Slot, type Statement } from './slot.ts'
import { SlotSet } from './slot-set.ts'
import { readTarget } from './socket.ts'

export { DatabaseFault } from './fault.ts'
export type { Database } from './session.ts'
export type { Channel, Statement } from './slot.ts'

export type Purpose = 'api' | 'worker' | 'health' | 'gauges'

export interface PoolOptions {
  /** One host (a pooler or a moving address leads to the primary); `sslmode` and `sslrootcert` as in libpq. */
  url: string
  purpose: Purpose
  /** Connections at most; opened when needed. */
  slots: number
  /** Enforced by the server; the client gives up 1 s later. */
  statementTimeoutMs: number
  /** Per wait for a lock, enforced by the server. Default 3000. */
  lockTimeoutMs?: number
  /** How long a statement waits for a connection. Default 1000. */
  waitForSlotMs?: number
  /** How many statements may wait for a connection. Default 20 per slot. */
  maxWaiting?: number
  /** Default 3000. */
  connectTimeoutMs?: number
  /** Age at which a connection is renewed, give or take a quarter. Default 30 min. */
  lifetimeMs?: number
  /** False behind a pooler in transaction mode: no named statements, no startup parameters. Default true. */
  preparedStatements?: boolean
  /** Tests insert gates and faults here: called once per connection, around every attempt to run a statement. */
  wrap?: (channel: Channel) => Channel
}

export interface Pool {
  readonly db: Database
  /** Connections idle, in use, and retired so far; statements waiting for one. */
  stats(): { idle: number; busy: number; waiting: number; retired: number }
  /** Lets running statements finish for `timeoutMs` (default 5000), then cuts them off. */
  close(options?: { timeoutMs?: number }): Promise<void>
}

/** How much later than the server the client gives up on a statement. */
const CLIENT_GRACE_MS = 1000
const MINUTE_MS = 60_000
const REPEATS_AT_MOST: Record<Repeat, number> = { conflict: 3, unsent: 3, 'lost-read': 1, prepared: 1 }
const REPEAT_AFTER_MS = 20

/** Opens nothing yet: the first statement opens the first connection. Throws for a URL it does not understand. */
export function openPool(options: PoolOptions): Pool {
  const { slots, waitForSlotMs = 1000, maxWaiting = 20 * slots, lifetimeMs = 30 * MINUTE_MS, wrap } = options
  const channels = new WeakMap<Slot, Channel>()
  const open = slotOpener(options)
  const set = new SlotSet({
    slots,
    waitForSlotMs,
    maxWaiting,
    lifetimeMs,
    async open(onGone) {
      const slot = await open(onGone)
      channels.set(slot, wrap === undefined ? slot : wrap(slot))
      return slot
    },
  })
  const db = databaseOver({ run: (statement) => runStatement(set, channels, statement) })
  return { db, stats: () => set.stats(), close: ({ timeoutMs = 5000 } = {}) => set.close(timeoutMs) }
}

/** Runs one statement, repeated as its rule allows; throws DatabaseFault only. */
async function runStatement(set: SlotSet, channels: WeakMap<Slot, Channel>, statement: Statement): Promise<unknown[]> {
  const name = statementName(statement.sql)
  const read = name?.startsWith('read:') ?? false
  const repeats: Record<Repeat, number> = { conflict: 0, unsent: 0, 'lost-read': 0, prepared: 0 }
  for (;;) {
    const slot = await set.acquire(name)
    slot.sent = false
    try {
      const rows = await (channels.get(slot) ?? slot).run(statement)
      set.release(slot, false)
      return rows
    } catch (error) {
      const rule = ruleFor(error, { sent: slot.sent, read })
      set.release(slot, rule.retire)
      if (rule.repeat === undefined || ++repeats[rule.repeat] > REPEATS_AT_MOST[rule.repeat]) {
        throw toFault(error, slot.sent, { statement: name, read })
      }
      await sleep(Math.random() * REPEAT_AFTER_MS * repeats[rule.repeat])
    }
  }
}

/** Opens slots with our settings, without those that this server turned out not to know. */
function slotOpener(options: PoolOptions): (onGone: () => void) => Promise<Slot> {
  const { statementTimeoutMs, lockTimeoutMs = 3000, connectTimeoutMs = 3000, preparedStatements = true } = options
  const target = readTarget(options.url)
  const refused = new Set<string>()
  return async (onGone) => {
    const open = () =>
      openSlot({
        target,
        applicationName: `pawl-${options.purpose}`,
        settings: preparedStatements ? startupSettings({ statementTimeoutMs, lockTimeoutMs }, refused) : {},
        connectTimeoutMs,
        deadlineMs: statementTimeoutMs + CLIENT_GRACE_MS,
        preparedStatements,
        onGone,
      })
    try {
      return await open()
    } catch (error) {
      const message = error instanceof Error ? error.message : ''
      if (sqlStateOf(error) !== '22023' || !message.includes(CONNECTION_CHECK)) throw error
      refused.add(CONNECTION_CHECK)
      return await open()
    }
  }
}
