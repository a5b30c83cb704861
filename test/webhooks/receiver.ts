// A receiver of webhooks: a real HTTP or HTTPS server on loopback that notes what it is sent and answers as the test says.
import { once } from 'node:events'
import { createServer as createHttp, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
}
type Treatment = (response: ServerResponse) => void
/** A status, or a way to treat the connection. */
export type Answer = number | Treatment

export interface Receiver {
  readonly port: number
  /** All of it, in the order in which it came. */
  readonly received: Received[]
  /** How each of the next requests is answered; may be changed at any time. */
  answer: (received: Received) => Answer | Promise<Answer>
  /** Resolves once so many requests have come. */
  heard(count: number): Promise<readonly Received[]>
  stop(): Promise<void>
}

/** Answers with nothing, for ever. */
export const hang: Treatment = () => {}
/** Ends the connection without an answer. */
export const cut: Treatment = (response) => response.destroy()
/** Says 200, writes some of a longer answer, and ends the connection. */
export const cutMidway: Treatment = (response) => {
  response.writeHead(200, { 'content-length': 1_000 }).write('some of it', () => response.destroy())
}
/** Says 200 and never comes to an end. */
export const neverEnds: Treatment = (response) => {
  response.writeHead(200).write('and so on')
}
/** Says 200 and then writes for as long as it is read. */
export const huge: Treatment = (response) => {
  response.writeHead(200)
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(16_384)));
  }
  response.on('drain', more)
  more()
}
export const redirectTo =
  (location: string): Treatment =>
  (response) => {
    response.writeHead(302, { location }).end()
  }

/** Starts one; with a key and a certificate it speaks TLS. */
export async function startReceiver(tls?: { key: string; cert: string }): Promise<Receiver> {
  const received: Received[] = []
  const waiting: (() => void)[] = []
  const sockets = new Set<Socket>()
  const server = tls ? createHttps(tls) : createHttp()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const receiver: Receiver = {
    port: (server.address() as AddressInfo).port,
    received,
    answer: () => 204,
    async heard(count) {
      while (received.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return received
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url: path = '', headers } = request
    const one = { method, path, headers, text: Buffer.concat(chunks).toString() }
    received.push(one)
    for (const tell of waiting.splice(0)) tell()
    const answer = await receiver.answer(one)
    if (typeof answer === 'number') response.writeHead(answer).end()
    else answer(response)
  })
  return receiver
}
