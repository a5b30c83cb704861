// A follower of a team's events over SSE, who comes back to another replica after each end of a connection with the last cursor
// that it has seen, and keeps all cursors in the order in which they came.
import { subscribe } from '../../live/client.ts'
import { ask, type Replica } from '../fleet.ts'
import type { Heard } from './judge-told.ts'
import { pause } from './pace.ts'

export interface Follower {
  readonly heard: Heard
  /** How often it had to come back. */
  readonly returns: () => number
  /** Resolves when it has left. */
  readonly left: Promise<void>
}

const document = 'subscription ($after: String) { events(after: $after) { cursor kind subjectId } }'

/** Begins after the newest event that `first` knows of. It is there when this resolves, and until the signal. */
export async function follow(
  { teamId, token }: { readonly teamId: string; readonly token: string },
  first: Replica,
  address: (n: number) => string,
  signal: AbortSignal,
): Promise<Follower> {
  const { data } = await ask(first, token, '{ events(last: 1) { nodes { cursor } } }')
  const after = (data as { events: { nodes: { cursor: string }[] } }).events.nodes[0]?.cursor ?? null
  const cursors: string[] = []
  let turns = 0
  const run = async () => {
    for (; !signal.aborted; turns++) {
      const url = address(turns).replace(/\/graphql$/, '')
      await once(url, token, cursors.at(-1) ?? after, cursors, signal).catch(() => {})
      await pause(200, signal)
    }
  }
  return { heard: { teamId, after, cursors }, returns: () => turns, left: run() }
}

async function once(
  url: string,
  token: string,
  after: string | null,
  cursors: string[],
  signal: AbortSignal,
): Promise<void> {
  const stream = await subscribe({ url, token, query: document, variables: { after } })
  const leave = () => stream.cut()
  signal.addEventListener('abort', leave, { once: true })
  try {
    if (signal.aborted) stream.cut()
    for (let told = await stream.next(); told !== null; told = await stream.next()) {
      const cursor = told.data?.events?.cursor
      if (typeof cursor === 'string') cursors.push(cursor)
      else break
    }
  } finally {
    signal.removeEventListener('abort', leave)
    stream.cut()
  }
}
