// Whether what callers were told is what was done: each accepted call has its effect, each key had it at most once, what was
// refused had none, and what is open had it at most once. Pure: history and rows in, findings out.
import { type Attempt, attemptsOf, type Line } from './history.ts'

/** An event as the database has it. */
export interface EventRow {
  readonly id: number
  readonly position: number | null
  readonly teamId: string
  readonly subjectType: string
  readonly subjectId: string
  readonly kind: string
  readonly to: string
  readonly actorKind: string
  readonly requestId: string
  readonly operationId: string | null
  /** Of the statement: one decision. */
  readonly transitionId: string
}
export interface OperationRow {
  readonly id: string
  readonly requestId: string
}
export interface Rows {
  readonly events: readonly EventRow[]
  readonly operations: readonly OperationRow[]
}
export interface Finding {
  readonly rule: string
  readonly what: string
}

/** Bookkeeping may be accepted without an event; a read has none. */
const untold = new Set(['heartbeatInstance', 'read'])
/** Of those that follow up what callers began. */
const followers = new Set(['runner', 'loop', 'system'])
/** What even a repeat of a call that won may be told: it cannot be known now, or who asks may not ask any more. */
const mayMeetRepeats = new Set([
  'Busy',
  'TemporarilyUnavailable',
  'TEMPORARILY_UNAVAILABLE',
  'SHUTTING_DOWN',
  'RATE_LIMITED',
  'UNAUTHENTICATED',
  'Forbidden',
])

const grouped = <T, K>(items: readonly T[], of: (item: T) => K): Map<K, T[]> => Map.groupBy(items, of)

/** Everything that does not fit. `prefix` is what the request ids of the history begin with. */
export function judge(lines: readonly Line[], { events, operations }: Rows, prefix: string): Finding[] {
  const findings: Finding[] = []
  const find = (rule: string, what: string) => void findings.push({ rule, what })
  const attempts = attemptsOf(lines)
  const direct = events.filter(({ actorKind }) => !followers.has(actorKind))
  const byRequest = grouped(direct, ({ requestId }) => requestId)
  const work = new Set(operations.map(({ requestId }) => requestId))
  const known = new Set(operations.map(({ id }) => id))
  /** The decisions that were made for a request. */
  const decisions = (request: string) => new Set(byRequest.get(request)?.map(({ transitionId }) => transitionId))

  for (const attempt of attempts) {
    const { request, kind, mutation, member, status } = attempt
    const who = `${request} (${mutation} by ${attempt.caller}, answered ${member})`
    const made = decisions(request).size
    for (const flaw of attempt.flaws) find('answer', `${who}: ${flaw}`)
    if (status >= 500 && member !== 'TEMPORARILY_UNAVAILABLE' && member !== 'SHUTTING_DOWN')
      find('5xx', `${who}: HTTP status ${status}`)
    if (member === 'INTERNAL') find('masked', `${who}: a fault of our own`)
    if (attempt.hopeless && (kind === 'ok' || made > 0)) find('let in', `${who}: accepted, and is ${attempt.hopeless}`)
    if (kind === 'refusal' && made > 0) find('refused', `${who}: has ${made} effects`)
    if (kind === 'refusal' && work.has(request)) find('refused', `${who}: has operations`)
    if (kind === 'unknown' && made > 1) find('twice', `${who}: took effect ${made} times`)
    if (kind !== 'ok') continue
    if (attempt.replayed && made > 0) find('twice', `${who}: says that it was done before, and has ${made} effects`)
    if (!attempt.replayed && made !== 1 && !(untold.has(mutation) && made === 0))
      find(made === 0 ? 'lost' : 'twice', `${who}: has ${made} effects`)
    const { operation } = attempt.names
    if (!attempt.replayed && operation !== undefined && !known.has(operation))
      find('lost', `${who}: its operation ${operation} is not there`)
  }
  for (const [call, tries] of grouped(attempts, ({ call }) => call)) judgeCall(call, tries, decisions, find)
  const sent = new Set(attempts.map(({ request }) => request))
  for (const { id, requestId, kind } of direct)
    if (requestId.startsWith(prefix) && !sent.has(requestId))
      find('unasked', `event ${id}, ${kind}: nobody sent ${requestId}`)
  judgeApprovals(events, find)
  return findings
}

type Find = (rule: string, what: string) => void

/** The attempts of one wish together. */
function judgeCall(
  call: string,
  tries: readonly Attempt[],
  decisions: (request: string) => Set<string>,
  find: Find,
): void {
  const [first] = tries
  if (!first?.key) return
  const who = `${call} (${first.mutation} by ${first.caller})`
  const made = tries.reduce((sum, { request }) => sum + decisions(request).size, 0)
  if (made > 1) find('twice', `${who}: its key took effect ${made} times`)
  const won = tries.filter(({ kind }) => kind === 'ok')
  if (won.length > 0 && made === 0 && !untold.has(first.mutation))
    find('lost', `${who}: was accepted, and has no effect`)
  for (const other of won) {
    for (const [field, id] of Object.entries(won[0]?.names ?? {}))
      if (other.names[field] !== undefined && other.names[field] !== id)
        find('replay', `${other.request}: names ${other.names[field]} where the first answer named ${id}`)
  }
  for (const later of tries) {
    const before = won.find(({ toldAtMs }) => toldAtMs < later.sentAtMs)
    if (!before) continue
    if (later.kind === 'ok' && !later.replayed && !untold.has(first.mutation))
      find('replay', `${later.request}: repeats ${before.request}, which had won, and does not say so`)
    if (later.kind === 'refusal' && !mayMeetRepeats.has(later.member))
      find('replay', `${later.request}: repeats ${before.request}, which had won, and was refused as ${later.member}`)
  }
}

/** Each approval is used once at most, and by the decision that changes the target. */
function judgeApprovals(events: readonly EventRow[], find: Find): void {
  const used = events.filter(({ subjectType, to }) => subjectType === 'PromotionApproval' && to === 'EXECUTED')
  for (const [approval, uses] of grouped(used, ({ subjectId }) => subjectId))
    if (uses.length > 1)
      find('approval', `${approval}: used by ${uses.map(({ requestId }) => requestId).join(' and ')}`)
  const decided = grouped(events, ({ transitionId }) => transitionId)
  for (const { subjectId, transitionId, requestId } of used)
    if (!decided.get(transitionId)?.some(({ subjectType }) => subjectType === 'Stack' || subjectType === 'Resource'))
      find('approval', `${subjectId}: used up by ${requestId}, which changed no target`)
}
