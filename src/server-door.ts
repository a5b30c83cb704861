// What happens at /graphql, in this order: who may ask from where, with which token, in which form. Only then is the request
// read, and handed on to be run. Every refusal on the way is before that, and is counted.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OidcVerifier } from './oidc.ts'
import { createRateLimit, type RateLimit } from './rate-limit.ts'
import { shareOf } from './resolvers/share.ts'
import { type Refused, refuse, send } from './server-answer.ts'
import { callerOf } from './server-caller.ts'
import { createGraphql, type GraphqlOptions, type GraphqlRequest } from './server-graphql.ts'
import { graphiqlPage, graphiqlPolicy } from './server-page.ts'
import { openAccount, priceOfRequest, rateRefused } from './server-rate.ts'
import { acceptFlaw, bodyFlaw, originFlaw, type Parameters, readParameters } from './server-request.ts'
import type { Trust } from './server-trusted.ts'

export interface DoorOptions extends Omit<GraphqlOptions, 'streamDb'> {
  /** The documents that may be run; null, the default, for every valid one. */
  readonly trust?: Trust | null
  /** What callers may ask for, and what they have; by default the usual, shared with no other process. */
  readonly rate?: RateLimit
  /** Reads the JWTs of an OIDC issuer; null, the default, when there is none. */
  readonly oidc?: Pick<OidcVerifier, 'verify'> | null
  /** How long a client that was refused may go on sending, in ms. */
  readonly lingerMs: number
}

export type Door = (req: IncomingMessage, res: ServerResponse, requestId: string) => Promise<void>

const pageOff: Refused = { status: 404, code: 'NOT_FOUND', message: 'There is nothing here.' }
const noMethod: Refused = { status: 405, code: 'METHOD_NOT_ALLOWED', message: 'Only GET and POST are answered here.' }
const noQuery: Refused = { status: 400, code: 'BAD_REQUEST', message: 'The parameter query is missing, or no text.' }

/** Answers everything at /graphql. */
export function createDoor({
  trust = null,
  rate = createRateLimit(),
  oidc = null,
  lingerMs,
  ...options
}: DoorOptions): Door {
  const { db, metrics, introspection } = options
  const streamDb = shareOf(db)
  const handle = createGraphql({ ...options, streamDb })
  return async (req, res, requestId) => {
    const startedAt = performance.now()
    let tookMs: number | null = null
    const record = (operation: string, outcome: GraphqlRequest['outcome']) =>
      metrics.graphql(operation, outcome, tookMs ?? performance.now() - startedAt)
    const refused = (flaw: Refused, outcome: GraphqlRequest['outcome'], more?: Record<string, unknown>) => {
      record('unknown', outcome)
      refuse(res, flaw, lingerMs, more)
    }
    const malformed = (flaw: Refused) => refused(flaw, flaw.code === 'LIMIT_EXCEEDED' ? 'limited' : 'invalid')

    if (req.method !== 'GET' && req.method !== 'POST') {
      res.setHeader('allow', 'GET, POST')
      return malformed(noMethod)
    }
    const foreign = originFlaw(req)
    if (foreign) return malformed(foreign)
    if (req.method === 'GET' && req.headers.accept?.includes('text/html')) {
      if (introspection === 'off') return malformed(pageOff)
      res.setHeader('content-security-policy', graphiqlPolicy)
      return send(res, 200, 'text/html; charset=utf-8', graphiqlPage)
    }

    const { accept = '*/*' } = req.headers
    // Who opens a stream says so.
    const actor = await callerOf(req, accept.includes('text/event-stream') ? streamDb : db, oidc)
    if ('refused' in actor) {
      const { outcome, retryAfterMs } = actor
      if (outcome === 'unauthenticated') res.setHeader('www-authenticate', 'Bearer')
      if (retryAfterMs === undefined) return refused(actor.refused, outcome)
      res.setHeader('retry-after', Math.ceil(retryAfterMs / 1_000))
      return refused(actor.refused, outcome, { requestId, retryAfterMs })
    }
    // Who asks too often is known here, before anything of the request is read.
    const account = openAccount(rate, actor, res)
    const over = account.pay(priceOfRequest)
    if (over) {
      const { flaw, retryAfter, more } = rateRefused(over)
      res.setHeader('retry-after', retryAfter)
      return refused(flaw, 'limited', more)
    }

    const flaw = acceptFlaw(req) ?? bodyFlaw(req)
    if (flaw) return malformed(flaw)
    const read = await readParameters(req, res)
    if (read === 'gone') return record('unknown', 'invalid')
    if ('refused' in read) return malformed(read.refused)
    const asked = trust ? trusted(trust, read.parameters) : read.parameters
    if ('refused' in asked) return malformed(asked.refused)
    if (typeof asked.query !== 'string') return malformed(noQuery)

    const request: GraphqlRequest = {
      actor,
      account,
      requestId,
      parameters: asked,
      readsStreams: /text\/event-stream|\*\/\*/i.test(accept),
      again: () => callerOf(req, streamDb, oidc),
      began: () => {
        tookMs = performance.now() - startedAt
      },
      stream: null,
      operation: 'unknown',
      outcome: 'ok',
      cost: null,
    }
    try {
      await handle(req, res, request)
      if (res.statusCode >= 400 && request.outcome === 'ok') request.outcome = 'invalid'
    } catch (error) {
      request.outcome = 'fault'
      throw error
    } finally {
      record(request.operation, request.outcome)
    }
  }
}

/** The request with the document that it names. */
function trusted(trust: Trust, parameters: Parameters): Parameters | { readonly refused: Refused } {
  const found = trust(parameters)
  const { documentId, ...rest } = parameters
  return 'refused' in found ? found : { ...rest, query: found.query }
}
