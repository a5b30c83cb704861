// A client of streams: GraphQL over SSE in distinct connections mode, over plain node:http, so that a test can stop reading
// and cut the connection at any moment. Reads what was sent letter by letter, and takes nothing that is not in its place.
import http from 'node:http'

export interface Told {
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at in every shape
  readonly data?: any
  readonly errors?: readonly { message: string; extensions: Record<string, unknown>; path?: unknown }[]
}

export interface Subscription {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** Every `next` so far. */
  readonly told: Told[]
  /** How many comments have come: heartbeats. */
  readonly beats: () => number
  /** Whether `complete` has come. */
  readonly completed: () => boolean
  /** The next `next` that nobody has taken; null when the stream is over. */
  next(): Promise<Told | null>
  /** Resolves when the connection is over, whoever ended it. */
  readonly over: Promise<void>
  /** Reads no more, and stays. */
  stopReading(): void
  goOn(): void
  /** Ends the connection without a word. */
  cut(): void
  /** What was answered instead of a stream. */
  readonly text: () => string
}

export interface Asking {
  readonly url: string
  readonly token: string
  readonly query: string
  readonly variables?: Record<string, unknown>
  readonly method?: 'GET' | 'POST'
  readonly accept?: string
  readonly headers?: Record<string, string>
}

/** Resolves when the headers of the answer are there. */
export function subscribe({
  url,
  token,
  query,
  variables = {},
  method = 'POST',
  ...more
}: Asking): Promise<Subscription> {
  const asked = method === 'GET' ? `?${new URLSearchParams({ query, variables: JSON.stringify(variables) })}` : ''
  const request = http.request(`${url}/graphql${asked}`, {
    method,
    agent: false,
    headers: {
      accept: more.accept ?? 'text/event-stream',
      authorization: `Bearer ${token}`,
      ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
      ...more.headers,
    },
  })
  request.end(method === 'POST' ? JSON.stringify({ query, variables }) : undefined)
  return new Promise((resolve, reject) => {
    request.once('error', reject)
    request.once('response', (response) => {
      request.on('error', () => {})
      resolve(reading(request, response))
    })
  })
}

function reading(request: http.ClientRequest, response: http.IncomingMessage): Subscription {
  const told: Told[] = []
  let [taken, beats, completed, ended, rest, all] = [0, 0, false, false, '', '']
  let wake = () => {}
  const isStream = /^text\/event-stream/.test(response.headers['content-type'] ?? '')

  const block = (text: string) => {
    const lines = text.split('\n')
    if (lines.every((line) => line.startsWith(':'))) return void beats++
    const [event, data, ...extra] = lines
    if (completed || extra.length > 0 || !data?.startsWith('data:')) throw new Error(`no event of a stream: ${text}`)
    if (event === 'event: complete') completed = true
    else if (event === 'event: next') told.push(JSON.parse(data.slice(5)))
    else throw new Error(`no event that we know: ${text}`)
  }
  const over = new Promise<void>((resolve) => {
    response.once('close', () => {
      ended = true
      resolve()
      wake()
    })
  })
  response.on('error', () => {})
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    if (!isStream) {
      all += chunk
      return
    }
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const one of blocks) block(one)
    wake()
  })
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    told,
    beats: () => beats,
    completed: () => completed,
    over,
    async next() {
      while (taken === told.length && !ended && !completed)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      return taken < told.length ? (told[taken++] ?? null) : null
    },
    stopReading: () => void response.pause(),
    goOn: () => void response.resume(),
    cut: () => void request.destroy(),
    text: () => all,
  }
}
