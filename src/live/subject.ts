// One object as it changes: as it is now, and again at each change, with nothing in between when changes come faster than
// they are taken. What is sent was read after the event that told of it, and never twice or backwards: its version grows.
import { eventPageOf } from '../resolvers/event-feed.ts'
import { cursorAt, eventFilter } from '../resolvers/event-read.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Hub } from './hub.ts'

export interface Subject<R> {
  readonly db: Database
  readonly teamId: string
  readonly id: string
  /** The object as it is now; null when the team has none of that id. */
  readonly read: () => Promise<R | null>
  readonly signal: AbortSignal
}

/** How many events are read at once where the hub's memory does not reach back. */
export const pageSize = 100

/** Null and then nothing for what is not there. Throws `DatabaseFault` when it cannot be read first. */
export async function followSubject<R extends { readonly version: number }>(
  hub: Hub,
  { db, teamId, id, read, signal }: Subject<R>,
): Promise<AsyncIterable<R | null>> {
  // Before the object is read: what changes after that is told.
  const from = await hub.position()
  const first = await read()
  return (async function* () {
    yield first
    let last = first
    if (last === null) return
    const filter = eventFilter({ subject: id })
    const changes = hub.follow({
      teamId,
      after: from,
      // What an event tells of may have been sent already.
      wanted: (event) => event.subjectId === id && event.version > (last?.version ?? 0),
      page: (after) => eventPageOf(db, teamId, { first: pageSize, after: cursorAt(teamId, after) }, filter),
      signal,
    })
    for await (const _ of changes) {
      const row = await read()
      if (row === null) return
      if (row.version <= last.version) continue
      last = row
      yield row
    }
  })()
}
