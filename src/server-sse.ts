// Writes a stream: GraphQL over SSE, distinct connections mode. One answer at a time is taken from the source, and only when
// the client has read the one before: what waits for a client is the buffer of its connection and one answer, no more.
import type { ServerResponse } from 'node:http'
import { type ExecutionResult, GraphQLError } from 'graphql'
import { lastOfItsConnection } from './server-answer.ts'
import type { Stream } from './server-streams.ts'

export interface StreamTimes {
  /** So that proxies and clients know that the stream lives. */
  readonly heartbeatMs: number
  /** How long a client may read nothing of what waits for it; then it is cut off. */
  readonly stallMs: number
  /** How long it may take to read its last word. */
  readonly farewellMs: number
}
export const usualStreamTimes: StreamTimes = { heartbeatMs: 12_000, stallMs: 30_000, farewellMs: 5_000 }

const beat = ':\n\n'
const complete = 'event: complete\ndata:\n\n'

/** Resolves when the response is closed; the stream has ended by then, whoever ended it. */
export async function writeStream(
  res: ServerResponse,
  results: AsyncIterable<ExecutionResult>,
  stream: Stream,
  { heartbeatMs, stallMs, farewellMs }: StreamTimes,
): Promise<void> {
  const { signal } = stream
  const closed = new Promise<void>((resolve) => (res.closed ? resolve() : res.once('close', resolve)))
  const source = results[Symbol.asyncIterator]()
  let timer: NodeJS.Timeout | undefined
  let goOn = () => {}
  const cutAfter = (waitMs: number) => {
    timer = setTimeout(() => res.destroy(), waitMs)
  }
  const finish = () => {
    clearInterval(heart)
    clearTimeout(timer)
    goOn()
    if (res.destroyed || res.writableEnded) return
    const { lastWord } = stream
    res.end((lastWord ? messageOf({ errors: [lastWord] }) : '') + complete)
    cutAfter(farewellMs)
  }

  lastOfItsConnection(res)
  res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' })
  res.write(beat)
  const heart = setInterval(() => res.writableNeedDrain || res.write(beat), heartbeatMs)
  if (res.destroyed) stream.end()
  res.on('drain', () => goOn())
  res.once('close', () => {
    stream.end()
    clearTimeout(timer)
  })
  if (signal.aborted) finish()
  else signal.addEventListener('abort', finish)

  try {
    while (!signal.aborted) {
      const { done, value } = await source.next()
      if (done || signal.aborted) break
      const taken = res.write(messageOf(value))
      stream.delivered()
      if (taken) continue
      cutAfter(stallMs)
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
      if (!signal.aborted) clearTimeout(timer)
    }
    stream.end()
  } catch (error) {
    // What comes here was masked on its way.
    stream.end(error instanceof GraphQLError ? error : new GraphQLError('The stream has failed.'))
  }
  await closed
  // It has heard the signal; this is for whoever wrapped it.
  await source.return?.().catch(() => {})
}

/** The status and headers of an error are for an answer that has not begun. */
function messageOf({ data, errors, extensions }: ExecutionResult): string {
  const told = errors?.map((error) => {
    const { http: _, ...shown } = error.extensions ?? {}
    const { extensions: __, ...rest } = error.toJSON()
    return { ...rest, extensions: shown }
  })
  return `event: next\ndata: ${JSON.stringify({ errors: told, data, extensions })}\n\n`
}
