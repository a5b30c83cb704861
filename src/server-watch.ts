// Whether the credential of an open stream is still good, asked again when something happens to it (its token, its member or
// its team moves: the event log tells), when it runs out, and every now and then. What ends a request ends a stream.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Actor, lacking } from './auth.ts'
import type { Hub } from './live/hub.ts'
import { eventPageOf } from './resolvers/event-feed.ts'
import { cursorAt, eventFilter } from './resolvers/event-read.ts'
import type { Database } from './resolvers/transition.ts'
import type { Stranger } from './server-caller.ts'
import { credentialGone, mayOther, type Stream } from './server-streams.ts'

export interface Watched {
  readonly hub: Hub
  readonly db: Database
  readonly actor: Actor
  /** Who the same credential stands for now. */
  readonly again: () => Promise<Actor | Stranger>
  readonly stream: Stream
}

/** How often it is asked without a reason, give or take a fifth. */
const everyMs = 15_000
/** How soon after it could not be told. */
const retryMs = 1_000

/** Watches until the stream ends, or ends it. Never rejects. */
export async function watchCredential({ hub, db, actor, again, stream }: Watched): Promise<void> {
  const { signal } = stream
  const { teamId } = actor
  let known = actor
  let timer: NodeJS.Timeout | undefined

  const later = (waitMs: number) => {
    clearTimeout(timer)
    const left = known.goodUntil ? Math.max(0, known.goodUntil.getTime() - Date.now()) : Number.POSITIVE_INFINITY
    if (!signal.aborted) timer = setTimeout(check, Math.min(waitMs, left))
  }
  const check = async () => {
    if (known.goodUntil && known.goodUntil.getTime() <= Date.now()) return stream.end(credentialGone())
    // While it cannot be told nothing can be read either.
    const found = await again().catch(() => null)
    if (signal.aborted) return
    if (found === null || ('refused' in found && found.outcome === 'unavailable')) return later(retryMs)
    if ('refused' in found) return stream.end(found.outcome === 'unauthenticated' ? credentialGone() : mayOther(false))
    if (rightsOf(found) !== rightsOf(known)) return stream.end(mayOther(lacking(found, 'read') === null))
    known = found
    later(everyMs * (0.8 + 0.4 * Math.random()))
  }
  signal.addEventListener('abort', () => clearTimeout(timer))

  const own = new Set([actor.id, actor.memberId, teamId])
  while (!signal.aborted) {
    try {
      // Before it is asked: what happens to it after that is told.
      const after = await hub.position()
      await check()
      const news = hub.follow({
        teamId,
        after,
        wanted: ({ subjectId }) => own.has(subjectId),
        page: (position) =>
          eventPageOf(db, teamId, { first: 100, after: cursorAt(teamId, position) }, eventFilter(null)),
        signal,
      })
      for await (const _ of news) await check()
    } catch {
      // The log cannot be read right now, or not from there.
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }
}

/** All that a request with the credential would be judged by, as one text. */
const rightsOf = ({ teamId, memberId, role, scopes, classes, teamEndsAt }: Actor): string =>
  JSON.stringify([teamId, memberId, role, [...scopes].sort(), [...classes].sort(), teamEndsAt !== undefined])
