// A client that says anything, whether it is HTTP or not, and hears the answer also when it is refused in the middle.
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'

export interface Target {
  readonly url: string
  readonly token: string
}

export interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at in every shape
  readonly data: any
  readonly errors: readonly { message: string; extensions: Record<string, unknown> }[]
  // biome-ignore lint/suspicious/noExplicitAny: as data
  readonly extensions: any
}

export interface Asked {
  readonly method?: string
  readonly path?: string
  /** Undefined takes a header away. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  /** A stream is sent in chunks, until it ends or the answer is there. */
  readonly body?: string | Buffer | Iterable<Buffer>
}

const json = (text: string) => {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}
const seen = (status: number, headers: Seen['headers'], text: string): Seen => {
  const { data, errors = [], extensions } = json(text)
  return { status, headers, text, data, errors, extensions }
}

/** One request with the token of the target, on a connection of its own. */
export function ask(
  target: Target,
  { method = 'POST', path = '/graphql', headers = {}, body }: Asked = {},
): Promise<Seen> {
  const all = {
    'content-type': 'application/json',
    authorization: `Bearer ${target.token}`,
    ...(typeof body === 'string' || body instanceof Buffer
      ? { 'content-length': String(Buffer.byteLength(body)) }
      : {}),
    ...headers,
  }
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >
  return new Promise((resolve, reject) => {
    const asked = request(`${target.url}${path}`, { method, headers: given, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        asked.destroy()
        resolve(seen(response.statusCode ?? 0, response.headers, String(Buffer.concat(chunks))))
      })
    })
    // What is still being sent when the answer comes may break off; without an answer it is a failure.
    asked.on('error', reject)
    if (body === undefined || typeof body === 'string' || body instanceof Buffer) asked.end(body)
    else
      Readable.from(body)
        .on('error', () => {})
        .pipe(asked)
  })
}

/** A GraphQL operation as an honest client sends it, with whatever else is asked of it. */
export const post = (target: Target, query: unknown, variables?: unknown, asked: Asked = {}): Promise<Seen> =>
  ask(target, { body: JSON.stringify({ query, variables }), ...asked })

/** A raw connection; `heard` is all that the server has said when the connection has ended. */
export async function open({ url }: Target): Promise<{ socket: Socket; heard: Promise<string> }> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => {})
  const heard = new Promise<string>((resolve) => socket.once('close', () => resolve(String(Buffer.concat(chunks)))))
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  return { socket, heard }
}

/** Says these words and hears what comes of them. */
export async function say(target: Target, words: string): Promise<Seen> {
  const { socket, heard } = await open(target)
  socket.write(words)
  const [head = '', ...body] = (await heard).split('\r\n\r\n')
  const [first = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/).slice(0, 2)))
  return seen(Number(first.split(' ')[1] ?? 0), headers, body.join('\r\n\r\n'))
}
