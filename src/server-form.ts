// In which form a result is answered, by what the client reads, and the writing of it. The rules for one result (status,
// headers, what of an error is shown) are Yoga's; only its Response, which is made for every runtime there is, is not made.
import type { ServerResponse } from 'node:http'
import type { ExecutionResult } from 'graphql'
import { processRegularResult } from 'graphql-yoga'
import type { Refused } from './server-answer.ts'
import { eventStream, eventsOf } from './server-sse.ts'

/** What the client reads. */
export interface Form {
  /** The type of an answer that is one result. */
  readonly single: string
  /** Whether it reads a stream of them. */
  readonly streams: boolean
}

const modern = 'application/graphql-response+json'
const usual = 'application/json'
/** The type of one result, by what is asked for. */
const singles: ReadonlyMap<string, string> = new Map([
  [usual, usual],
  [modern, modern],
  ['*/*', usual],
  ['application/*', usual],
])
const whole: Form = { single: usual, streams: true }

export const notAcceptable: Refused = {
  status: 406,
  code: 'NOT_ACCEPTABLE',
  message: `Answers are ${usual}, ${modern}, ${eventStream}, in UTF-8.`,
}

/**
 * The form by the header Accept; null when nothing of ours can be read. The first of the types of one result that is named is
 * taken, and a stream for it only where none is. What could not be read must not be carried out either.
 */
export function formOf(accept: string | undefined): Form | null {
  if (accept === undefined || accept === '*/*') return whole
  const alone = singles.get(accept)
  if (alone !== undefined) return { single: alone, streams: false }
  const types = accept.split(',').flatMap((part) => {
    const [type = '', ...options] = part.toLowerCase().replace(/\s/g, '').split(';')
    const charset = options.find((option) => option.startsWith('charset='))
    return charset === undefined || /^charset="?utf-8"?$/.test(charset) ? [type] : []
  })
  const named = types.find((type) => singles.has(type))
  const streams = types.includes(eventStream) || types.includes('*/*')
  const single = named === undefined ? streams && eventStream : singles.get(named)
  return single ? { single, streams } : null
}

/** What Yoga would make a Response of. */
class Noted {
  readonly body: string
  readonly init: { readonly status: number; readonly headers: Readonly<Record<string, string>> }

  constructor(body: string, init: Noted['init']) {
    this.body = body
    this.init = init
  }
}

/** An answer that is ready to be sent. */
export interface Formed {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer that is one result. Throws for a result that cannot be written. */
export function formed(result: ExecutionResult, single: string): Formed {
  const isEvents = single === eventStream
  const response: unknown = processRegularResult(result, { Response: Noted } as never, isEvents ? usual : single)
  const { body, init } = response as Noted
  if (!isEvents) return { ...init, body }
  return {
    status: init.status,
    headers: { ...init.headers, 'Content-Type': `${eventStream}; charset=utf-8` },
    body: eventsOf(body),
  }
}

/** Sends it; not to a client that has left. */
export function sendFormed(res: ServerResponse, { status, headers, body }: Formed): void {
  if (res.destroyed || res.writableEnded) return
  res.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
}
