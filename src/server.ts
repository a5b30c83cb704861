// The front door: HTTP to GraphQL, health, readiness and metrics. Opens no port by itself. Every answer carries a request id
// and the same headers, also those to clients whose words were no HTTP, too many, or too slow to come.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { createHub, type Hub } from './live/hub.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { decorate, lastOfItsConnection, type Refused, refuse, refuseOnSocket, send } from './server-answer.ts'
import { createDoor, type DoorOptions } from './server-door.ts'
import { headFlaw, requestIdOf } from './server-request.ts'
import { type StreamTimes, usualStreamTimes } from './server-sse.ts'
import { createStreams, type StreamLimits } from './server-streams.ts'

export interface HttpOptions {
  /** Null: a worker without an API; health, readiness and metrics are there all the same. */
  readonly graphql: GraphqlPart | null
  readonly metrics: Metrics
  readonly log: Log
  /** Database reachable, migrations at head, not draining. A rejection counts as false. */
  readonly ready: () => Promise<boolean>
  /** For tests, which do not wait as long as the world is waited for. */
  readonly times?: Partial<Times>
}

export interface GraphqlPart
  extends Omit<DoorOptions, 'metrics' | 'log' | 'lingerMs' | 'hub' | 'streams' | 'streamTimes'> {
  /** Who follows the event log here; by default one of its own, which nobody nudges. */
  readonly hub?: Hub
  /** For tests, which do not open thousands of streams. */
  readonly streamLimits?: Partial<StreamLimits>
}

/** How long a client may take, in ms. */
export interface Times extends StreamTimes {
  /** To say its headers; then 408. */
  readonly headersMs: number
  /** To say all of its request; then 408. */
  readonly requestMs: number
  /** Between two requests on one connection. */
  readonly keepAliveMs: number
  /** Neither sending nor reading anything while a request of it is under way; then it is cut off. */
  readonly idleMs: number
  /** How often the first two are looked at. */
  readonly checkMs: number
  /** To read that it was refused while it is still sending. */
  readonly lingerMs: number
}
const usualTimes: Times = {
  headersMs: 10_000,
  requestMs: 15_000,
  keepAliveMs: 5_000,
  idleMs: 60_000,
  checkMs: 2_000,
  lingerMs: 2_000,
  ...usualStreamTimes,
}
const maxHeaderBytes = 16_384
const maxConnections = 10_000

export interface PawlServer {
  readonly http: Server
  /** Returns the port, which is another one when 0 was asked for. */
  listen(host: string, port: number): Promise<number>
  /** Takes no more connections, tells streams to go elsewhere, lets requests end for `drainMs`, then cuts them off. */
  stop(drainMs: number): Promise<void>
}

type Route = (res: ServerResponse) => Promise<void> | void

/** Makes the server; `listen` opens it. */
export function createHttpServer({ graphql, metrics, log, ready, times }: HttpOptions): PawlServer {
  const all = { ...usualTimes, ...times }
  const { headersMs, requestMs, keepAliveMs, idleMs, checkMs, lingerMs } = all
  const streams = createStreams(metrics, graphql?.streamLimits)
  const door =
    graphql &&
    createDoor({
      ...graphql,
      hub: graphql.hub ?? createHub({ db: graphql.db, log }),
      metrics,
      log,
      lingerMs,
      streams,
      streamTimes: all,
    })
  const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
    ['/healthz', (res) => send(res, 200, 'text/plain', 'ok\n')],
    [
      '/readyz',
      async (res) => {
        const isReady = await ready().catch(() => false)
        send(res, isReady ? 200 : 503, 'application/json', `${JSON.stringify({ ready: isReady })}\n`)
      },
    ],
    ['/metrics', async (res) => send(res, 200, metrics.contentType, await metrics.text())],
  ])
  const answering = new Set<ServerResponse>()
  const answeringOn = new WeakMap<Duplex, Set<ServerResponse>>()
  let stopping = false

  function track(res: ServerResponse, socket: Duplex): void {
    const onSocket = answeringOn.get(socket) ?? new Set()
    answeringOn.set(socket, onSocket.add(res))
    answering.add(res)
    res.once('close', () => {
      answering.delete(res)
      onSocket.delete(res)
    })
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const requestId = requestIdOf(req)
    decorate(res, requestId)
    if (stopping) lastOfItsConnection(res)
    track(res, req.socket)
    const refused = (flaw: Refused, more?: object) => refuse(res, flaw, lingerMs, { ...more })
    try {
      const flaw = headFlaw(req)
      if (flaw) return refused(flaw)
      const path = (req.url ?? '/').split('?')[0] ?? '/'
      if (path === '/graphql' && door) return await door(req, res, requestId)
      const route = routes.get(path)
      if (!route) return refused({ status: 404, code: 'NOT_FOUND', message: 'There is nothing here.' })
      if (req.method !== 'GET' && req.method !== 'HEAD') {
        res.setHeader('allow', 'GET, HEAD')
        return refused({ status: 405, code: 'METHOD_NOT_ALLOWED', message: 'Only GET and HEAD are answered here.' })
      }
      await route(res)
    } catch (error) {
      log.error('an HTTP request failed', { requestId, error })
      if (res.headersSent) return void res.destroy()
      const message = 'Something went wrong on our side. It was logged under this request id.'
      refused({ status: 500, code: 'INTERNAL', message }, { requestId })
    }
  }

  const http = createServer(
    {
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: checkMs,
      maxHeaderSize: maxHeaderBytes,
      // We say ourselves that it is missing.
      requireHostHeader: false,
    },
    answer,
  )
  http.timeout = idleMs
  http.maxConnections = maxConnections
  // Whoever asks whether its body is wanted is told so when it is about to be read, and a refusal otherwise.
  http.on('checkContinue', answer)
  http.on('checkExpectation', answer)
  http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const begun = [...(answeringOn.get(socket) ?? [])].some((res) => res.headersSent)
    if (!socket.writable || error.code === 'ECONNRESET' || begun) socket.destroy()
    else refuseOnSocket(socket, spoken(error.code))
  })
  return {
    http,
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        http.once('error', reject)
        http.listen(port, host, () => {
          http.off('error', reject)
          resolve((http.address() as AddressInfo).port)
        })
      }),
    async stop(drainMs) {
      stopping = true
      streams.close()
      const closed = new Promise<void>((resolve) => http.close(() => resolve()))
      http.closeIdleConnections()
      // A client that goes on asking over a connection that it has would be served until the end, and cut off there.
      for (const res of answering) lastOfItsConnection(res)
      const cut = setTimeout(() => http.closeAllConnections(), drainMs)
      await closed
      clearTimeout(cut)
    },
  }
}

/** What Node found wrong with the words of a client. */
function spoken(code: string | undefined): Refused {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { status: 408, code: 'REQUEST_TIMEOUT', message: 'The request was too slow to come.' }
  if (code === 'HPE_HEADER_OVERFLOW')
    return { status: 431, code: 'LIMIT_EXCEEDED', message: `Headers may have at most ${maxHeaderBytes} bytes.` }
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return { status: 413, code: 'LIMIT_EXCEEDED', message: 'The chunks of the body say too much about themselves.' }
  return { status: 400, code: 'BAD_REQUEST', message: 'That is not HTTP.' }
}
