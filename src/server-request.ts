// What a request says, before anybody asks what it means: where it comes from, in which form, and its parameters, read to a
// bounded size. Nothing is parsed as GraphQL here.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Refused } from './server-answer.ts'

export const maxBodyBytes = 262_144
/** Node would drop what is beyond its own limit without a word. */
const maxHeaders = 100
/** How deep objects and lists of the JSON may lie in each other; our deepest input is five deep. */
const maxJsonDepth = 20

/** How long a list in the JSON may be: twice what any list of ours takes, so that this one's own refusal is the usual one. */
const maxJsonItems = 2_000

/** As GraphQL over HTTP names them; their types are the business of who uses them. */
export interface Parameters {
  readonly query?: unknown
  readonly variables?: unknown
  readonly operationName?: unknown
  readonly extensions?: unknown
  readonly documentId?: unknown
}
/** `gone`: the client left before it had said all. */
export type Read = { readonly parameters: Parameters } | { readonly refused: Refused } | 'gone'

const bad = (message: string): { refused: Refused } => ({ refused: { status: 400, code: 'BAD_REQUEST', message } })
const unsupported = (message: string): Refused => ({ status: 415, code: 'UNSUPPORTED_MEDIA_TYPE', message })
const limited = (status: number, message: string): Refused => ({ status, code: 'LIMIT_EXCEEDED', message })
const tooLarge = limited(413, `A request may have at most ${maxBodyBytes} bytes.`)

/** A caller's own id is kept when it is short and plain, so that it can be found in logs on both sides. */
export function requestIdOf(req: IncomingMessage): string {
  const given = req.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : crypto.randomUUID()
}

export const bearer = (req: IncomingMessage): string | null =>
  /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '')?.[1] ?? null

/** Requests that nothing of ours should look at. */
export function headFlaw(req: IncomingMessage): Refused | null {
  if (req.rawHeaders.length > maxHeaders * 2) return limited(431, `A request may have at most ${maxHeaders} headers.`)
  const { host, expect } = req.headers
  if (host === undefined ? req.httpVersion !== '1.0' : !/^([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?$/i.test(host))
    return bad('The header Host is missing or names no host.').refused
  if (expect !== undefined && !/^100-continue$/i.test(expect))
    return { status: 417, code: 'BAD_REQUEST', message: 'Only 100-continue may be expected.' }
  return null
}

/**
 * A page of another site may not ask here, whatever token it has got hold of. Browsers name the site; other clients name
 * none, and hold no cookie that could be abused.
 */
export function originFlaw({ method, headers }: IncomingMessage): Refused | null {
  const { host, origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = headers
  const own = origin === undefined || isOwn(origin, host)
  // A list of what is fine: what browsers may come to say next is not. A link that is followed carries no token.
  const near = site === undefined || site === 'same-origin' || site === 'none'
  if (own && (near || (method === 'GET' && mode === 'navigate'))) return null
  return { status: 403, code: 'FOREIGN_ORIGIN', message: 'Pages of another origin are not answered.' }
}

/** Only the hosts are compared: whoever ends TLS before us changes the scheme. */
function isOwn(origin: string, host: string | undefined): boolean {
  const from = URL.parse(origin)
  // The origin's scheme says which port need not be named.
  return from !== null && from.host !== '' && from.host === URL.parse(`${from.protocol}//${host}`)?.host
}

const answerTypes = ['application/json', 'application/graphql-response+json', 'text/event-stream']

/** What could not be answered in a form that the caller reads must not be carried out either. */
export function acceptFlaw({ headers: { accept } }: IncomingMessage): Refused | null {
  const isServed = (part: string) => {
    const [type = '', ...options] = part.toLowerCase().replace(/\s/g, '').split(';')
    const charset = options.find((option) => option.startsWith('charset='))
    if (charset !== undefined && !/^charset="?utf-8"?$/.test(charset)) return false
    return type === '*/*' || type === 'application/*' || answerTypes.includes(type)
  }
  if (accept === undefined || accept.split(',').some(isServed)) return null
  return { status: 406, code: 'NOT_ACCEPTABLE', message: `Answers are ${answerTypes.join(', ')}, in UTF-8.` }
}

/** Only plain JSON of a bounded size is looked at: browsers cannot send it to another site without asking first. */
export function bodyFlaw(req: IncomingMessage): Refused | null {
  if (req.method !== 'POST') return null
  const type = /^application\/json *(?:; *charset="?utf-8"? *)?$/i
  if (!type.test(req.headers['content-type'] ?? '')) return unsupported('Only application/json in UTF-8 is taken.')
  if (req.headers['content-encoding'] !== undefined)
    return unsupported('Only a body without content-encoding is taken.')
  return Number(req.headers['content-length'] ?? 0) > maxBodyBytes ? tooLarge : null
}

/** The parameters of a request, from its body or, of a GET, from its URL. */
export async function readParameters(req: IncomingMessage, res: ServerResponse): Promise<Read> {
  if (req.method === 'GET') return fromUrl(req.url ?? '')
  if (req.headers.expect !== undefined) res.writeContinue()
  const bytes = await readBody(req)
  if (bytes === 'gone') return 'gone'
  if (bytes === null) return { refused: tooLarge }
  return fromJson(bytes)
}

/** Null for more than is taken; no more than that is held, and the rest stays unread. */
async function readBody(req: IncomingMessage): Promise<Buffer | 'gone' | null> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length
      if (size > maxBodyBytes) return null
      chunks.push(chunk as Buffer)
    }
  } catch {
    return 'gone'
  }
  return Buffer.concat(chunks)
}

function fromJson(bytes: Buffer): Read {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return bad('The body is not UTF-8.')
  }
  const value = jsonOf(text)
  if (value === undefined) return bad('The body is not JSON.')
  if (Array.isArray(value)) return bad('Batches are not taken: send one operation at a time.')
  if (typeof value !== 'object' || value === null) return bad('The body is not an object.')
  const flaw = shapeFlaw(value)
  return flaw ? { refused: flaw } : { parameters: value }
}

function fromUrl(url: string): Read {
  const given = new URLSearchParams(url.slice(url.indexOf('?') + 1 || url.length))
  const text = (name: string) => given.get(name) || undefined
  const parameters: Record<string, unknown> = {}
  for (const name of ['query', 'operationName', 'documentId']) parameters[name] = text(name)
  for (const name of ['variables', 'extensions']) {
    const value = text(name)
    parameters[name] = value === undefined ? undefined : jsonOf(value)
    if (value !== undefined && parameters[name] === undefined) return bad(`The parameter ${name} is not JSON.`)
  }
  const flaw = shapeFlaw(parameters)
  return flaw ? { refused: flaw } : { parameters }
}

/** Undefined for what is no JSON, which can itself not say that. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Walks without recursion: the depth is what it is about. */
function shapeFlaw(value: object): Refused | null {
  let level: unknown[] = [value]
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > maxJsonDepth) return limited(400, `JSON may be at most ${maxJsonDepth} deep.`)
    const next: unknown[] = []
    for (const each of level) {
      if (typeof each !== 'object' || each === null) continue
      if (Array.isArray(each) && each.length > maxJsonItems)
        return limited(400, `A list may have at most ${maxJsonItems} items.`)
      // As a key of its own it is harmless; copied by assignment anywhere it would change what the copy inherits.
      if (Object.hasOwn(each, '__proto__')) return bad('No key may be called __proto__.').refused
      for (const inner of Object.values(each)) if (typeof inner === 'object') next.push(inner)
    }
    level = next
  }
  return null
}
