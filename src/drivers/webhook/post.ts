// One attempt to deliver a webhook: one POST to an address that was checked a moment ago, at most so long, following nothing.
// Answers with an outcome, never with an exception; what the receiver writes is read to its end or its bound and thrown away.
import { type ClientRequest, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { type Checking, checkedAddresses, urlFault } from './address.ts'
import { signedHeaders } from './sign.ts'

/** More of an answer is not read. */
const answerLimitBytes = 64 * 1024

export interface Letter {
  readonly url: string
  /** The same over all attempts: by it the receiver knows what it has had already. */
  readonly id: string
  readonly payload: string
  /** `whsec_…`, the newest first. */
  readonly secrets: readonly string[]
}

export interface PostOptions extends Checking {
  /** For all of it: finding the address, connecting, sending, the whole answer. */
  readonly limitMs?: number
  /** Certificates that are trusted instead of the usual ones, PEM. */
  readonly ca?: string
  readonly now?: () => Date
}

export type Posted =
  | { readonly kind: 'delivered'; readonly status: number }
  /** `reason` is one sentence for the user; the status is null when none was heard. */
  | { readonly kind: 'failed'; readonly status: number | null; readonly reason: string }

const failed = (reason: string, status: number | null = null): Posted => ({ kind: 'failed', status, reason })

/** Sends it once. Delivered is any 2xx whose answer came to its end, or to 64 KB of it, in time. Never throws. */
export async function post(letter: Letter, options: PostOptions): Promise<Posted> {
  const { limitMs = 5_000 } = options
  const fault = urlFault(letter.url)
  if (fault !== null) return failed(`The URL ${fault}.`)
  const url = new URL(letter.url)
  const deadline = AbortSignal.timeout(limitMs)
  const checked = await checkedAddresses(url, options, deadline)
  if (deadline.aborted) return failed(`The host was not found within ${limitMs} ms.`)
  if (checked.kind !== 'addresses') return failed(`The host ${checked.reason}.`)
  const { promise, resolve } = Promise.withResolvers<Posted>()
  const sent = open(url, letter, options, checked.addresses, deadline)
  sent.on('error', (error) => resolve(whyCut(error, deadline.aborted, limitMs)))
  sent.on('response', (answer) => {
    const status = answer.statusCode ?? 0
    let bytes = 0
    const end = () => {
      resolve(verdict(status))
      sent.destroy()
    }
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes >= answerLimitBytes) end()
    })
    answer.on('end', end)
    answer.on('error', (error) => resolve(whyCut(error, deadline.aborted, limitMs)))
  })
  // What upgrades or informs without end is ended by the deadline.
  sent.on('upgrade', (answer, socket) => {
    socket.destroy()
    resolve(verdict(answer.statusCode ?? 0))
  })
  sent.end(letter.payload)
  return promise
}

function open(
  url: URL,
  { id, payload, secrets }: Letter,
  { ca, now = () => new Date() }: PostOptions,
  addresses: readonly string[],
  signal: AbortSignal,
): ClientRequest {
  return (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    method: 'POST',
    // No agent: a connection that was kept would be to an address that was checked for another delivery.
    agent: false,
    lookup: onlyThese(addresses),
    signal,
    ...(ca === undefined ? {} : { ca }),
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(payload),
      'user-agent': 'Pawl-Webhooks/1',
      ...signedHeaders(id, now(), payload, secrets),
    },
  })
}

/** The name stands for what was checked and nothing else; a literal address is dialled as it is, without being looked up. */
function onlyThese(addresses: readonly string[]): LookupFunction {
  const found = addresses.map((address) => ({ address, family: isIP(address) }))
  return (_host, { all }, answer) => {
    const [first] = found
    if (all || !first) answer(null, found)
    else answer(null, first.address, first.family)
  }
}

function verdict(status: number): Posted {
  if (status >= 200 && status < 300) return { kind: 'delivered', status }
  if (status >= 300 && status < 400)
    return failed(
      `The receiver answered ${status}: redirects are not followed, so give the URL that it leads to.`,
      status,
    )
  return failed(`The receiver answered ${status}.`, status)
}

function whyCut(error: Error, isLate: boolean, limitMs: number): Posted {
  if (isLate) return failed(`The receiver did not answer within ${limitMs} ms.`)
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'ECONNREFUSED') return failed('Nothing listens at the address.')
  if (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_/.test(code))
    return failed(`The certificate or TLS is not accepted (${code}).`)
  return failed('The connection was cut before the answer was there.')
}
