// Answers of the door itself: all of them with the same headers, refusals in the form of GraphQL errors. A refusal does not
// wait for what its client still has to say; it drops that for a moment, so that the client gets to read the answer.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'

/** Why a request is not answered as it asks: HTTP status, a code that clients may decide by, and one sentence. */
export interface Refused {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** Nobody else may read, frame, cache or guess what we answer. Strict transport is the word of whoever ends TLS. */
const everyAnswer = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const
const json = 'application/json; charset=utf-8'
/** What a client that was refused may go on sending; more than that is sent to harm. */
const maxDroppedBytes = 33_554_432

export function decorate(res: ServerResponse, requestId: string): void {
  res.setHeader('x-request-id', requestId)
  for (const [name, value] of Object.entries(everyAnswer)) res.setHeader(name, value)
}

export function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** Tells the client to ask elsewhere from now on; the connection ends with this answer. */
export function lastOfItsConnection(res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('connection', 'close')
}

const bodyOf = ({ code, message }: Refused, more: Record<string, unknown> = {}) =>
  JSON.stringify({ errors: [{ message, extensions: { code, ...more } }] })

/**
 * Answers without execution, and ends the connection with it. A client that is still sending would not see an answer on a
 * connection that is cut: what comes is dropped, for up to `lingerMs` and of a bounded size.
 */
export function refuse(
  res: ServerResponse,
  refused: Refused,
  lingerMs: number,
  more: Record<string, unknown> = {},
): void {
  const { req } = res
  const body = bodyOf(refused, more)
  res.setHeader('connection', 'close')
  res.writeHead(refused.status, { 'content-type': json, 'content-length': Buffer.byteLength(body) })
  if (req.complete || req.destroyed) return void res.end(body)
  res.write(body)
  const end = () => {
    clearTimeout(timer)
    res.end()
  }
  const timer = setTimeout(end, lingerMs)
  let leftBytes = maxDroppedBytes
  const drop = (chunk: Buffer) => {
    leftBytes -= chunk.length
    if (leftBytes < 0) end()
  }
  req.on('data', drop).once('end', end).once('close', end).resume()
}

/** The same where there is no response to write to: the client's words were no HTTP, or too slow to come. */
export function refuseOnSocket(socket: Duplex, refused: Refused): void {
  const body = bodyOf(refused)
  const headers = {
    ...everyAnswer,
    'x-request-id': crypto.randomUUID(),
    'content-type': json,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status]}\r\n${lines.join('')}\r\n${body}`)
  // Ends when all of it is written.
  ;(socket as Duplex & { destroySoon(): void }).destroySoon()
}
