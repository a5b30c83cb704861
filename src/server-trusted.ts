// Documents that may be run and no others, when the operator says so: read and checked once at the start. They are found by
// their id or by their exact text; nothing else is compared, so that nothing can be altered.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { GraphQLError, type GraphQLSchema, validate } from 'graphql'
import type { Refused } from './server-answer.ts'
import { documentFlaw, parseDocument } from './server-document.ts'
import type { Parameters } from './server-request.ts'

/** The text that a request stands for, or why none is run. */
export type Trust = (parameters: Parameters) => { readonly query: string } | { readonly refused: Refused }

const maxDocuments = 10_000
const maxFileBytes = 10_485_760

/**
 * Reads the file `{ "<id>": "<document>" }`. Every document must be one that the API would run; an id that is a SHA-256, as
 * clients' tools make them, must be that of its document. Throws an Error of one line that names the variable.
 */
export function readTrustedDocuments(path: string, schema: GraphQLSchema, introspects: boolean): Trust {
  const unusable = (what: string) =>
    new Error(
      `PAWL_TRUSTED_DOCUMENTS is ${JSON.stringify(path)}, ${oneLine(what)}; allowed: a JSON file { "<id>": "<document>" }`,
    )
  const documents = new Map<string, string>()
  for (const [id, text] of entriesOf(path, unusable)) {
    const flaw = typeof text === 'string' ? flawOf(id, text, schema, introspects) : 'it is no text'
    if (flaw) throw unusable(`whose document ${JSON.stringify(id.slice(0, 100))} cannot be used: ${flaw}`)
    documents.set(plain(id), text as string)
  }
  return trusting(documents)
}

function entriesOf(path: string, unusable: (what: string) => Error): [string, unknown][] {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    throw unusable(`which cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  if (bytes.length > maxFileBytes) throw unusable(`which has more than ${maxFileBytes} bytes`)
  let content: unknown
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    // What the parser says shows some of the file, which may be the wrong one.
    throw unusable('which is not JSON in UTF-8')
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) throw unusable('which holds no object')
  const entries = Object.entries(content)
  if (entries.length === 0) throw unusable('which holds no document')
  if (entries.length > maxDocuments) throw unusable(`which holds more than ${maxDocuments} documents`)
  return entries
}

function flawOf(id: string, text: string, schema: GraphQLSchema, introspects: boolean): string | null {
  const isHash = /^[0-9a-f]{64}$/.test(plain(id))
  if (isHash && createHash('sha256').update(text).digest('hex') !== plain(id))
    return 'its id is a SHA-256, and not that of the document'
  try {
    const document = parseDocument(text)
    const flaw =
      documentFlaw(schema, document, introspects) ?? validate(schema, document, undefined, { maxErrors: 1 })[0]
    return flaw?.message ?? null
  } catch (error) {
    if (error instanceof GraphQLError) return error.message
    throw error
  }
}

const untrusted: Refused = {
  status: 400,
  code: 'UNTRUSTED_DOCUMENT',
  message: 'Only documents that the operator of this API has listed are run, by documentId or by their exact text.',
}

function trusting(documents: ReadonlyMap<string, string>): Trust {
  const known = new Set(documents.values())
  return (parameters) => {
    const named = idsOf(parameters).map((id) => (typeof id === 'string' ? documents.get(plain(id)) : undefined))
    // All that a request names must be one and the same document.
    const texts = parameters.query == null ? named : [...named, parameters.query]
    const [text] = texts
    if (typeof text !== 'string' || !known.has(text) || texts.some((each) => each !== text))
      return { refused: untrusted }
    return { query: text }
  }
}

function idsOf({ documentId, extensions }: Parameters): unknown[] {
  const persisted = (extensions as { persistedQuery?: { sha256Hash?: unknown } | null } | null | undefined)
    ?.persistedQuery
  return [documentId, persisted?.sha256Hash].filter((id) => id !== undefined && id !== null)
}

/** GraphQL over HTTP writes `sha256:<hex>` where other clients write the hex alone. */
const plain = (id: string) => id.replace(/^sha256:/, '')

const oneLine = (text: string) => text.replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 500)
