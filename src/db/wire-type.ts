// How values travel: every parameter as text that we write ourselves, and the few kinds of answers that are
// not left as text. The driver's own encoders guess a type from each value, which prepares one statement anew for
// every mixture of nulls and booleans, and turn the string 'true' into false; so they are all switched off.

import { DatabaseFault } from './fault.ts'

type Parser = (value: string) => unknown

/**
 * A parameter as PostgreSQL's text format; null stays null. Arrays become array literals, bytes hex, dates ISO 8601.
 * JSON must be text already. Throws a fault of kind `bug` for undefined and for plain objects.
 */
export function encodeParameter(value: unknown): string | null {
  if (value === null) return null
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return `${value}`
  if (typeof value === 'boolean') return value ? 't' : 'f'
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return `{${value.map(encodeElement).join(',')}}`
  throw new DatabaseFault('bug', `a parameter is ${value === undefined ? 'undefined' : 'an object'}`)
}

function encodeElement(value: unknown): string {
  if (value === null) return 'NULL'
  const text = encodeParameter(value) as string
  return Array.isArray(value) ? text : `"${text.replace(/[\\"]/g, '\\$&')}"`
}

const toNumber: Parser = Number
const toBoolean: Parser = (value) => value === 't'
const toJson: Parser = (value) => JSON.parse(value)
const toBytes: Parser = (value) => Buffer.from(value.slice(2), 'hex')
const asText: Parser = (value) => value

/** Element parser by the type oids of PostgreSQL's catalogue: [element, array, parser]. All else stays text. */
const TYPES: readonly (readonly [number, number, Parser])[] = [
  [16, 1000, toBoolean],
  [17, 1001, toBytes],
  [20, 1016, asText], // bigint: does not fit a number
  [21, 1005, toNumber],
  [23, 1007, toNumber],
  [25, 1009, asText],
  [26, 1028, toNumber],
  [114, 199, toJson],
  [700, 1021, toNumber],
  [701, 1022, toNumber],
  [1043, 1015, asText],
  [1082, 1182, asText],
  [1114, 1115, asText],
  [1184, 1185, asText],
  [1700, 1231, asText],
  [2950, 2951, asText],
  [3802, 3807, toJson],
]

/** Puts our encoders and parsers in place of the driver's. */
export function replaceDriverTypes(options: { parsers: object; serializers: object }): void {
  const parsers = options.parsers as Record<number, Parser>
  clear(options.parsers)
  clear(options.serializers)
  for (const [element, array, parse] of TYPES) {
    if (parse !== asText) parsers[element] = parse
    parsers[array] = (value) => parseArray(value, parse)
  }
}

function clear(table: object): void {
  for (const key of Object.keys(table)) delete (table as Record<string, unknown>)[key]
}

/** One token of an array literal: a brace, a comma, a quoted element or a bare one. */
const TOKEN = /([{},])|"((?:[^"\\]|\\.)*)"|([^{},"]+)/gs

/** Reads PostgreSQL's array literals, nested ones too; a bare NULL is null, a quoted one is text. */
function parseArray(literal: string, parse: Parser): unknown[] {
  const outer: unknown[] = []
  const stack = [outer]
  for (const [, mark, quoted, bare] of literal.matchAll(TOKEN)) {
    const current = stack.at(-1) ?? outer
    if (mark === '{') {
      const inner: unknown[] = []
      current.push(inner)
      stack.push(inner)
    } else if (mark === '}') stack.pop()
    else if (quoted !== undefined) current.push(parse(quoted.replace(/\\(.)/gs, '$1')))
    else if (bare !== undefined) current.push(bare === 'NULL' ? null : parse(bare))
  }
  return (outer[0] ?? []) as unknown[]
}
