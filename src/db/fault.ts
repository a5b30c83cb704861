// What can go wrong between us and PostgreSQL, as one closed set of kinds, and the rule for every SQLSTATE: may
// the statement be repeated, must the connection go, what is the caller told. A fault is built from codes and
// names alone. Nothing of the original error is kept: its message, detail, cause and stack hold row values.

export type FaultKind = 'busy' | 'unavailable' | 'unknown-outcome' | 'constraint' | 'bug'

/** When a caller may try again, in ms, for each kind that says so. */
const RETRY_AFTER_MS = { busy: 1000, unavailable: 1000, 'unknown-outcome': 1000 } as const

export interface FaultDetails {
  sqlState?: string | undefined
  constraint?: string | undefined
  table?: string | undefined
  /** Name of the statement, from its leading comment; never its text or parameters. */
  statement?: string | undefined
  /** It was not sent because too much else waits; the database may be well. */
  shed?: boolean | undefined
}

/**
 * The only error that leaves the database client.
 * - `busy`: somebody else holds the row; nothing was changed.
 * - `unavailable`: no answer to be had now; nothing was changed.
 * - `unknown-outcome`: the statement was sent and the answer lost; it may or may not have been carried out.
 * - `constraint`: a unique, check or foreign-key constraint, by name, refused; nothing was changed.
 * - `bug`: a statement that cannot work; nothing was changed.
 */
export class DatabaseFault extends Error {
  override readonly name = 'DatabaseFault'
  readonly kind: FaultKind
  readonly sqlState?: string
  readonly constraint?: string
  readonly table?: string
  readonly retryAfterMs?: number
  readonly statement?: string
  readonly shed?: boolean

  constructor(kind: FaultKind, reason: string, details: FaultDetails = {}) {
    const { sqlState, constraint, table, statement, shed } = details
    super(`${kind}: ${reason}${sqlState ? ` (${sqlState})` : ''}${statement ? ` in ${statement}` : ''}`)
    this.kind = kind
    if (sqlState !== undefined) this.sqlState = sqlState
    if (constraint !== undefined) this.constraint = constraint
    if (table !== undefined) this.table = table
    if (statement !== undefined) this.statement = statement
    if (shed) this.shed = true
    if (kind in RETRY_AFTER_MS) this.retryAfterMs = RETRY_AFTER_MS[kind as keyof typeof RETRY_AFTER_MS]
  }
}

/** One sentence for callers about a fault that is not theirs: where the trouble is. */
export const toldOf = ({ shed }: DatabaseFault): string =>
  shed ? 'Pawl has too much to do right now.' : 'The database cannot be reached right now.'

/** The connection ended, or no answer came within the client's deadline. Stays inside the client. */
export class ConnectionLost extends Error {
  readonly code: 'CONNECTION_LOST' | 'DEADLINE'

  constructor(code: 'CONNECTION_LOST' | 'DEADLINE') {
    super(code)
    this.code = code
  }
}

/** Why the client may run a statement again by itself. */
export type Repeat = 'conflict' | 'unsent' | 'lost-read' | 'prepared'

export interface Rule {
  readonly kind: FaultKind
  readonly reason: string
  /** The connection is not to be used again. */
  readonly retire: boolean
  readonly repeat?: Repeat
}

/** Whether the statement may have reached the server, and whether it only reads. */
export interface Sending {
  readonly sent: boolean
  readonly read: boolean
}

/** The SQLSTATE of an error or of the nearest error in its cause chain that has one. */
export function sqlStateOf(error: unknown): string | undefined {
  for (const link of causes(error)) {
    const state = link instanceof DatabaseFault ? link.sqlState : link.code
    // Codes of Node such as EPIPE have five capitals too: no SQLSTATE class begins with E.
    if (typeof state === 'string' && /^[0-9FHPX][0-9A-Z]{4}$/.test(state)) return state
  }
  return undefined
}

/** The rule for a failed statement: the table of SQLSTATEs in one place. */
export function ruleFor(error: unknown, { sent, read }: Sending): Rule {
  if (error instanceof DatabaseFault) return { kind: error.kind, reason: error.message, retire: false }
  const state = sqlStateOf(error)
  if (state === undefined)
    return isBug(error) ? bug('the statement could not be sent or read') : lost(error, sent, read)
  if (/^(57P0[1-5]|25P0[34]|08...)$/.test(state)) return lost(error, sent, read)
  const known = RULES[state] ?? RULES[state.slice(0, 2)]
  if (state === '57014' && waitedForLock(error)) return BUSY
  return known ?? { kind: 'bug', reason: 'the statement was refused', retire: false }
}

/** Turns any error into a fault that holds no parameter, no row value and no original error. */
export function toFault(error: unknown, sent: boolean, about: { statement?: string | undefined; read?: boolean } = {}) {
  if (error instanceof DatabaseFault) return error
  const { kind, reason } = ruleFor(error, { sent, read: about.read ?? false })
  const sqlState = sqlStateOf(error)
  const origin = [...causes(error)].find((link) => link.code === sqlState) ?? {}
  return new DatabaseFault(kind, describe(kind, reason, sqlState, origin), {
    sqlState,
    constraint: text(origin.constraint_name),
    table: text(origin.table_name),
    statement: about.statement,
  })
}

const BUSY: Rule = { kind: 'busy', reason: 'a lock was not free in time', retire: false }
const LOST: Rule = { kind: 'unavailable', reason: 'the answer was lost', retire: true }
const CONSTRAINT: Rule = { kind: 'constraint', reason: 'a constraint refused the row', retire: false }
const CONFLICT: Rule = { kind: 'busy', reason: 'conflicting statements', retire: false, repeat: 'conflict' }
const FULL: Rule = { kind: 'unavailable', reason: 'the server is at its limit', retire: true }
const UNPREPARED: Rule = {
  kind: 'unavailable',
  reason: 'a prepared statement was lost or taken, as behind a pooler in transaction mode',
  retire: true,
  repeat: 'prepared',
}

/** By SQLSTATE, or by its class (two characters) where no exact entry is. */
const RULES: Readonly<Record<string, Rule>> = {
  '40001': CONFLICT,
  '40P01': CONFLICT,
  '40003': { kind: 'unknown-outcome', reason: 'the server does not know the outcome', retire: true },
  '55P03': BUSY,
  '57014': { kind: 'unavailable', reason: 'the statement took too long', retire: false },
  '53': { kind: 'unavailable', reason: 'the server is out of a resource', retire: false },
  '53300': FULL,
  '53400': FULL,
  '58': { kind: 'unavailable', reason: 'the server has a system error', retire: true },
  // Retired, because after a failover the same address leads to the new primary.
  '25006': { kind: 'unavailable', reason: 'the server is read-only', retire: true },
  // Connection refused by name or password: seen when a slot is opened, never by a statement.
  '28': { kind: 'unavailable', reason: 'the server does not let us in', retire: true },
  '3D000': { kind: 'unavailable', reason: 'the database does not exist', retire: true },
  '23505': CONSTRAINT,
  '23514': CONSTRAINT,
  '23503': CONSTRAINT,
  '26000': UNPREPARED,
  '42P05': UNPREPARED,
}

function lost(error: unknown, sent: boolean, read: boolean): Rule {
  const rule: Rule = sent && !read ? { ...LOST, kind: 'unknown-outcome' } : LOST
  // What used up its deadline is not repeated: the caller has waited long enough.
  if (error instanceof ConnectionLost && error.code === 'DEADLINE') return { ...rule, reason: 'no answer in time' }
  if (!sent) return { ...rule, reason: 'no connection', repeat: 'unsent' }
  return read ? { ...rule, repeat: 'lost-read' } : rule
}

/** The connection's state is doubtful after a bug on our side of it, so it goes. */
function bug(reason: string): Rule {
  return { kind: 'bug', reason, retire: true }
}

function isBug(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return (
    code === undefined || ['UNDEFINED_VALUE', 'MAX_PARAMETERS_EXCEEDED', 'MESSAGE_NOT_SUPPORTED'].includes(`${code}`)
  )
}

/** The server's context names the row version, as in `while locking tuple (0,1) in relation "x"`, in any language. */
function waitedForLock(error: unknown): boolean {
  return [...causes(error)].some((link) => typeof link.where === 'string' && /\(\d+,\d+\)/.test(link.where))
}

/** Class 42 speaks of names in the statement, never of values, and without it a typing error cannot be found. */
function describe(kind: FaultKind, reason: string, sqlState: string | undefined, origin: Link): string {
  if (kind === 'bug' && sqlState?.startsWith('42')) return text(origin.message) ?? reason
  return origin.constraint_name ? `${reason}: ${origin.constraint_name}` : reason
}

type Link = Partial<Record<'code' | 'message' | 'where' | 'constraint_name' | 'table_name' | 'cause', unknown>>

function* causes(error: unknown): Generator<Link> {
  let link = error
  for (let depth = 0; depth < 10 && typeof link === 'object' && link !== null; depth++) {
    yield link as Link
    link = (link as Link).cause
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
