// Who follows the event log in this process: one reader of the database for all of them, while there is anybody, and a bounded
// memory of what it has read last. A follower is nothing but a cursor: it takes what the memory covers and reads pages of
// the database before that. So nobody has a queue that grows, and who is slow neither loses nor repeats anything.
import { DatabaseFault } from '../db/fault.ts'
import type { Log } from '../log.ts'
import { eventsAfter, lastPosition } from '../resolvers/event-feed.ts'
import type { EventView } from '../resolvers/event-read.ts'
import type { Database } from '../resolvers/transition.ts'
import { createRing, type Ring } from './ring.ts'
import { together } from './together.ts'

export interface HubOptions {
  readonly db: Database
  readonly log: Log
  /** How often the log is looked at while it is followed; a nudge comes earlier. */
  readonly pollMs?: number
  /** Events that are kept in mind at most. */
  readonly maxEvents?: number
}

export interface Following {
  readonly teamId: string
  /** Only what comes after this position. */
  readonly after: number
  /** Which of the team's events. Asked at the moment of delivery. */
  readonly wanted: (event: EventView) => boolean
  /** The first of them after a position, as the database has them; none when there are no more. */
  readonly page: (after: number) => Promise<{ readonly rows: readonly EventView[] }>
  /** Ends it, also while it waits. Without its end it is never freed. */
  readonly signal: AbortSignal
}

export interface Hub {
  /** The wanted events in order, each once. Begins to count at once; what the database cannot tell now is asked for again. */
  follow(what: Following): AsyncIterableIterator<EventView>
  /** The last position that was given, asked after the call: one statement for all who ask at the same time. */
  position(): Promise<number>
  /** Says that there are new positions; only a hint. */
  nudge(): void
  /** Who follows, and what is kept in mind. */
  size(): { readonly followers: number; readonly waiting: number; readonly events: number }
}

const batch = 500
const usualPollMs = 250
const usualMaxEvents = 2_048

/** One reading, from the first follower to the last one. */
interface Reading {
  /** Null until the database has said where the log ends. */
  ring: Ring | null
  /** What those who have seen all that there is wait with, by team. They are caught up until they are woken. */
  readonly waiting: Map<string, Set<Waiter>>
  readonly begun: PromiseWithResolvers<void>
  wake: () => void
  ended: boolean
}
/** Is told the position that it is known to have seen all before. */
type Waiter = (seen: number) => void

/** Makes the hub; it does nothing while nobody follows. */
export function createHub({ db, log, pollMs = usualPollMs, maxEvents = usualMaxEvents }: HubOptions): Hub {
  const followers = new Set<object>()
  let reading: Reading | null = null

  function join(follower: object): Reading {
    followers.add(follower)
    if (!reading) {
      reading = { ring: null, waiting: new Map(), begun: Promise.withResolvers(), wake: () => {}, ended: false }
      void read(reading)
    }
    return reading
  }

  function leave(follower: object): void {
    if (!followers.delete(follower) || followers.size > 0 || !reading) return
    reading.ended = true
    reading.begun.resolve()
    reading.wake()
    reading = null
  }

  /** The loop. The end of what was read moves only when a batch has come, so a failure leaves no gap. */
  async function read(own: Reading): Promise<void> {
    let failing = false
    while (!own.ended) {
      // A nudge that comes while the database is asked is for the next time.
      let nudged = false
      own.wake = () => {
        nudged = true
      }
      try {
        if (!own.ring) {
          own.ring = createRing(await lastPosition(db), maxEvents)
          own.begun.resolve()
        }
        const { end } = own.ring
        const events = await eventsAfter(db, end, batch)
        failing = false
        own.ring.add(events)
        for (const teamId of new Set(events.map((event) => event.teamId))) {
          const waiters = own.waiting.get(teamId) ?? []
          own.waiting.delete(teamId)
          for (const waiter of waiters) waiter(end)
        }
        if (events.length === batch) continue
      } catch (error) {
        if (!failing) log.error('the event log cannot be followed right now', { error })
        failing = true
      }
      if (!nudged && !own.ended) await new Promise<void>((resolve) => sleepUntil(resolve, own))
    }
  }

  function sleepUntil(resolve: () => void, own: Reading): void {
    const timer = setTimeout(resolve, pollMs)
    own.wake = () => {
      clearTimeout(timer)
      resolve()
    }
  }

  return {
    follow: (what) => {
      const follower = {}
      return follow(what, join(follower), pollMs, () => leave(follower))
    },
    position: together(() => lastPosition(db)),
    nudge: () => reading?.wake(),
    size: () => ({
      followers: followers.size,
      waiting: [...(reading?.waiting.values() ?? [])].reduce((sum, { size }) => sum + size, 0),
      events: reading?.ring?.size ?? 0,
    }),
  }
}

/** One follower. Not a generator: that would not hear of its end while it waits. */
function follow(
  { teamId, after, wanted, page, signal }: Following,
  reading: Reading,
  retryMs: number,
  leave: () => void,
): AsyncIterableIterator<EventView> {
  const isWanted = (event: EventView) => event.teamId === teamId && wanted(event)
  /** All that is wanted up to here was handed out. */
  let cursor = after
  let rows: EventView[] = []
  let stopWaiting = () => {}
  let ended = false

  function end(): void {
    if (ended) return
    ended = true
    signal.removeEventListener('abort', end)
    stopWaiting()
    leave()
  }
  signal.addEventListener('abort', end)
  if (signal.aborted) end()

  /** Resolves when `begin` calls back, or with the end. */
  const wait = (begin: (resolve: () => void) => () => void) =>
    new Promise<void>((resolve) => {
      if (ended) return resolve()
      const forget = begin(resolve)
      stopWaiting = () => {
        forget()
        resolve()
      }
    })

  const onBegun = (resolve: () => void) => {
    void reading.begun.promise.then(resolve)
    return () => {}
  }

  const untilMore = () =>
    wait((resolve) => {
      const waiters = reading.waiting.get(teamId) ?? new Set()
      reading.waiting.set(teamId, waiters)
      const waiter: Waiter = (seen) => {
        cursor = Math.max(cursor, seen)
        resolve()
      }
      waiters.add(waiter)
      return () => {
        waiters.delete(waiter)
        if (waiters.size === 0 && reading.waiting.get(teamId) === waiters) reading.waiting.delete(teamId)
      }
    })

  /** What the memory does not reach back to. */
  async function readPage(ring: Ring): Promise<void> {
    const { end: through } = ring
    try {
      const found = await page(cursor)
      rows = [...found.rows]
      // All that had a position when the page was read was in it.
      if (rows.length === 0) cursor = Math.max(cursor, through)
    } catch (error) {
      if (!(error instanceof DatabaseFault) || error.kind === 'bug') throw error
      await wait((resolve) => {
        const timer = setTimeout(resolve, retryMs)
        return () => clearTimeout(timer)
      })
    }
  }

  async function next(): Promise<IteratorResult<EventView>> {
    while (!ended) {
      const { ring } = reading
      const event = rows.shift() ?? ring?.after(cursor, isWanted)
      if (event) {
        cursor = Number(event.position)
        if (isWanted(event)) return { done: false, value: event }
      } else if (!ring) await wait(onBegun)
      else if (cursor < ring.begin) await readPage(ring)
      else {
        cursor = Math.max(cursor, ring.end)
        await untilMore()
      }
    }
    return { done: true, value: undefined }
  }

  return {
    next: () =>
      next().catch((error: unknown) => {
        end()
        throw error
      }),
    async return() {
      end()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
