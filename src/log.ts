// The structured log: JSON lines, or short readable lines on a terminal. An allow-list: only the fields below
// are ever written, only plain values in them, and from an error only name, code, message and the places in our
// code. What looks like a secret is taken out of texts as well, for messages that others have made.

import pino from 'pino'
import type { LogLevel } from './config.ts'

/** Every field that may be written. Add one here when there is a reason to; never a place for free data. */
export interface LogFields {
  requestId?: string
  /** The actor's kind and id, e.g. `token:…`; never a token. */
  actor?: string
  teamId?: string
  entity?: string
  subjectId?: string
  /** Which making of the subject: part of the name of whatever a driver made for it. */
  incarnation?: string
  action?: string
  outcome?: string
  operationId?: string
  kind?: string
  generation?: number
  attempt?: number
  state?: string
  loop?: string
  driver?: string
  role?: string
  url?: string
  port?: number
  durationMs?: number
  waitMs?: number
  count?: number
  error?: unknown
}

export interface Log {
  fatal(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  trace(message: string, fields?: LogFields): void
  /** A log whose every line carries these fields too. */
  with(fields: LogFields): Log
}

interface Destination {
  write(text: string): unknown
}

interface LogOptions {
  level: LogLevel
  /** Where JSON lines go; default: stdout, readable if it is a terminal. */
  destination?: Destination
}

const FIELDS: Readonly<Record<keyof LogFields, true>> = {
  requestId: true,
  actor: true,
  teamId: true,
  entity: true,
  subjectId: true,
  incarnation: true,
  action: true,
  outcome: true,
  operationId: true,
  kind: true,
  generation: true,
  attempt: true,
  state: true,
  loop: true,
  driver: true,
  role: true,
  url: true,
  port: true,
  durationMs: true,
  waitMs: true,
  count: true,
  error: true,
}
const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
const TEXT_LIMIT = 2_000
const STACK_LIMIT = 12
const CAUSE_LIMIT = 3

/** Makes a log. Writing is synchronous, so the last lines before an exit are never lost. */
export function createLog({ level, destination }: LogOptions): Log {
  const output =
    destination ?? (process.stdout.isTTY ? readable(process.stdout) : pino.destination({ fd: 1, sync: true }))
  const writer = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    output,
  )
  return over(writer, {})
}

function over(writer: pino.Logger, common: LogFields): Log {
  const line = (level: (typeof LEVELS)[number]) => (message: string, fields?: LogFields) => {
    if (writer.isLevelEnabled(level)) writer[level](allowed({ ...common, ...fields }), clean(message))
  }
  return {
    fatal: line('fatal'),
    error: line('error'),
    warn: line('warn'),
    info: line('info'),
    debug: line('debug'),
    trace: line('trace'),
    with: (fields) => over(writer, { ...common, ...fields }),
  }
}

function allowed(fields: LogFields): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (!Object.hasOwn(FIELDS, name) || value === undefined) continue
    if (name === 'error') kept.error = describe(value, CAUSE_LIMIT)
    else if (typeof value === 'string') kept[name] = clean(value)
    else if (typeof value === 'number' || typeof value === 'boolean') kept[name] = value
    else if (typeof value === 'bigint') kept[name] = String(value)
  }
  return kept
}

interface ErrorText {
  name: string
  code?: string | number
  message: string
  stack?: string[]
  cause?: ErrorText
}

function describe(thrown: unknown, depth: number): ErrorText {
  if (!(thrown instanceof Error))
    return { name: typeof thrown, message: typeof thrown === 'string' ? clean(thrown) : '' }
  const text: ErrorText = { name: clean(thrown.name), message: clean(thrown.message) }
  const { code, cause } = thrown as { code?: unknown; cause?: unknown }
  if (typeof code === 'number') text.code = code
  if (typeof code === 'string') text.code = clean(code)
  if (depth === CAUSE_LIMIT && thrown.stack) text.stack = frames(thrown.stack)
  if (depth > 1 && cause instanceof Error) text.cause = describe(cause, depth - 1)
  return text
}

/** The places only: a stack begins with the message, which may have many lines of any content. */
function frames(stack: string): string[] {
  return stack
    .split('\n')
    .map((line) => /^ {4}at (.*:\d+:\d+\)?)$/.exec(line)?.[1])
    .filter((place) => place !== undefined)
    .slice(0, STACK_LIMIT)
    .map(clean)
}

/** Order matters: a whole token or URL is taken before parts of it could be. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/pawl_[0-9A-Za-z]+_[0-9A-Za-z]+/g, 'pawl_[secret]'],
  [/\b(bearer|basic)\s+[^\s"',;]+/gi, '$1 [secret]'],
  [/\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?/g, '[secret]'],
  [/(\w:\/\/)[^\s"'<>]*@/g, '$1[secret]@'],
  [
    /\b(\w*(?:password|passwd|secret|token|api[-_]?key))(["']?\s*[=:]\s*)(?!\[secret\])("[^"]*"|'[^']*'|[^\s"',;&}]+)/gi,
    '$1$2[secret]',
  ],
  [/(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=/g, '[secret]'],
]

/** Without secrets, on one line, of bounded length, and without anything that a terminal would obey. */
function clean(text: string): string {
  // A secret that the cut would halve is not recognised any more, so the word at the cut goes.
  let cleaned = text.length > TEXT_LIMIT * 2 ? text.slice(0, TEXT_LIMIT * 2).replace(/\S*$/, '…') : text
  for (const [pattern, instead] of SECRETS) cleaned = cleaned.replace(pattern, instead)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  cleaned = cleaned.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ')
  return cleaned.length > TEXT_LIMIT ? `${cleaned.slice(0, TEXT_LIMIT)}…` : cleaned.toWellFormed()
}

/** `12:00:00.000 info  message  field=value …` for people. */
export function readable(output: Destination): Destination {
  return {
    write(text) {
      const { level, time, msg, ...rest } = JSON.parse(text) as Record<string, unknown>
      const fields = Object.entries(rest).map(([name, value]) => `  ${name}=${brief(value)}`)
      output.write(`${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${msg}${fields.join('')}\n`)
    },
  }
}

function brief(value: unknown): string {
  if (typeof value !== 'object' || value === null)
    return /\s/.test(String(value)) ? JSON.stringify(value) : String(value)
  const { name, code, message, stack, cause } = value as ErrorText
  const own = [code === undefined ? name : `${name}(${code})`, message].filter(Boolean).join(': ')
  return `${own}${cause ? ` <- ${brief(cause)}` : ''}${stack?.map((place) => `\n      at ${place}`).join('') ?? ''}`
}
