// The streams that are open: how many there may be, and how each is ended. Whatever ends one (its client, its credential, the
// process) ends its source in the same moment, by a signal, so that nothing of it stays.
import { GraphQLError } from 'graphql'
import type { Metrics } from './metrics.ts'
import { refusal } from './server-document.ts'

export interface StreamLimits {
  readonly perProcess: number
  readonly perTeam: number
}
/** One stream takes some 50 KB of memory, and what waits for its client to read: 64 KB and one answer. */
const usualLimits: StreamLimits = { perProcess: 2_000, perTeam: 250 }
/** When to come again to a process that has as many as it may. */
const retryAfterMs = 5_000
/** Within that time all clients of a process that is shut down come back, each at a moment of its own. */
const comeBackMs = 3_000

/** One open stream. */
export interface Stream {
  /** Aborted at its end. */
  readonly signal: AbortSignal
  /** What its client is told at last; null when it has ended by itself. */
  readonly lastWord: GraphQLError | null
  /** Ends it, once. */
  end(lastWord?: GraphQLError): void
  /** Counts an answer that was handed to the client's connection. */
  delivered(): void
}

export interface Streams {
  /** A place for one more, of a root field of `Subscription`; else why there is none. */
  open(teamId: string, subscription: string): Stream | GraphQLError
  /** Ends all of them and opens no more: every client is told when to come again. */
  close(): void
  readonly size: number
}

export function createStreams(
  metrics: Pick<Metrics, 'streams' | 'streamEvent'>,
  given?: Partial<StreamLimits>,
): Streams {
  const { perProcess, perTeam } = { ...usualLimits, ...given }
  const all = new Set<Stream>()
  const ofTeam = new Map<string, number>()
  let closing = false

  const count = (teamId: string, subscription: string, by: 1 | -1) => {
    const left = (ofTeam.get(teamId) ?? 0) + by
    if (left === 0) ofTeam.delete(teamId)
    else ofTeam.set(teamId, left)
    metrics.streams(subscription, by)
  }

  return {
    get size() {
      return all.size
    },
    open(teamId, subscription) {
      if (closing) return shuttingDown(503)
      if (all.size >= perProcess) return tooMany(`This process has ${perProcess} open streams`)
      if ((ofTeam.get(teamId) ?? 0) >= perTeam) return tooMany(`This team has ${perTeam} open streams here`)
      const ended = new AbortController()
      let lastWord: GraphQLError | null = null
      const stream: Stream = {
        signal: ended.signal,
        get lastWord() {
          return lastWord
        },
        end(word) {
          if (!all.delete(stream)) return
          lastWord = word ?? null
          count(teamId, subscription, -1)
          ended.abort()
        },
        delivered: () => metrics.streamEvent(subscription),
      }
      all.add(stream)
      count(teamId, subscription, 1)
      return stream
    },
    close() {
      closing = true
      for (const stream of all) stream.end(shuttingDown())
    },
  }
}

function tooMany(message: string): GraphQLError {
  const seconds = String(retryAfterMs / 1_000)
  return new GraphQLError(`${message}, and may have no more. Try again in ${seconds} s.`, {
    extensions: { code: 'TOO_MANY_STREAMS', retryAfterMs, http: { status: 429, headers: { 'retry-after': seconds } } },
  })
}

function shuttingDown(status?: number): GraphQLError {
  const wait = Math.ceil(comeBackMs * (0.1 + 0.9 * Math.random()))
  return new GraphQLError(
    'This process is shutting down. Subscribe again; another one goes on from your last cursor.',
    {
      extensions: { code: 'SHUTTING_DOWN', retryAfterMs: wait, ...(status ? { http: { status } } : {}) },
    },
  )
}

/** The credential that a stream was opened with is not good any more. */
export const credentialGone = (): GraphQLError =>
  new GraphQLError('The credential of this stream is not good any more.', { extensions: { code: 'UNAUTHENTICATED' } })

/** What it may do is something else now: whoever still may subscribes again. */
export const mayOther = (retryable: boolean): GraphQLError =>
  new GraphQLError('What the caller of this stream may do has changed.', {
    extensions: { code: 'FORBIDDEN', retryable },
  })

/** For a client that would not understand the answer. */
export const notAStream = (): GraphQLError =>
  refusal(406, 'NOT_ACCEPTABLE', 'A subscription is answered as text/event-stream: say so in the header Accept.')
