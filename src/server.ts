// The front door: HTTP to GraphQL, health, readiness and metrics. Opens no port by itself. Nothing is read, parsed or run
// for a caller without a good token, and every answer carries a request id.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Actor } from './auth.ts'
import { DatabaseFault } from './db/fault.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { authenticate } from './resolvers/authenticate.ts'
import { maxBodyBytes } from './server-document.ts'
import { createGraphql, type GraphqlHandler, type GraphqlOptions, type GraphqlRequest } from './server-graphql.ts'
import { graphiqlPage, graphiqlPolicy } from './server-page.ts'

export interface HttpOptions {
  /** Null: a worker without an API; health, readiness and metrics are there all the same. */
  readonly graphql: Omit<GraphqlOptions, 'metrics' | 'log'> | null
  readonly metrics: Metrics
  readonly log: Log
  /** Database reachable, migrations at head, not draining. A rejection counts as false. */
  readonly ready: () => Promise<boolean>
}

export interface PawlServer {
  readonly http: Server
  /** Returns the port, which is another one when 0 was asked for. */
  listen(host: string, port: number): Promise<number>
  /** Takes no more connections, lets requests end for `drainMs`, then cuts them off. */
  stop(drainMs: number): Promise<void>
}

/** Makes the server; `listen` opens it. */
export function createHttpServer({ graphql, metrics, log, ready }: HttpOptions): PawlServer {
  const handle = graphql && createGraphql({ ...graphql, metrics, log })
  const routes: Record<string, (req: IncomingMessage, res: ServerResponse, requestId: string) => Promise<void> | void> =
    {
      '/healthz': (_req, res) => send(res, 200, 'text/plain', 'ok\n'),
      '/readyz': async (_req, res) => {
        const isReady = await ready().catch(() => false)
        send(res, isReady ? 200 : 503, 'application/json', `${JSON.stringify({ ready: isReady })}\n`)
      },
      '/metrics': async (_req, res) => send(res, 200, metrics.contentType, await metrics.text()),
    }
  const answering = new Set<ServerResponse>()
  let stopping = false
  const http = createServer(
    // A request is read within 15 s, its headers within 10 s and 16 KB: then 408 and 431 by Node itself.
    {
      requestTimeout: 15_000,
      headersTimeout: 10_000,
      maxHeaderSize: 16_384,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 2_000,
    },
    async (req, res) => {
      const requestId = requestIdOf(req)
      decorate(res, requestId)
      if (stopping) lastOfItsConnection(res)
      answering.add(res)
      res.once('close', () => answering.delete(res))
      try {
        const path = (req.url ?? '/').split('?')[0] ?? '/'
        if (path === '/graphql' && handle && graphql)
          return await atGraphql(req, res, requestId, { handle, db: graphql.db, metrics })
        const route = routes[path]
        if (!route) return send(res, 404, 'text/plain', 'Not found\n')
        if (req.method !== 'GET' && req.method !== 'HEAD') return notAllowed(res, 'GET, HEAD')
        await route(req, res, requestId)
      } catch (error) {
        log.error('an HTTP request failed', { requestId, error })
        if (!res.headersSent)
          fail(res, 500, 'INTERNAL', 'Something went wrong on our side. It was logged under this request id.', {
            requestId,
          })
        else res.destroy()
      }
    },
  )
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

interface Door {
  readonly handle: GraphqlHandler
  readonly db: GraphqlOptions['db']
  readonly metrics: Metrics
}

async function atGraphql(
  req: IncomingMessage,
  res: ServerResponse,
  requestId: string,
  { handle, db, metrics }: Door,
): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'POST') return notAllowed(res, 'GET, POST')
  if (req.method === 'GET' && req.headers.accept?.includes('text/html')) {
    res.setHeader('content-security-policy', graphiqlPolicy)
    return send(res, 200, 'text/html; charset=utf-8', graphiqlPage)
  }
  const startedAt = performance.now()
  const record = (operation: string, outcome: GraphqlRequest['outcome']) =>
    metrics.graphql(operation, outcome, performance.now() - startedAt)
  let actor: Actor | null
  try {
    actor = await authenticate(db, bearer(req) ?? '')
  } catch (error) {
    if (!(error instanceof DatabaseFault) || error.kind === 'bug') throw error
    record('unknown', 'unavailable')
    res.setHeader('retry-after', '1')
    return fail(res, 503, 'TEMPORARILY_UNAVAILABLE', 'The database cannot be reached right now. Try again.', {
      requestId,
      retryAfterMs: 1_000,
    })
  }
  if (!actor) {
    record('unknown', 'unauthenticated')
    res.setHeader('www-authenticate', 'Bearer')
    return fail(res, 401, 'UNAUTHENTICATED', 'A good token is needed: Authorization: Bearer pawl_…')
  }
  const flaw = bodyFlaw(req)
  if (flaw) {
    record('unknown', flaw.status === 413 ? 'limited' : 'invalid')
    return fail(res, flaw.status, flaw.code, flaw.message)
  }
  const request: GraphqlRequest = { actor, requestId, operation: 'unknown', outcome: 'ok' }
  try {
    await handle(req, res, request)
    if (res.statusCode >= 400 && request.outcome === 'ok')
      request.outcome = res.statusCode === 413 ? 'limited' : 'invalid'
  } catch (error) {
    request.outcome = 'fault'
    throw error
  } finally {
    record(request.operation, request.outcome)
  }
}

/** Only plain JSON of a bounded size is looked at: browsers cannot send it to another site without asking first. */
function bodyFlaw(req: IncomingMessage): { status: number; code: string; message: string } | null {
  if (req.method !== 'POST') return null
  const [type] = (req.headers['content-type'] ?? '').split(';')
  if (type?.trim().toLowerCase() !== 'application/json') {
    return { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', message: 'Only application/json is taken.' }
  }
  if (req.headers['content-encoding'] !== undefined) {
    return { status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', message: 'Only a body without content-encoding is taken.' }
  }
  if (Number(req.headers['content-length'] ?? 0) > maxBodyBytes) {
    return { status: 413, code: 'LIMIT_EXCEEDED', message: `A request may have at most ${maxBodyBytes} bytes.` }
  }
  return null
}

const bearer = (req: IncomingMessage): string | null =>
  /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '')?.[1] ?? null

/** A caller's own id is kept when it is short and plain, so that it can be found in logs on both sides. */
function requestIdOf(req: IncomingMessage): string {
  const given = req.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

function decorate(res: ServerResponse, requestId: string): void {
  res.setHeader('x-request-id', requestId)
  res.setHeader('x-content-type-options', 'nosniff')
  res.setHeader('x-frame-options', 'DENY')
  res.setHeader('referrer-policy', 'no-referrer')
  res.setHeader('cache-control', 'no-store')
  res.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
}

function send(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

/** Tells the client to ask elsewhere from now on; the connection ends with this answer. */
function lastOfItsConnection(res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('connection', 'close')
}

/** An answer without execution. The body is left unread, so the connection ends with it. */
function fail(
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
  more: Record<string, unknown> = {},
): void {
  res.setHeader('connection', 'close')
  send(
    res,
    status,
    'application/json; charset=utf-8',
    JSON.stringify({ errors: [{ message, extensions: { code, ...more } }] }),
  )
}

function notAllowed(res: ServerResponse, allow: string): void {
  res.setHeader('allow', allow)
  fail(res, 405, 'METHOD_NOT_ALLOWED', `Only ${allow} are answered here.`)
}
